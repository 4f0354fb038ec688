"""The courier: carries calls out, each once, and keeps what came back until it is recorded.

| responder | how |
|---|---|
| llm of this box | a ghoul job (``own_models``) |
| llm with an endpoint, system with a url | an HTTP request with the key as ``Idempotency-Key`` |
| system with a command | a process |
| pattern | a function, in a thread of its own; a quick one the run itself computes |

A call that may have been carried out before, of which a crash or a broken connection left no word,
goes out again under the same key, unless its query says otherwise or its responder heeds no keys
(P4); a provider that is still working for that key is asked until it is done, and one that is busy
or away has said nothing of the work: see ``busy`` for when it is asked again. That a call's
deadline has passed is not said from here, but by the run's own timer.

Endpoints and commands share ``max_calls`` places, and functions as many threads of their own; see
``turns`` for who is next.

When nobody waits for a call any more (its round has closed, its deadline passed, its run ended)

| what it is | becomes |
|---|---|
| out, and it may cost money | left to finish: stored as late and billed, never folded (P12) |
| out, and free | stopped |
| not out yet, for the first time | dropped; what was reserved for it is free again (P13) |
| a job of this box | withdrawn as soon as no ghoul has it; its one step may end before (S17) |
| a function | left alone: a thread cannot be stopped |

What was out when the core died and nobody waits for is not sent anew: what it may have cost stays
reserved (docs/decisions/0005).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from covend.actors.calls import outside
from covend.actors.calls.busy import BUSY, goes_on, pause_after
from covend.actors.calls.errand import Errand
from covend.actors.calls.own_models import OwnModels, came_of
from covend.actors.calls.turns import Turns
from covend.actors.messages import NewConfig
from covend.actors.runs.messages import (
    Dispatch,
    Recorded,
    Returned,
    Unclear,
    Withdraw,
    call_name,
)
from covend.actors.runs.story import wall_clock
from covend.config import Box
from covend.patterns.answers.understanding import Raw
from covend.patterns.query.spec import MAX_LATENCY
from covend.patterns.state import call_id, call_id_of
from covend.protocol import JobFinished
from covend.questions import SettleCall, refusal
from covend.runtime import Actor, Exit, MailboxSpec, Message

REPEAT_SECONDS = 5.0
"""An answer that was not recorded for so long was lost with whoever was told: it is said again."""
STILL_AT_IT = 409
"""How a provider that heeds keys answers one that it is still working for."""
AGAIN_SECONDS = 1.0
"""After this pause it is asked again."""


class Brought(Message, frozen=True):
    """From a helper's thread: what an errand brought."""

    name: str
    raw: Raw
    declined: str | None = None


class Overdue(Message, frozen=True):
    """A timer's message: the errand's deadline has passed."""

    name: str


class GiveUp(Message, frozen=True):
    """A timer's message: a late answer does not come any more."""

    name: str


class Again(Message, frozen=True):
    """A timer's message: ask a provider once more that was busy, or still at this errand's key."""

    name: str


class Repeat(Message, frozen=True):
    """A timer's message: the answer is not recorded yet."""

    name: str


class Courier(Actor):
    """Owns what is under way outside (P4). Address ``courier@core``, for the broker's news."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="reject")

    def __init__(self, box: Box, clock: Callable[[], int] = wall_clock) -> None:
        self.places = Turns(box.queries.max_calls)
        self.threads = Turns(box.queries.max_calls)
        """What functions run in: no provider that hangs holds up a computation."""
        self.here = Path(box.source).parent
        self.clock = clock
        self.errands: dict[str, Errand] = {}
        self.late: dict[str, None] = {}
        """What is left to finish although nobody waits for it, oldest first."""

    def on_start(self) -> None:
        self.outside = outside.Outside(self.here)
        self.own = OwnModels(self.ctx)

    def on_stop(self, reason: Exit) -> None:
        for errand in self.errands.values():
            if errand.work is not None and errand.answer is None:
                errand.work.cancel()
        self.outside.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Dispatch():
                self.dispatch(message)
            case Brought():
                self.brought(message.name, message.raw, message.declined)
            case JobFinished():
                self.finished(message)
            case Recorded(calls=names):
                for name in names:
                    self.forget(name)
            case Withdraw(calls=names):
                self.take_back(names)
            case Overdue(name=name):
                self.withdraw(name)
            case GiveUp(name=name):
                self.forget(name)
            case Again(name=name):
                self.begin(self.errands[name])
            case Repeat(name=name):
                self.tell(self.errands[name])
            case SettleCall():
                return self.settle(message)
            case NewConfig():
                for turns in (self.places, self.threads):
                    turns.places = message.box.queries.max_calls
                    self.next_ones(turns)
            case _:
                pass
        return None

    # ── taking calls on ─────────────────────────────────────────────────────────────────────

    def dispatch(self, order: Dispatch) -> None:
        """Carry a call out, unless that was done: then say again what came of it (P4)."""
        before = self.attempt_before(order)
        for recorded in order.recorded:
            self.forget(recorded)
        name = call_name(order.thread, call_id_of(order.call))
        known = self.errands.get(name)
        if known is not None:
            if known.answer is not None:
                self.tell(known)
            return
        left, now = self.left(order), self.ctx.now()
        errand = Errand(name, order, now, now + left)
        goes_on(errand, before)
        self.errands[name] = errand
        if left <= 0:
            self.withdraw(name)
            return
        self.ctx.timer(name, left, Overdue(name))
        if order.again and not errand.local and not errand.repeatable:
            self.unclear(errand, "the core was started again")
        elif errand.rests_until <= now:
            self.begin(errand)
        elif errand.rests_until < now + left:
            self.pause(errand, errand.rests_until - now)
        else:
            text = f"not asked: it is busy for another {errand.rests_until - now:.0f} s"
            self.brought(name, Raw(failure=text))

    def attempt_before(self, order: Dispatch) -> Errand | None:
        """The attempt that this one follows, while it is in hand: that is until both are stored."""
        slot, attempt = order.call["slot"], order.call["attempt"]
        return self.errands.get(call_name(order.thread, call_id(slot, attempt - 1)))

    def left(self, order: Dispatch) -> float:
        """Seconds until a call's deadline."""
        return (order.call["deadline"] - self.clock()) / 1e6

    def begin(self, errand: Errand) -> None:
        """Have it carried out: by this box's ghouls at once, else when there is room."""
        if errand.local:
            me, name = self.ctx.me, errand.name
            self.own.submit(errand, lambda raw: me.tell(Brought(name, raw)))
        else:
            turns = self.turns(errand)
            turns.join(errand.name, errand.lane)
            self.next_ones(turns)

    def turns(self, errand: Errand) -> Turns:
        """Among whom it waits for its turn."""
        return self.threads if errand.order.responder.kind == "pattern" else self.places

    def unclear(self, errand: Errand, why: str) -> None:
        """It may have been carried out and must not be again: its query says what then (P4)."""
        if errand.order.policy == "ask" and not errand.withdrawn:
            errand.unclear = True
            self.back(errand)
            self.ctx.tell("desk", Unclear(errand.order.thread, call_id_of(errand.order.call)))
            return
        text = f"nobody knows whether it was carried out: {why}"
        self.keep(errand, Raw(failure=text, transport=False, indeterminate=True))

    def settle(self, order: SettleCall) -> dict[str, Any]:
        """What an operator knows of a call of which nobody else knows (P4)."""
        errand = self.errands.get(call_name(order.id, order.call))
        if errand is None or not errand.unclear:
            text = f"nothing is unclear about a call {order.call!r} of query {order.id!r}"
            return refusal(409, "not_unclear", text)
        errand.unclear = False
        if order.how == "again":
            errand.tries += 1
            errand.begun, errand.work = False, None
            self.begin(errand)
        else:
            self.keep(errand, Raw(failure="an operator counts it as failed", transport=False))
        return {"id": order.id, "call": order.call, "how": order.how}

    def next_ones(self, turns: Turns) -> None:
        """Send out whose turn it is, as many at once as the configuration allows."""
        while (name := turns.take()) is not None:
            errand = self.errands[name]
            if errand.withdrawn or self.left(errand.order) <= 0:
                turns.leave(name)  # what becomes of it is being said, or about to be
            else:
                errand.begun = True
                self.send(errand)

    def send(self, errand: Errand) -> None:
        """Have it carried out outside; whoever does it gives up after ``Overdue`` or ``GiveUp``."""
        name, responder = errand.name, errand.order.responder
        if errand.paid:
            errand.until = max(errand.until, self.ctx.now() + MAX_LATENCY[responder.kind])
        left = max(0.0, errand.until - self.ctx.now()) + 1.0
        me = self.ctx.me

        def done(raw: Raw, declined: str | None = None) -> None:
            me.tell(Brought(name, raw, declined))

        try:
            errand.work = self.outside.carry(errand.order.call, responder, left, done)
        except RuntimeError as error:  # the machine has no more threads
            done(outside.failed(error))

    # ── what comes back ─────────────────────────────────────────────────────────────────────

    def finished(self, news: JobFinished) -> None:
        """A job has ended: it is the call's answer, or why there is none."""
        errand = self.errands.get(self.own.of(news.id))
        if errand is None:
            return
        if news.error is not None and errand.withdrawn and not errand.paid:
            self.forget(errand.name)
        else:
            self.brought(errand.name, came_of(news))

    def brought(self, name: str, raw: Raw, declined: str | None = None) -> None:
        """What came of an errand; its query says what then, where that is unclear (P4)."""
        errand = self.errands.get(name)
        if errand is None or errand.answer is not None:
            return
        at_it = raw.status == STILL_AT_IT and errand.repeated
        if at_it and not errand.withdrawn:
            self.pause(errand, AGAIN_SECONDS)
            return
        if raw.status in BUSY:
            left = self.left(errand.order)
            seconds = pause_after(errand, raw, self.ctx.now(), left, random.random())
            if seconds is not None:
                self.pause(errand, seconds)
                return
        # Who is busy or away says nothing of the work that was asked for under this key before.
        unsaid = at_it or (errand.repeated and raw.passing)
        raw = msgspec.structs.replace(raw, indeterminate=raw.indeterminate or unsaid)
        if raw.unknown and not errand.repeatable:
            self.unclear(errand, raw.failure or f"HTTP status {raw.status}")
        else:
            self.keep(errand, raw, declined)

    def pause(self, errand: Errand, seconds: float) -> None:
        """Leave its provider alone for so long, and the place to others; then ask again."""
        errand.begun, errand.work = False, None
        self.back(errand)
        self.ctx.timer(("again", errand.name), seconds, Again(errand.name))

    def keep(self, errand: Errand, raw: Raw, declined: str | None = None) -> None:
        """Keep an answer, and say it until it is recorded."""
        self.late.pop(errand.name, None)
        self.back(errand)
        timed = msgspec.structs.replace(raw, delay_secs=self.ctx.now() - errand.began)
        order = errand.order
        errand.answer = Returned(order.thread, call_id_of(order.call), timed, declined)
        self.tell(errand)

    def tell(self, errand: Errand) -> None:
        self.ctx.timer(errand.name, REPEAT_SECONDS, Repeat(errand.name))
        self.ctx.tell("desk", errand.answer)

    def back(self, errand: Errand) -> None:
        """It has no place any more, and waits for none."""
        turns = self.turns(errand)
        turns.leave(errand.name)
        self.next_ones(turns)

    # ── what nobody waits for any more (P12, P14) ───────────────────────────────────────────

    def take_back(self, names: tuple[str, ...]) -> None:
        """Withdraw all of these; none of them gets the turn of another."""
        for name in names:
            if name in self.errands:
                self.errands[name].withdrawn = True
        for name in names:
            self.withdraw(name)

    def withdraw(self, name: str) -> None:
        """Stop what is free, leave to finish what costs money; see the module (P12, P14)."""
        errand = self.errands.get(name)
        if errand is None or errand.answer is not None or name in self.late:
            return
        errand.withdrawn = True
        if errand.unclear:
            self.forget(name)
        elif errand.job is not None:
            self.own.withdraw(errand.job)
        elif errand.begun and errand.work is None:
            self.back(errand)  # a function that never ends must not hold up the others
        elif errand.begun and errand.paid:
            self.leave(errand)
        elif errand.untouched and errand.paid:
            text = "nobody waited for it any more before it was sent"
            self.keep(errand, errand.refusal or Raw(failure=text, transport=False))
        else:
            self.forget(name)

    def leave(self, errand: Errand) -> None:
        """Let it finish, for as long as its deadline or its kind allows (P10, P12).

        It is not among the ``max_calls`` any more; at most as many are left to finish like this.
        """
        self.late[errand.name] = None
        self.ctx.timer(errand.name, errand.until - self.ctx.now(), GiveUp(errand.name))
        self.back(errand)
        while len(self.late) > self.places.places:
            self.forget(next(iter(self.late)))

    def forget(self, name: str) -> None:
        """It is recorded, or nothing can come of it any more."""
        errand = self.errands.pop(name, None)
        if errand is None:
            return
        self.ctx.cancel(name)
        self.ctx.cancel(("again", name))
        self.late.pop(name, None)
        if errand.work is not None and errand.answer is None:
            errand.work.cancel()
        self.own.forget(errand)
        self.back(errand)
