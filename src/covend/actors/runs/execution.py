"""One run: folds what comes, asks ``select`` what follows, and makes both durable (P2–P4).

Two batches for a step: the input alone, then all that follows from it, which may share a commit
(docs/decisions/0006); only then are calls carried out. So whatever moment it dies at, reading the
records back and folding them gives the same run, with the same calls under the same keys. It hears
of the world through the desk alone, and rests when nothing is left to do: then the desk passivates
it (P6).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from covend.actors.asking_store import ask_store
from covend.actors.runs import quick, telling
from covend.actors.runs.commits import Commits, timers_due
from covend.actors.runs.effects import Effects
from covend.actors.runs.messages import (
    Cancelling,
    Recorded,
    Resting,
    Returned,
    Routed,
    SetAside,
    Ticked,
    Unclear,
    Word,
    call_name,
)
from covend.actors.runs.opening import Opening, opened_before
from covend.actors.runs.quarantine import quarantine, set_aside_by_us
from covend.actors.runs.reading import ended
from covend.actors.runs.story import Story, wall_clock
from covend.patterns import people, step
from covend.patterns.answers.understanding import declined, understood
from covend.patterns.rounds import is_overtaken, reminder_of
from covend.patterns.state import K, call_id_of
from covend.patterns.step import Draft, Entry
from covend.phylactery.messages import Query
from covend.phylactery.records import Record
from covend.questions import refusal
from covend.runtime import Actor, AskTimeout, MailboxSpec, Message, Promise, ReplyError
from covend.supervisors.backoff import Backoff

log = logging.getLogger(__name__)

Advance: TypeAlias = Callable[[], tuple[K, list[Draft]]]
"""How an input is folded: the K after it, and what follows from it."""

IDLE_SECONDS = 5.0
"""A call that takes longer than this is waited for without a thread."""
AGAIN = Backoff(base=0.1, maximum=10.0)
"""How long a run waits that the store refused, before it reads its records again (S7)."""


class Begin(Message, frozen=True):
    """To itself: open the run, or read it back."""


class Idle(Message, frozen=True):
    """A timer's message: nothing came for a while."""


class Unstored(ReplyError):
    """The store did not take a record that others follow, or could not be read: say it again.

    The run has to be read back to go on. What comes before that is refused as well.
    """


class Execution(Actor):
    """One run, named by its thread. What is wrong with its records sets it aside, for good (P2)."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="reject")

    def __init__(
        self, opening: Opening, number: int = 0, clock: Callable[[], int] = wall_clock
    ) -> None:
        self.opening = opening
        self.number = number
        self.clock = clock
        self.begun = False
        self.early: list[tuple[Routed, Promise]] = []
        """What came in before this began; who asked hears of it if this dies before."""
        self.lost: str | None = None
        """Why its records have to be read back."""
        self.times_lost = 0
        self.going_on = False
        """Whether it told itself to."""
        self.unsure: dict[str, Draft] = {}
        """What may have been stored and was not acted on, by the id of its record."""

    def on_start(self) -> None:
        self.forget()
        self.ctx.tell(self.ctx.me, Begin())

    def forget(self) -> None:
        """Know nothing of the run but what will be read."""
        self.k: K | None = None
        self.aside = False
        self.story = Story(self.ctx.name, self.clock)
        self.effects = Effects(self.ctx)
        self.commits = Commits(self.ctx, self.effects, self.clock, self.unsure)

    def on_receive(self, message: object) -> object:
        if self.lost is not None and isinstance(message, Routed):
            raise Unstored(self.lost)
        try:
            return self.handle(message)
        except (ReplyError, AskTimeout, MemoryError) as error:
            self.lose(f"run {self.ctx.name}: {error}")
            raise Unstored(self.lost) from error

    def lose(self, why: str) -> None:
        """Forget what may not be durable, and read the records back in a while, ever later (S7).

        A full disk is no reason to die: every run would, and its core with them.
        """
        if not self.times_lost:
            log.warning("%s: its records are read back until there is room", why)
        self.lost = why
        self.forget()
        self.ctx.cancel("idle")
        for _, promise in self.early:
            promise.fail(Unstored(why))
        self.early.clear()
        self.ctx.timer("again", AGAIN.delay(self.times_lost, random.random()), Begin())
        self.times_lost += 1

    def handle(self, message: object) -> Promise | None:
        match message:
            case Begin():
                self.begun, self.lost = True, None
                self.begin()
                for routed, promise in self.early:
                    self.heard(routed)
                    promise.reply(None)
                self.early.clear()
            case Routed() if not self.begun:
                promise = self.ctx.later()
                self.early.append((message, promise))
                return promise
            case Routed():
                self.heard(message)
            case Idle():
                self.ctx.tell("desk", Resting(self.ctx.name, self.number))
                return None
            case quick.GoOn():
                self.going_on = False
                if self.lost is not None:
                    return None
            case _:
                return None
        self.compute()
        self.rest()
        return None

    def heard(self, routed: Routed) -> None:
        """One message of the desk, which counts them."""
        self.number = routed.number
        self.hear(routed.message)

    def hear(self, message: object) -> None:
        """One message that the desk passed on."""
        k = self.k
        if self.aside or k is None:
            self.deaf(message)
            return
        match message:
            case Returned():
                self.returned(k, message)
            case Ticked():
                self.ticked(message)
            case Word():
                self.word(k, message)
            case Cancelling():
                self.cancel(k, message)
            case Unclear():
                self.unclear(k, message.call)
            case _:
                pass  # to have been roused is all that was wanted

    def rest(self) -> None:
        """Say so when only people, timers or nothing at all is waited for (P6)."""
        k = self.k
        calls = k.calls.values() if k is not None and k.ended is None and not self.aside else ()
        if any(call.status == "open" and call.kind != "actor" for call in calls):
            self.ctx.timer("idle", IDLE_SECONDS, Idle())
            return
        self.ctx.cancel("idle")
        self.ctx.tell("desk", Resting(self.ctx.name, self.number))

    # ── beginning, and going on after a crash ───────────────────────────────────────────────

    def begin(self) -> None:
        given = self.opening.take()
        if given is None:
            self.restore()
            return
        intend, promise = given
        entry = self.story.add("intend", intend)
        self.effects.note("intend", intend)
        try:
            self.follow(
                entry,
                lambda: step.start(self.ctx.name, entry.body, entry.clock),
                min(timers_due([intend]), default=None),
            )
        except (ReplyError, AskTimeout) as error:
            self.forget()
            if promise is not None:
                told = opened_before(self.ctx, self.ctx.name, intend, str(error))
                promise.reply(told)
            self.restore()
            return
        if promise is not None:
            promise.reply({"id": self.ctx.name, "state": "open"})

    def restore(self) -> None:
        """Read the records back, write what is missing, carry out again what is open (P4)."""
        query = Query(thread=self.ctx.name, newest_first=False, damaged=True)
        records = ask_store(self.ctx, query)
        if any(entry.get("purged") for entry in records):
            return  # ended long ago: nothing that comes can count any more (D4)
        if any(map(set_aside_by_us, records)):
            self.stay_aside()
            return
        damage = next((entry for entry in records if "damaged" in entry), None)
        if damage is not None:
            why = ValueError(f"its record {damage['seq']} is damaged: {damage['damaged']}")
            self.set_aside(why)
            return
        entries = self.story.read(records)
        if not entries:
            return
        try:
            replayed = step.replay(self.ctx.name, entries)
            missing = self.story.add_all(replayed.missing)
        except Exception as error:
            self.set_aside(error)
            return
        self.k = replayed.k
        for entry in entries:
            self.effects.note(entry.kind, entry.body)
        again = [call.id for call in self.k.calls.values() if call.status == "open"]
        stored = {entry["id"] for entry in records}
        late = [draft for name, draft in self.unsure.items() if name in stored]
        new = {call_id_of(draft.body) for draft in late if draft.kind == "call"}
        written = {call_id_of(entry.body) for entry in entries if entry.kind == "call"}
        self.commits.make(self.k, replayed.missing, missing)
        if late:
            self.commits.act(self.k, late)
        self.unsure.clear()
        self.commits.rouse_others(self.k, entries)
        for name in again:
            if name in written - new:
                self.effects.dispatch(self.k, self.effects.asked[name], again=True)

    # ── inputs ──────────────────────────────────────────────────────────────────────────────

    def returned(self, k: K, news: Returned) -> None:
        """A call's answer: recorded first, then the courier may forget it (P3)."""
        body = self.effects.asked.get(news.call)
        if body is None:
            self.deaf(news)
            return
        if news.declined is not None:
            done = declined(body, news.declined)
        else:
            done = understood(k.plan, body, news.raw)
        self.effects.recorded.append(call_name(self.ctx.name, news.call))
        self.answer(k, done)
        if self.effects.recorded:
            self.ctx.tell("courier", Recorded(self.effects.taken_over()))

    def compute(self) -> None:
        """Answer what quick functions were asked; whoever says something is heard in between."""
        while self.effects.quick and not (self.going_on or self.aside):
            call, k = self.effects.quick.popleft(), self.k
            known = k.calls[call_id_of(call)] if k is not None else None
            if k and known and known.status == "open":  # else it was closed meanwhile
                self.answer(k, quick.answer(k, call, self.ctx.now))
            if self.ctx.waiting():
                self.going_on = quick.go_on(self.ctx)
                return

    def answer(self, k: K, done: dict[str, Any]) -> None:
        """The first answer counts if it is in time; late ones are billed, others kept (P12)."""
        call = k.calls[call_id_of(done)]
        if call.answered and done["status"] != "accepted":
            if done.get("hash") in (None, call.hash, *call.conflicts):
                return
            done = {**done, "conflict": True}
        elif k.ended is not None or call.status != "open" or self.clock() >= call.deadline:
            done = {**done, "late": True}
        self.take("do", done)

    def ticked(self, tick: Ticked) -> None:
        """A timer, never early (P20); a reminder is under way before the tick is."""
        k = self.k
        if k is None or k.ended is not None or is_overtaken(k, tick.name, tick.due):
            return
        call = k.calls.get(reminder_of(tick.name))
        if call is not None and call.status == "open":
            dids = tuple(people.may_speak(k, call))
            self.effects.notify(k, "reminder", call.id, dids, (tick.due,))
        self.take("tick", {"name": tick.name, "due": tick.due}, at_least=tick.due)

    def word(self, k: K, word: Word) -> None:
        """A person's word: checked, then recorded, then answered with the task as it is (P18)."""
        body = self.effects.asked.get(word.call)
        if body is None or body["responder"]["kind"] != "actor":
            word.promise.reply(refusal(404, "not_found", "there is no such task"))
            return
        promises = self.effects.promises.get(word.call, ())
        match people.word(k, body, word.order, self.clock(), promises):
            case people.Refused(status, code, text, errors):
                word.promise.reply(refusal(status, code, text, errors))
                return
            case None:
                pass  # it was heard before
            case done:
                self.answer(k, done)
        if self.aside:
            self.deaf(word)
            return
        assert self.k is not None
        promises = self.effects.promises.get(word.call, ())
        word.promise.reply(telling.task(self.k, body, promises, word.order.did))

    def cancel(self, k: K, order: Cancelling) -> None:
        """Cancel wins only before the end; either way the end is the answer (P14)."""
        if k.ended is None:
            self.take("cancel", {"reason": order.reason or "cancelled"})
        if self.aside:
            self.deaf(order)
            return
        order.promise.reply(ended(self.ctx.name, self.k.ended if self.k is not None else None))

    def unclear(self, k: K, name: str) -> None:
        """Nobody knows whether a call was carried out, and its query says to ask (P4)."""
        body = self.effects.asked.get(name)
        if body is None or k.calls[name].status != "open":
            return
        self.ctx.tell("console", telling.unclear(self.ctx.name, body))

    def deaf(self, message: object) -> None:
        """Answer those who wait for a run that cannot go on."""
        why = "the run was set aside" if self.aside else "there is nothing of this run any more"
        if isinstance(message, Word | Cancelling):
            message.promise.reply(refusal(409, "set_aside" if self.aside else "gone", why))
        elif isinstance(message, Returned):
            self.ctx.tell("courier", Recorded((call_name(message.thread, message.call),)))

    # ── an input, and what follows from it (P3) ─────────────────────────────────────────────

    def take(self, kind: str, body: dict[str, Any], at_least: int = 0) -> None:
        """Make an input durable, and what follows from it."""
        k = self.k
        assert k is not None
        entry = self.story.add(kind, body, at_least)
        self.effects.note(kind, body)
        self.follow(entry, lambda: step.take(k, Entry(kind, entry.body, entry.clock)))

    def follow(self, entry: Record, advance: Advance, due: int | None = None) -> None:
        """Fold an input, which sets a timer due at ``due``, and commit it with what follows.

        An input that cannot be folded is durable nevertheless.
        """
        try:
            self.k, drafts = advance()
            records = self.story.add_all(drafts)
        except Exception as error:  # whatever it is, it would be the same again
            self.commits.store([entry])
            self.set_aside(error)
            return
        self.commits.make(self.k, drafts, records, [entry], due)
        self.times_lost = 0

    def set_aside(self, error: Exception) -> None:
        """Keep both versions of what differs, tell the operator, and touch the run no more (P2)."""
        if isinstance(error, MemoryError):
            raise error  # nothing is wrong with the records
        log.exception("run %s is set aside", self.ctx.name, exc_info=error)
        entry = quarantine(self.ctx.name, error)
        self.commits.store([entry])
        self.stay_aside()
        self.ctx.tell("console", telling.set_aside(self.ctx.name, entry.body["reason"]))

    def stay_aside(self) -> None:
        """Whoever asks for it again is told; a later version of covend tries it again (P2)."""
        self.aside = True
        self.ctx.tell("desk", SetAside(self.ctx.name))
