"""The courier: carries calls out, each key once, and keeps what came back until it is recorded.

| responder | how |
|---|---|
| llm of this box | a ghoul job named by the key: the broker runs it once, whoever asks again |
| llm with an endpoint, system with a url | an HTTP request with the key as ``Idempotency-Key`` |
| system with a command | a process |
| pattern | a function in a thread |

A call that may have been carried out before a crash goes out again under the same key, unless its
query says otherwise or its responder heeds no keys (P4). Nothing is said of a call whose deadline
passes here: the run's own timer says it, and what it may have cost stays reserved (P13).
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec

from covend.actors import errands
from covend.actors.inbox import refused
from covend.actors.messages import NewConfig
from covend.actors.run_messages import Dispatch, Recorded, Returned, Unclear, Withdraw
from covend.actors.story import wall_clock
from covend.config import Box, PlaceholderError, expand_command
from covend.patterns.understanding import Raw
from covend.protocol import CancelJob, JobFinished, Step, SubmitJob
from covend.questions import SettleCall
from covend.runtime import Actor, ActorError, Exit, MailboxSpec, ReplyError, Workers

SUBMIT_SECONDS = 20.0
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Brought:
    """From a helper's thread: what an errand brought."""

    key: str
    raw: Raw
    declined: str | None = None


@dataclass(frozen=True, slots=True)
class Overdue:
    """A timer's message: nobody waits for this errand any more."""

    key: str


class Work(Protocol):
    """Something under way outside, which can be given up."""

    def cancel(self) -> object:
        """Nothing is heard of it any more. Any thread."""
        ...


@dataclass(slots=True)
class Errand:
    """One call in hand: waiting for its turn, ``out``, or with its ``answer`` to be recorded."""

    order: Dispatch
    began: float = 0.0
    work: Work | None = None
    job: str | None = None
    answer: Returned | None = None
    out: bool = False
    unclear: bool = False
    withdrawn: bool = False


class Courier(Actor):
    """Owns what is under way outside (P4). Address ``courier@core``, for the broker's news."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="reject")

    def __init__(self, box: Box, clock: Callable[[], int] = wall_clock) -> None:
        self.max_calls = box.queries.max_calls
        self.here = Path(box.source).parent
        self.clock = clock
        self.errands: dict[str, Errand] = {}
        self.jobs: dict[str, str] = {}
        self.waiting: deque[str] = deque()
        self.out = 0

    def on_start(self) -> None:
        self.loop = errands.Loop("courier-loop")
        self.hands = Workers()

    def on_stop(self, reason: Exit) -> None:
        for errand in self.errands.values():
            if errand.work is not None:
                errand.work.cancel()
        self.hands.close(errands.STOP_SECONDS)
        self.loop.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Dispatch():
                self.dispatch(message)
            case Brought():
                self.brought(message.key, message.raw, message.declined)
            case JobFinished():
                self.finished(message)
            case Recorded(keys=keys):
                for key in keys:
                    self.forget(key)
            case Withdraw(keys=keys):
                for key in keys:
                    self.withdraw(key)
            case Overdue(key=key):
                self.withdraw(key)
            case SettleCall():
                return self.settle(message)
            case NewConfig():
                self.max_calls = message.box.queries.max_calls
            case _:
                pass
        return None

    # ── taking calls on ─────────────────────────────────────────────────────────────────────

    def dispatch(self, order: Dispatch) -> None:
        """Carry a call out, unless that was done: then say again what came of it (P4)."""
        for recorded in order.recorded:
            self.forget(recorded)
        key = str(order.call["key"])
        known = self.errands.get(key)
        if known is not None:
            if known.answer is not None:
                self.ctx.tell("desk", known.answer)
            return
        left = (order.call["deadline"] - self.clock()) / 1e6
        if left <= 0:
            return  # the run's own timer is about to say so
        errand = Errand(order, self.ctx.now())
        self.errands[key] = errand
        self.ctx.timer(key, left, Overdue(key))
        if self.is_local(order):
            self.submit(key, errand)
        elif order.again and self.is_unclear(order):
            self.unclear(key, errand)
        else:
            self.waiting.append(key)
            self.next_ones()

    @staticmethod
    def is_local(order: Dispatch) -> bool:
        """Whether the box's own ghouls do it: their jobs are durable, so nothing is unclear."""
        return order.responder.kind == "llm" and order.responder.endpoint is None

    @staticmethod
    def is_unclear(order: Dispatch) -> bool:
        """Whether it must not go out a second time."""
        repeatable = order.responder.idempotent or order.responder.kind == "pattern"
        return order.policy != "redispatch" or not repeatable

    def unclear(self, key: str, errand: Errand) -> None:
        order = errand.order
        name = f"{order.call['slot']}#{order.call['attempt']}"
        if order.policy == "ask":
            errand.unclear = True
            self.ctx.tell("desk", Unclear(order.thread, name))
            return
        text = "nobody knows whether it was carried out before a restart"
        self.brought(key, Raw(failure=text, transport=False))

    def settle(self, order: SettleCall) -> dict[str, Any]:
        """What an operator knows of a call of which nobody else knows (P4)."""
        key = f"{order.id}/{order.call}"
        errand = self.errands.get(key)
        if errand is None or not errand.unclear or errand.withdrawn:
            text = f"nothing is unclear about a call {order.call!r} of query {order.id!r}"
            return refused(409, "not_unclear", text)
        errand.unclear = False
        if order.how == "again":
            self.waiting.append(key)
            self.next_ones()
        else:
            self.brought(key, Raw(failure="an operator counts it as failed", transport=False))
        return {"id": order.id, "call": order.call, "how": order.how}

    def next_ones(self) -> None:
        """Send out what waits for its turn, as many at once as the configuration allows."""
        while self.waiting and self.out < self.max_calls:
            key = self.waiting.popleft()
            errand = self.errands.get(key)
            if errand is not None:
                self.out += 1
                errand.out = True
                self.send(key, errand)

    def send(self, key: str, errand: Errand) -> None:
        order = errand.order
        call, responder = order.call, order.responder
        # A little longer than the errand has: who gives it up is always ``Overdue``.
        left = max(0.0, (call["deadline"] - self.clock()) / 1e6) + 1.0
        me = self.ctx.me

        def done(raw: Raw) -> None:
            me.tell(Brought(key, raw))

        if responder.kind == "pattern":
            name = responder.function or ""

            def run() -> None:
                me.tell(Brought(key, *errands.compute(name, call)))

            self.hands.run(run, f"function-{name[:20]}")
        elif responder.command:
            try:
                command = expand_command(responder.command, self.here, os.environ)
            except PlaceholderError as error:
                done(Raw(failure=str(error), transport=False))
                return
            errand.work = errands.Program(command, errands.request(call), left, done)
        elif responder.url is not None:
            body = errands.request(call)
            errand.work = self.loop.run(errands.post(responder.url, body, key, {}, left), done)
        else:
            url = f"{(responder.endpoint or '').rstrip('/')}/chat/completions"
            body = errands.completion(call, responder)
            token = os.environ.get(responder.api_key_env or "", "")
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            errand.work = self.loop.run(errands.post(url, body, key, headers, left), done)

    # ── this box's models (W14, S17) ────────────────────────────────────────────────────────

    def submit(self, key: str, errand: Errand) -> None:
        """Queue a ghoul job named by the key; the same name again is the same job."""
        order = errand.order
        errand.job = f"call-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        self.jobs[errand.job] = key
        step = Step(CHAT, errands.completion(order.call, order.responder))
        job = SubmitJob(
            capability=order.responder.model or "",
            steps=[step],
            klass=order.klass,
            id=errand.job,
            tell="courier@core",
        )
        me = self.ctx.me

        def heard(answer: Any) -> None:
            if isinstance(answer.error, ReplyError):
                me.tell(Brought(key, Raw(failure=str(answer.error), transport=False)))
            elif isinstance(answer.error, ActorError):
                me.tell(Brought(key, errands.failed(answer.error)))

        self.ctx.ask_later("broker", job, SUBMIT_SECONDS).on_done(heard)

    def finished(self, news: JobFinished) -> None:
        key = self.jobs.get(news.id)
        if key is None:
            return
        if news.error is not None and self.errands[key].withdrawn:
            self.forget(key)
        elif news.error is not None:
            self.brought(key, Raw(failure=news.error, transport=False))
        else:
            self.brought(key, Raw(status=200, body=news.results[0] if news.results else None))

    # ── what comes back ─────────────────────────────────────────────────────────────────────

    def brought(self, key: str, raw: Raw, declined: str | None = None) -> None:
        errand = self.errands.get(key)
        if errand is None or errand.answer is not None:
            return
        self.ctx.cancel(key)
        self.back(errand)
        order = errand.order
        timed = msgspec.structs.replace(raw, delay_secs=self.ctx.now() - errand.began)
        name = f"{order.call['slot']}#{order.call['attempt']}"
        errand.answer = Returned(order.thread, name, timed, declined)
        self.ctx.tell("desk", errand.answer)

    def back(self, errand: Errand) -> None:
        if errand.out:
            errand.out = False
            self.out -= 1
            self.next_ones()

    def withdraw(self, key: str) -> None:
        """Stop what can be stopped; what comes back nevertheless is recorded as late (P12)."""
        errand = self.errands.get(key)
        if errand is None or errand.answer is not None:
            return
        errand.withdrawn = True
        if errand.job is not None:
            self.ctx.tell("broker", CancelJob(id=errand.job))
            return
        if errand.work is not None:
            errand.work.cancel()
        if errand.work is not None or not errand.out:
            self.forget(key)
        else:
            self.back(errand)  # a function that never ends must not hold up the others

    def forget(self, key: str) -> None:
        errand = self.errands.pop(key, None)
        if errand is None:
            return
        self.ctx.cancel(key)
        if errand.job is not None:
            self.jobs.pop(errand.job, None)
        self.back(errand)
