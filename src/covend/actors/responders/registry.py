"""The registry: who can be asked, from the configuration and the API, with what was learned (P8).

Every capability of this box is a responder without being listed (``model:NAME``, an ``llm`` that
costs nothing). Of several with the same id, one registered over the API overrides the configured
one, and that overrides a capability.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, ClassVar

import msgspec

from covend.actors.asking_store import SERVING_SECONDS, ask_store
from covend.actors.messages import Alert, NewConfig
from covend.actors.responders.trust import Standing, as_body, from_body
from covend.actors.responders.trust_recovery import outcomes_of, uncounted
from covend.actors.runs.legible import intact, legible
from covend.actors.runs.messages import Known, Learned
from covend.actors.runs.story import wall_clock
from covend.config import Box
from covend.config.responders import (
    absent_variables,
    from_config,
    local_model,
    missing_variables,
    problems,
)
from covend.patterns.responders.responder import Responder, to_data
from covend.phylactery.canonical import NotCanonical, canonical
from covend.phylactery.messages import Append, Query
from covend.phylactery.records import record
from covend.questions import ListResponders, PutResponder, RemoveResponder, refusal
from covend.resolving import resolved
from covend.runtime import Actor, ActorError, Exit, MailboxSpec, Message, ReplyError

log = logging.getLogger(__name__)

THREAD = "responders"
SAVE_SECONDS = 30.0
"""What was learned is stored this often; after a crash the rest is read from the runs' ends."""
SAME_TRUST = 0.001
"""Trust this near to what was shown is unchanged: within an hour it fades by less."""
KEPT_STANDINGS = 3
"""How many stored standings are looked at: the newest that can be read counts."""


class Relearn(Message, frozen=True):
    """To itself: count the next few of the runs whose outcomes were lost in a crash."""


class Save(Message, frozen=True):
    """A timer's message: store what was learned since the last time."""


class Registry(Actor):
    """Keeps the responders. Address ``registry``; the desk puts the API's questions to it."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="block")

    def __init__(self, box: Box, clock: Callable[[], int] = wall_clock) -> None:
        self.box = box
        self.clock = clock
        self.given = from_config(box)
        self.answering = frozenset(box.answering())
        self.put: dict[str, Responder] = {}
        self.standings: dict[str, Standing] = {}
        self.counted: set[str] = set()
        """The runs that were counted since the standings were stored last."""
        self.forgotten: dict[str, dict[str, Any]] = {}
        """The ends that were not counted before a crash and will be now, by run."""
        self.saving = False

    def on_start(self) -> None:
        self.ask_store = partial(ask_store, self.ctx, seconds=SERVING_SECONDS)
        query = Query(kind="responder", thread=THREAD, newest_first=False, damaged=True)
        stored = self.ask_store(query)
        for responder in legible(self.ctx, stored, as_responder):
            self.put[responder.id] = responder
        query = Query(kind="standings", thread=THREAD, limit=KEPT_STANDINGS, damaged=True)
        learned = self.ask_store(query)
        for standings in legible(self.ctx, learned, as_standings)[:1]:
            self.standings = standings
        self.forgotten = {end["thread"]: end for end in uncounted(self.ask_intact, learned)}
        self.ctx.tell(self.ctx.me, Relearn())
        self.warn()

    def ask_intact(self, question: object) -> list[dict[str, Any]]:
        return intact(self.ctx, self.ask_store(question))

    def on_receive(self, message: object) -> object:
        match message:
            case Known():
                return self.known()
            case Learned():
                self.learn(message)
            case ListResponders():
                return {"responders": [shown(one) for one in self.known()]}
            case PutResponder():
                return self.register(message.responder)
            case RemoveResponder():
                return self.retire(message.id)
            case Relearn():
                self.relearn()
            case Save():
                self.save()
            case NewConfig():
                self.box = message.box
                self.given = from_config(message.box)
                self.answering = frozenset(message.box.answering())
                self.warn()
            case _:
                pass
        return None

    def on_stop(self, reason: Exit) -> None:
        self.save()

    def warn(self) -> None:
        """Tell the operator whom the file gives a key that the environment has not (P8, W27)."""
        for text in absent_variables(self.box, os.environ):
            self.ctx.tell("console", Alert(text, {}))

    def known(self) -> tuple[Responder, ...]:
        """Everybody, with trust, delay and availability as of now."""
        now = self.clock()
        shown = [self.as_learned(one, now) for _, one in sorted(self.merged().items())]
        return tuple(if_answering(one, self.answering) for one in shown)

    def merged(self) -> dict[str, Responder]:
        """Registered responders override configured ones of the same id (P8).

        Retiring the override brings the configured one back.
        """
        put = {
            name: one
            for name, one in self.put.items()
            if one.status != "retired" or name not in self.given
        }
        return {**self.given, **put}

    def as_learned(self, responder: Responder, now: int) -> Responder:
        """The responder with what was learned of it in place of what it was configured with."""
        standing = self.standings.get(responder.id)
        if standing is None:
            return responder
        return msgspec.structs.replace(
            responder,
            trust=standing.trust(responder.trust, now),
            seen=standing.seen,
            available=responder.available and standing.available(now),
            typical_delay_secs=standing.delay() or responder.typical_delay_secs,
        )

    def relearn(self) -> None:
        """Count a run whose outcomes were lost in a crash, and then the next (P8).

        One at a time, so that others are answered in between; later where the store is away.
        """
        if not self.forgotten:
            return
        thread, end = next(iter(self.forgotten.items()))
        try:
            records = self.ask_store(Query(thread=thread, newest_first=False, damaged=True))
        except (ReplyError, ActorError) as error:
            log.warning("the outcomes of %s are not learned yet: %s", thread, error)
            self.ctx.timer("relearn", SAVE_SECONDS, Relearn())
            return
        del self.forgotten[thread]
        read = legible(self.ctx, [end], lambda end: outcomes_of(records, end))
        self.learn(Learned(thread, read[0] if read else ()))
        self.ctx.tell(self.ctx.me, Relearn())

    def learn(self, news: Learned) -> None:
        """Count what a run says, once."""
        if news.thread in self.counted:
            return
        self.counted.add(news.thread)
        self.forgotten.pop(news.thread, None)
        for outcome in news.outcomes:
            before = self.standings.get(outcome.responder, Standing())
            self.standings[outcome.responder] = before.after(outcome)
        if not self.saving:
            self.saving = True
            self.ctx.timer("save", SAVE_SECONDS, Save())

    def save(self) -> None:
        """Store what was learned, and of which runs; tried again later where the store is away."""
        self.saving = False
        if not self.counted:
            return
        body = {**as_body(self.standings), "runs": sorted(self.counted)}
        clock = self.clock()
        entry = record(THREAD, "standings", body, actor="registry", act="LEARN", clock=clock)
        try:
            self.ask_store(Append([entry]))
        except (ReplyError, ActorError) as error:
            log.warning("what was learned is not stored yet: %s", error)
            return
        self.counted.clear()

    def register(self, given: dict[str, Any]) -> dict[str, Any]:
        """Take a responder in, durably; refused with every problem where it does not hold."""
        try:
            canonical(given)
            responder = msgspec.convert(given, resolved(Responder))
        except NotCanonical as error:
            return not_valid([(error.path, error.problem)])
        except msgspec.ValidationError as error:
            problem, _, at = str(error).partition(" - at `")
            return not_valid([(at.rstrip("`") or "$", problem)])
        if found := problems(responder, self.box):
            return not_valid(found)
        if responder.status == "retired" and responder.id in self.given:
            return not_taken(409, self.configured(responder.id))
        return self.keep(self.unlearned(responder))

    def unlearned(self, responder: Responder) -> Responder:
        """The responder without what was learned, where it is an edited copy of what was shown.

        ``seen`` tells that it is one: it is never configured. What was learned is not meant as
        configuration; only what differs from what is shown now was changed by the sender.
        """
        before = self.merged().get(responder.id)
        standing = self.standings.get(responder.id)
        if not responder.seen or before is None or standing is None:
            return responder
        shown = self.as_learned(before, self.clock())
        absent = before.available and not shown.available
        same_trust = math.isclose(responder.trust, shown.trust, abs_tol=SAME_TRUST)
        same_delay = responder.typical_delay_secs == shown.typical_delay_secs
        return msgspec.structs.replace(
            responder,
            trust=before.trust if same_trust else responder.trust,
            seen=before.seen,
            available=responder.available or absent,
            typical_delay_secs=before.typical_delay_secs
            if same_delay
            else responder.typical_delay_secs,
        )

    def retire(self, name: str) -> dict[str, Any]:
        """Ask a registered one no more; one that the configuration gives can only go from there."""
        known = self.merged()
        if name not in known:
            return not_taken(404, f"no responder is called {name!r}")
        if known[name] is self.given.get(name):
            return not_taken(409, self.configured(name))
        return self.keep(msgspec.structs.replace(known[name], status="retired"))

    def configured(self, name: str) -> str:
        """Why a responder of the configuration is not retired here, and what would be right."""
        listed = {entry.name for entry in self.box.responder}
        if name in listed:
            what, key = "configured", "available"
        else:
            what, key = "a model of this box, configured", "chat"
        return (
            f"{name!r} is {what} in {self.box.source}: take it out there, or set `{key} = false` "
            "for it there"
        )

    def keep(self, responder: Responder) -> dict[str, Any]:
        body = {"responder": to_data(responder)}
        clock = self.clock()
        entry = record(THREAD, "responder", body, actor="registry", act="PUT", clock=clock)
        try:
            self.ask_store(Append([entry]))
        except (ReplyError, ActorError) as error:
            return not_taken(503, str(error))
        self.put[responder.id] = responder
        return {"responder": to_data(responder)}


def shown(responder: Responder) -> dict[str, Any]:
    """The responder as it is shown, with the names of the variables that it lacks here (P8)."""
    names = [name for _, name in missing_variables(responder, os.environ)]
    missing = {"missing_env": list(dict.fromkeys(names))} if names else {}
    return {**to_data(responder), **missing}


def if_answering(responder: Responder, answering: Collection[str]) -> Responder:
    """The responder, not available if it is a model of this box that answers no queries (P8).

    It did when it was registered: the configuration was another then.
    """
    model = local_model(responder)
    if model is None or model in answering:
        return responder
    return msgspec.structs.replace(responder, available=False)


def as_responder(entry: dict[str, Any]) -> Responder:
    """The responder that a record holds; raises ``KeyError`` or ``msgspec.ValidationError``."""
    return msgspec.convert(entry["body"]["responder"], resolved(Responder))


def as_standings(entry: dict[str, Any]) -> dict[str, Standing]:
    """The standings that a record holds; raises ``KeyError`` or ``msgspec.ValidationError``."""
    return from_body(entry["body"])


def not_taken(status: int, why: str) -> dict[str, Any]:
    """The refusal of a change in the registry."""
    codes = {404: "not_found", 409: "configured"}
    return refusal(status, codes.get(status, "unavailable"), why)


def not_valid(found: list[tuple[str, str]]) -> dict[str, Any]:
    """The refusal of a responder, with everything that was found wrong in it by its path."""
    errors = [{"path": path, "problem": problem} for path, problem in found]
    return refusal(422, "invalid_responder", "this responder cannot be registered", errors)
