"""The life of one actor, from its start to its last ``Down``; the same on every system.

``run`` is the whole life, on a thread of the actor's own; ``turn`` is a piece of it, on a strand
that it shares. Only ``fence`` and ``watch`` come from others: a fenced actor is dead to everybody
at once, whatever its thread still does (S15).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from covend.runtime.actor import Actor, Context
from covend.runtime.address import ActorRef
from covend.runtime.answer import Answer, Promise
from covend.runtime.envelope import Envelope, Origin, here
from covend.runtime.errors import ActorDead, ActorError, ReplyError
from covend.runtime.exits import NOPROC, NORMAL, ZOMBIE, Exit, Failed
from covend.runtime.messages import Down, MonitorId, Shutdown
from covend.runtime.strand import Bell
from covend.runtime.timers import Fired

if TYPE_CHECKING:
    from covend.runtime.strand import Strand
    from covend.runtime.system import System

log = logging.getLogger("covend.runtime")


TURN = 16
"""So many messages an actor handles on its strand before the next has its turn."""


class Cell:
    """Everything the runtime knows of one incarnation of an actor."""

    __slots__ = (
        "_end", "_left", "_standing", "actor", "asked", "begun", "done", "ended", "fenced", "gone",
        "ids", "incarnation", "leaving", "mailbox", "msg_id", "name", "parent", "promised",
        "received", "ref", "started", "state", "strand", "system", "trace", "trace_id",
        "waits_for", "watchers", "watching",
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
        self.strand: Strand | None = None
        self.begun = False
        self._left: Callable[[], None] | None = None
        self._standing: _Standing | None = None

    # ── a thread of its own ───────────────────────────────────────────────────────────────

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
            self._forget_zombie()

    # ── a turn on a strand ───────────────────────────────────────────────────────────────────

    def share(self, strand: Strand, left: Callable[[], None]) -> None:
        """Live on this strand; ``left`` is called when the last turn is over. Any thread, once."""
        self.strand, self._left = strand, left
        self.mailbox.ring(Bell(strand, self))
        strand.ready(self)

    def turn(self) -> bool:
        """Go on where it stopped, for a while; returns whether there is more to do at once."""
        here.cell = self
        try:
            return self._left is not None and self._turn()
        finally:
            here.cell = None

    def _turn(self) -> bool:
        if not self.begun:
            self.begun = True
            self.mailbox.owner = threading.get_ident()
            if not self._start():
                return self._over()
        elif self._standing is not None and not self._went_on():
            return False
        for _ in range(TURN):
            if self.fenced:
                return self._over()
            if self.leaving is not None:
                self._leave(self.leaving)
                return self._over()
            if self.mailbox.timers.armed:
                self.mailbox.fire()
            if (envelope := self.mailbox.pop()) is None:
                return not self._idle()
            self._handle(envelope)
            if self._standing is not None:
                return False
        return True

    def _went_on(self) -> bool:
        """Whether the handler that stood still has come to its end, or is given up."""
        standing = self._standing
        assert standing is not None
        if self.fenced:
            self._standing = None
            standing.handler.close()
            return True
        return standing.answer.done and self._go_on(standing)

    def _idle(self) -> bool:
        if not self.mailbox.idle():
            return False
        deadline = self.mailbox.timers.next_deadline()
        if deadline is not None and self.strand is not None:
            self.strand.at(deadline, self)
        return True

    def _over(self) -> bool:
        left, self._left = self._left, None
        self._forget_zombie()
        if left is not None:
            left()
        return False

    # ── wherever it lives ────────────────────────────────────────────────────────────────────

    def _forget_zombie(self) -> None:
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
        try:
            if ours and isinstance(message, Shutdown) and not self.actor.trap_shutdown:
                result = None
                self.leaving = self.leaving or message.reason
            else:
                result = self.actor.on_receive(message)
                if type(result) is CoroutineType:
                    handler = cast("Coroutine[Any, Any, Any]", result)
                    if self.strand is not None:
                        self._go_on(_Standing(handler, envelope))
                        return
                    result = _run_through(handler)
        except BaseException as error:
            self._failed(envelope, error)
        else:
            self._handled(envelope, result)

    def _go_on(self, standing: _Standing) -> bool:
        """Run a handler up to the next answer that it awaits; returns whether it has ended."""
        self._standing, self.waits_for = None, ""
        try:
            standing.answer = _awaited(standing.handler)
        except StopIteration as end:
            self._handled(standing.envelope, end.value)
        except BaseException as error:
            self._failed(standing.envelope, error)
        else:
            self._standing, self.waits_for = standing, standing.answer.label
            standing.answer.on_done(self._wake)
            return False
        return True

    def _wake(self, _answer: Answer) -> None:
        if self.strand is not None:
            self.strand.ready(self)

    def _handled(self, envelope: Envelope, result: object) -> None:
        if self.asked is not None and type(result) is not Promise:
            self.reply(self.asked, result, None)
        self.done(envelope, "")
        self.asked = None

    def _failed(self, envelope: Envelope, error: BaseException) -> None:
        if not isinstance(error, ReplyError):
            self.leaving = Failed(error)
        if self.asked is not None:
            self.reply(self.asked, None, _for_others(error, self.name))
        self.done(envelope, f"{type(error).__name__}: {error}")
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
        if self.strand is not None:
            self.strand.ready(self)  # to let go of a handler that stands still
        return True

    def may_wait(self, what: str) -> None:
        """Raise ``ActorError`` if this actor's thread is not its own to keep waiting."""
        if self.strand is not None:
            raise ActorError(
                f"{self.name} shares a thread and may not wait for {what} in it:"
                " await ctx.asked(...) instead"
            )

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


class _Standing:
    """A handler that stands still: what it handles, and the answer that it awaits."""

    __slots__ = ("answer", "envelope", "handler")

    answer: Answer

    def __init__(self, handler: Coroutine[Any, Any, Any], envelope: Envelope) -> None:
        self.handler = handler
        self.envelope = envelope


def _awaited(handler: Coroutine[Any, Any, Any]) -> Answer:
    """Run a handler on; the answer that it awaits next."""
    awaited = handler.send(None)
    if not isinstance(awaited, Answer):
        handler.close()
        raise ActorError(f"a handler awaits ctx.asked(...) and nothing else, not {awaited!r}")
    return awaited


def _run_through(handler: Coroutine[Any, Any, Any]) -> Any:
    """Run a handler to its end, waiting for each answer that it awaits."""
    while True:
        try:
            _awaited(handler).rest()
        except StopIteration as end:
            return end.value


def _for_others(error: BaseException, name: str) -> Exception:
    """Return the error as an asker may see it: an exit of one actor is nobody else's (S12)."""
    if isinstance(error, Exception):
        return error
    return ActorDead(f"{name} ended on {type(error).__name__}: {error}")


_OURS = frozenset({Fired, Down, Shutdown})
