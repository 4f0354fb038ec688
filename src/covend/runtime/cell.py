"""The life of one actor, from its start to its last ``Down``; the same on every system.

``run`` is the whole life, on the actor's own thread. Only ``fence`` and ``watch`` come from
others: a fenced actor is dead to everybody at once, whatever its thread still does (S15).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from covend.runtime.actor import Actor, Context
from covend.runtime.address import ActorRef
from covend.runtime.answer import Answer, Promise
from covend.runtime.envelope import Envelope, Origin, here
from covend.runtime.errors import ActorDead, ActorError, ReplyError
from covend.runtime.exits import NOPROC, NORMAL, ZOMBIE, Exit, Failed
from covend.runtime.messages import Down, MonitorId, Shutdown
from covend.runtime.timers import Fired

if TYPE_CHECKING:
    from covend.runtime.system import System

log = logging.getLogger("covend.runtime")


class Cell:
    """Everything the runtime knows of one incarnation of an actor."""

    __slots__ = (
        "_end", "actor", "asked", "done", "ended", "fenced", "gone", "ids", "incarnation",
        "leaving", "mailbox", "msg_id", "name", "parent", "promised", "received", "ref", "started",
        "state", "system", "trace", "trace_id", "waits_for", "watchers", "watching",
    )  # fmt: skip

    def __init__(
        self, system: System, name: str, incarnation: int, actor: Actor, start_timeout: float
    ) -> None:
        self.system = system
        self.trace = system.trace
        self.received = system.trace.received
        self.done = system.trace.done
        self.ids = system.ids
        self.name = name
        self.incarnation = incarnation
        self.actor = actor
        self.parent = here.cell
        self.mailbox = system.mailbox(name, actor.mailbox, self._bury)
        self.ref = ActorRef(self)
        self.started: Answer = system.answer(name, start_timeout)
        self.gone: Answer = system.answer(name, math.inf)
        self.state: object = None
        self.leaving: Exit | None = None
        self.fenced = False
        self.ended = False
        self.waits_for = ""  # whose answer this actor's handler blocks on
        self.msg_id = 0  # the message being handled: the cause of what is sent now
        self.trace_id = 0
        self.asked: Answer | None = None
        self.promised: set[Answer] = set()
        self.watchers: dict[int, Callable[[Exit], None]] = {}
        self.watching: dict[MonitorId, Callable[[], bool]] = {}
        self._end = threading.Lock()

    # ── the actor's own thread ───────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Live: start, handle messages until something ends it, leave."""
        here.cell = self
        self.mailbox.owner = threading.get_ident()
        try:
            if self._start():
                handle, get = self._handle, self.mailbox.get
                while self.leaving is None and not self.fenced:
                    handle(get())
                if not self.fenced:
                    self._leave(self.leaving or NORMAL)
        finally:
            here.cell = None
            if self.system.zombies.get(self.name) is self:
                del self.system.zombies[self.name]

    def _start(self) -> bool:
        try:
            self.actor.ctx = Context(self)
            self.actor.on_start()
        except BaseException as error:
            if not self.fenced:
                self.mailbox.close()
                self.finish(Failed(error))
                self.started.settle(error=error)
            return False
        self.started.settle(self.ref)
        return True

    def _handle(self, envelope: Envelope) -> None:
        """Handle one message. Whatever it raises is this actor's failure alone (S12)."""
        ours = envelope.kind in _OURS
        if ours:
            wanted = self._ours(envelope)
            if wanted is None:
                return
            envelope = wanted
        message, answer = envelope.message, envelope.answer
        envelope.message = envelope.answer = None  # the ring keeps the envelope, not the payload
        self.msg_id, self.trace_id, self.asked = envelope.msg_id, envelope.trace_id, answer
        self.received(envelope)
        outcome = ""
        try:
            if ours and isinstance(message, Shutdown) and not self.actor.trap_shutdown:
                result = None
                self.leaving = self.leaving or message.reason
            else:
                result = self.actor.on_receive(message)
        except ReplyError as error:
            outcome = f"{type(error).__name__}: {error}"
            if answer is not None:
                self.reply(answer, None, error)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
            self.leaving = Failed(error)
            if answer is not None:
                self.reply(answer, None, _for_others(error, self.name))
        else:
            if answer is not None and type(result) is not Promise:
                self.reply(answer, result, None)
        self.done(envelope, outcome)
        self.asked = None

    def _ours(self, envelope: Envelope) -> Envelope | None:
        """Return what the actor is to see of a timer or a ``Down``; ``None`` for nothing."""
        message = envelope.message
        if isinstance(message, Fired):
            timer = self.mailbox.timers.take(message)
            if timer is None:
                return None  # cancelled or replaced since (S14)
            msg_id = next(self.ids)
            ids = (msg_id, timer.cause_id, timer.trace_id or msg_id)
            self.trace.add("timer", self.name, "", timer.message, *ids)
            return self.trace.enclose(timer.message, None, self.name, Origin(self.name, *ids))
        if isinstance(message, Down) and self.watching.pop(message.monitor, None) is None:
            return None  # demonitored since (S9)
        return envelope

    def _leave(self, reason: Exit) -> None:
        """Close, clean up, then tell the watchers (S9): in this order, on every way out."""
        if isinstance(reason, Failed):
            log.error("%s failed", self.name, exc_info=reason.error)
        self.mailbox.close()
        self.system.checkpoint()
        try:
            self.actor.on_stop(reason)
        except BaseException as error:
            log.error("on_stop of %s failed", self.name, exc_info=error)
            if not reason.abnormal:
                reason = Failed(error)
        self.system.checkpoint()
        self.finish(reason)

    # ── any thread ───────────────────────────────────────────────────────────────────────────

    def finish(self, reason: Exit) -> None:
        """Become dead to everybody, once: free the name, break promises, send every ``Down``."""
        if not self._end.acquire(blocking=False):
            return
        self.system.forget(self)
        while self.promised:
            dead = ActorDead(f"{self.name} ended before it kept its promise: {reason}")
            self.promised.pop().settle(error=dead)
        for cancel in list(self.watching.values()):
            cancel()
        self.ended = True
        self.trace.note("exit", self.name, reason=str(reason), incarnation=self.incarnation)
        while self.watchers:
            try:
                _, callback = self.watchers.popitem()
            except KeyError:
                break  # a watcher that came late, or was taken back, took the last one itself
            callback(reason)
        self.gone.settle(reason)

    def fence(self) -> bool:
        """Declare it a zombie (S15): dead to everybody, while its thread cannot be killed.

        Its mailbox is closed, its name free, and what it still sends or replies is dropped and
        traced. ``on_stop`` never runs: what it would release may be its successor's by then.
        Returns whether it was alive. Any thread but its own.
        """
        self.fenced = True
        if self.ended:
            return False
        self.system.zombies[self.name] = self
        self.mailbox.close()
        if (asked := self.asked) is not None:
            asked.settle(error=ActorDead(f"{self.name} was fenced as a zombie"))
        self.finish(ZOMBIE)
        return True

    def watch(self, callback: Callable[[Exit], None]) -> Callable[[], bool]:
        """Call ``callback(reason)`` exactly once after the end, with ``NOPROC`` if it was before.

        Returns how to take it back, which says whether that came in time.
        """
        key = next(self.system.monitor_ids)
        self.watchers[key] = callback
        if self.ended and self.watchers.pop(key, None) is not None:
            callback(NOPROC)  # enter, then look: else ``finish`` has it or will have it
        return lambda: self.watchers.pop(key, None) is not None

    def reply(self, answer: Answer, value: object, error: BaseException | None) -> bool:
        """Settle an ask; a zombie's replies and those nobody waits for are dropped and traced."""
        if not self.fenced and answer.settle(value, error):
            return True
        why = "reply of a zombie" if self.fenced else "nobody waits for the reply any more"
        self.trace.add(
            "drop", self.name, answer.label, error or value, self.msg_id, 0, self.trace_id, why
        )
        return False

    def muted(self, target: str, message: object) -> None:
        """Drop what a zombie tries to send."""
        origin = Origin(self.name, 0, self.msg_id, self.trace_id)
        error = ActorDead(f"{self.name} is a zombie: what it sends is dropped")
        self.system.bury(target, self.trace.enclose(message, None, target, origin), error)

    def _bury(self, envelope: Envelope, error: ActorError) -> None:
        self.system.bury(self.name, envelope, error)


def _for_others(error: BaseException, name: str) -> Exception:
    """Return the error as an asker may see it: an exit of one actor is nobody else's (S12)."""
    if isinstance(error, Exception):
        return error
    return ActorDead(f"{name} ended on {type(error).__name__}: {error}")


_OURS = frozenset({Fired, Down, Shutdown})
