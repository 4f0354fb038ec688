"""The answer to an ask: settled exactly once, by a reply, an error, a death or the deadline."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from covend.runtime.envelope import here
from covend.runtime.errors import AskTimeout

if TYPE_CHECKING:
    from covend.runtime.cell import Cell

log = logging.getLogger("covend.runtime")


class Clock(Protocol):
    """What an answer needs of its system: the time, and a call at a time."""

    def now(self) -> float: ...
    def call_at(self, deadline: float, answer: Answer) -> None: ...


def checked_timeout(timeout: float) -> float:
    """Return ``timeout`` if it bounds a wait (S12: every ask has one); else ``ValueError``."""
    if not 0 < timeout < math.inf:
        raise ValueError(f"a timeout must be a positive, finite number of seconds, not {timeout!r}")
    return timeout


class Answer:
    """A value that will come, or an error; any thread may wait for it.

    The first to settle it wins; whoever comes later is told so and drops what it has.
    """

    __slots__ = (
        "_callbacks",
        "_clock",
        "_once",
        "_ready",
        "deadline",
        "done",
        "error",
        "label",
        "value",
    )

    def __init__(self, clock: Clock, label: str, timeout: float) -> None:
        self._clock = clock
        self._callbacks: list[Callable[[Answer], None]] = []
        self._once = threading.Lock()
        self._ready = threading.Lock()
        self._ready.acquire()
        self.label = label
        self.deadline = clock.now() + timeout
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self, value: object = None, error: BaseException | None = None) -> bool:
        """Settle it unless somebody was first; returns whether this call did. Any thread."""
        if not self._once.acquire(blocking=False):
            return False
        self.value, self.error = value, error
        self.done = True
        self._ready.release()
        if self._callbacks:
            self._call_back()
        return True

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; returns whether it is settled."""
        if self.done:
            return True
        me = here.cell
        if me is None:
            return self._sleep(timeout)
        me.waits_for = self.label
        try:
            return self._sleep(timeout)
        finally:
            me.waits_for = ""

    def _sleep(self, timeout: float) -> bool:
        if not self._ready.acquire(timeout=max(0.0, timeout)):
            return self.done
        self._ready.release()  # for the next who waits
        return True

    def get(self) -> Any:
        """Return the reply, waiting until the ask's deadline at most.

        Raises ``AskTimeout`` after it, ``ActorDead`` if the actor went, or what the handler raised.
        """
        if not self.done and not self.wait(self.deadline - self._clock.now()):
            self.expire()
        if self.error is not None:
            raise self.error
        return self.value

    def expire(self) -> None:
        """Give up waiting: settles it with ``AskTimeout`` unless it is settled. Any thread."""
        self.settle(error=AskTimeout(f"{self.label} did not answer in time"))

    def on_done(self, callback: Callable[[Answer], None]) -> None:
        """Call ``callback(answer)`` once it is settled, at the deadline at the latest.

        It runs in the thread that settles it, or here if it is settled: it must not block.
        """
        self._callbacks.append(callback)
        if self.done:  # append, then look: whoever settled it may have looked before
            self._call_back()
        elif self.deadline < math.inf:
            self._clock.call_at(self.deadline, self)

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return  # the other side of the race took the last one
            try:
                callback(self)
            except Exception:
                log.exception("a callback of the answer from %s failed", self.label)


class Promise:
    """The right to answer one message later; ``on_receive`` returns it in place of the answer.

    Dropped replies (the asker gave up, the actor is a zombie) are traced. The asker gets
    ``ActorDead`` if the actor ends before it is kept. Any thread may keep it.
    """

    __slots__ = ("_answer", "_cell")

    def __init__(self, cell: Cell, answer: Answer | None) -> None:
        self._cell = cell
        self._answer = answer
        if answer is not None:
            cell.promised.add(answer)

    def reply(self, value: object) -> bool:
        """Answer the asker; returns whether it was still waiting."""
        return self._keep(value, None)

    def fail(self, error: BaseException) -> bool:
        """Answer the asker with an error; returns whether it was still waiting."""
        return self._keep(None, error)

    def _keep(self, value: object, error: BaseException | None) -> bool:
        if self._answer is None:
            return False  # it was told, not asked
        self._cell.promised.discard(self._answer)
        return self._cell.reply(self._answer, value, error)
