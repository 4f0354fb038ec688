"""The simulated system: unmodified actors, one at a time, virtual time, a given schedule (S18).

Each actor has a thread, but only the one that holds the baton runs; it hands it back when it waits
for anything. At each step the runnable actors stand in the order they were spawned, and the next
integer of the schedule, modulo their number, picks one; where there is only one, no integer is
used. After the last integer they take turns. Time moves only when nobody is runnable (or, with
``slow_machine``, whenever the schedule picks the place after the last actor). ``steps`` lists the
picks made: given as the schedule of another system, everything happens again, byte for byte.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Sequence
from itertools import count
from types import TracebackType

from covend.runtime.answer import Answer
from covend.runtime.cell import Cell
from covend.runtime.envelope import Envelope
from covend.runtime.errors import ActorError
from covend.runtime.mailbox import Mailbox, MailboxSpec
from covend.runtime.system import System
from covend.runtime.trace import TraceRing


class Deadlock(AssertionError):
    """Nobody can run and no deadline will change that; the message has the schedule."""


class Livelock(AssertionError):
    """The actors kept each other busy without any time passing; the message has the schedule."""


class _Unwound(BaseException):
    """Ends an actor's thread where it waits, when its simulation is over."""


def _at_once() -> bool:
    return True


class _Fiber:
    """One actor's thread, parked until it is handed the baton."""

    def __init__(self, cell: Cell, sim: SimSystem) -> None:
        self.cell = cell
        self.ready: Callable[[], bool] = _at_once
        self.deadline: float | None = None
        self.finished = False
        self.baton = threading.Lock()
        self.baton.acquire()
        self._sim = sim
        self.thread = threading.Thread(target=self._run, name=f"sim {cell.name}", daemon=True)

    def _run(self) -> None:
        self.baton.acquire()
        try:
            if not self._sim.closing:
                self.cell.run()
        except _Unwound:
            pass  # the simulation is over: that is all this thread was for
        finally:
            self.finished = True
            self._sim.baton.release()

    def runnable(self, now: float) -> bool:
        """Whether it has something to do, or has waited long enough."""
        return self.ready() or (self.deadline is not None and self.deadline <= now)


class SimAnswer(Answer):
    """An answer whose waiting lets the simulation go on."""

    __slots__ = ("_sim",)

    def __init__(self, sim: SimSystem, label: str, timeout: float) -> None:
        super().__init__(sim, label, timeout)
        self._sim = sim

    def _sleep(self, timeout: float) -> bool:
        return self._sim.block(lambda: self.done, self._sim.now() + max(0.0, timeout))


class SimMailbox(Mailbox):
    """A mailbox whose waiting lets the simulation go on."""

    __slots__ = ("_sim",)

    def __init__(
        self,
        name: str,
        spec: MailboxSpec,
        sim: SimSystem,
        bury: Callable[[Envelope, ActorError], None],
    ) -> None:
        super().__init__(name, spec, sim.now, bury)
        self._sim = sim

    def get(self) -> Envelope:
        while True:
            self._sim.block(lambda: len(self) > 0, self.timers.next_deadline())
            self.fire()
            if (envelope := self.pop()) is not None:
                return envelope

    def _wait_for_room(self, envelope: Envelope, bound: int, deadline: float) -> bool:
        if not self._sim.block(lambda: len(self.work) < bound or self.closed, deadline):
            return False
        self.work.append(envelope)
        return True


class SimSystem(System):
    """Actors under a schedule, in virtual seconds. One thread drives it: the one that calls.

    Waiting calls from outside (``spawn``, ``ask``, ``join``, …) run the simulation until they are
    answered. Use it as a context manager: leaving it ends every thread.
    """

    def __init__(
        self,
        schedule: Sequence[int] = (),
        node: str = "sim",
        *,
        slow_machine: bool = False,
        start: float = 0.0,
        max_steps: int = 200_000,
        trace: TraceRing | None = None,
    ) -> None:
        self._now = start
        clock = lambda: round(self._now * 1e9)  # noqa: E731
        trace = trace or TraceRing(node=node, clock=clock, wall_ns=0)
        super().__init__(node, trace, 1, lambda: self._now)
        self.steps: list[int] = []
        self.closing = False
        self.baton = threading.Lock()
        self.baton.acquire()
        self._schedule = list(schedule)
        self._slow_machine = slow_machine
        self._max_steps = max_steps
        self._steps_now = 0
        self._fibers: list[_Fiber] = []
        self._running: _Fiber | None = None
        self._last: _Fiber | None = None
        self._alarms: list[tuple[float, int, Answer]] = []
        self._serial = count()
        self._stepping = False
        self._stuck = False

    # ── driving it from outside ──────────────────────────────────────────────────────────────

    def run(self, until: float | Callable[[], bool]) -> None:
        """Run until the virtual time ``until``, or until it returns true.

        Raises ``Deadlock`` if nothing can happen any more and it is still false.
        """
        if callable(until):
            self._drive(until, None)
        else:
            self._drive(lambda: False, max(until, self._now))

    def run_until_idle(self) -> None:
        """Run until nobody has anything to do at the present time."""
        self.run(self._now)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` of virtual time pass."""
        self.run(self._now + seconds)

    def _drive(self, done: Callable[[], bool], limit: float | None) -> bool:
        while not done():
            if self._stepping:
                raise ActorError("a simulation is driven by one thread, and not from a callback")
            self._stepping = True
            try:
                moved = self._step(limit)
            except (Deadlock, Livelock):
                self._stuck = True
                raise
            finally:
                self._stepping = False
            if not moved:
                return done()
        return True

    def _step(self, limit: float | None) -> bool:
        """Let one actor run, or time pass up to ``limit``; returns whether there was anything."""
        while self._alarms and (self._alarms[0][0] <= self._now or self._alarms[0][2].done):
            answer = heapq.heappop(self._alarms)[2]
            if not answer.done:
                answer.expire()
                return True
        runnable = [fiber for fiber in self._fibers if fiber.runnable(self._now)]
        deadline = self._next_deadline()
        soon = deadline is not None and (limit is None or deadline <= limit)
        places = len(runnable) + (self._slow_machine and soon)
        pick = self._pick(places, runnable)
        if pick < len(runnable):
            self._steps_now += 1
            if self._steps_now > self._max_steps:
                names = ", ".join(sorted({fiber.cell.name for fiber in runnable}))
                raise Livelock(f"{self._max_steps} steps at {self._now:g} s by {names}\n{self}")
            self._resume(runnable[pick])
            return True
        self._check_cycle(limit)
        self._steps_now = 0
        if soon and deadline is not None:
            self._now = max(self._now, deadline)
            return True
        if limit is None:
            raise Deadlock(f"nobody is runnable and no deadline is set\n{self}")
        self._now = max(self._now, limit)
        return False

    def _pick(self, places: int, runnable: list[_Fiber]) -> int:
        if places <= 1:
            return 0
        if len(self.steps) < len(self._schedule):
            pick = self._schedule[len(self.steps)] % places
        else:  # round robin: the next after the one that ran last
            order = {fiber: place for place, fiber in enumerate(self._fibers)}
            last = order.get(self._last, -1) if self._last is not None else -1
            later = (i for i, fiber in enumerate(runnable) if order[fiber] > last)
            pick = next(later, 0)
        self.steps.append(pick)
        return pick

    def _next_deadline(self) -> float | None:
        times = [fiber.deadline for fiber in self._fibers if fiber.deadline is not None]
        times += [entry[0] for entry in self._alarms[:1]]
        times = [time for time in times if time > self._now]
        return min(times, default=None)

    def _resume(self, fiber: _Fiber) -> None:
        self._running = self._last = fiber
        fiber.baton.release()
        self.baton.acquire()
        self._running = None
        if fiber.finished:
            self._fibers.remove(fiber)
            fiber.thread.join()

    def _check_cycle(self, limit: float | None) -> None:
        """Raise ``Deadlock`` if actors wait for each other in a ring and nothing else is to come.

        Only their own timeouts would end that: on threads they do; here it is a fault to show.
        """
        if any(f.deadline is not None and not f.cell.waits_for for f in self._fibers):
            return
        waits = self.waits()
        for first in waits:
            ring = [first]
            while (after := waits.get(ring[-1])) is not None and after not in ring:
                ring.append(after)
            if after == first:
                raise Deadlock(f"{' → '.join([*ring, first])}: each waits for the next\n{self}")

    def __str__(self) -> str:
        waits = ", ".join(f"{who} waits for {whom}" for who, whom in self.waits().items())
        return f"schedule={self.steps} at {self._now:g} s; {waits or 'nobody waits for anybody'}"

    # ── what actors call ─────────────────────────────────────────────────────────────────────

    def block(self, ready: Callable[[], bool], deadline: float | None) -> bool:
        """Let others run until ``ready()`` or the virtual ``deadline``; returns ``ready()``."""
        fiber = self._running
        if fiber is None or threading.current_thread() is not fiber.thread:
            if deadline is not None and math.isinf(deadline):
                deadline = None
            return self._drive(ready, deadline)
        if self.closing:
            raise _Unwound
        fiber.ready, fiber.deadline = ready, deadline
        self.baton.release()
        fiber.baton.acquire()
        fiber.deadline = None
        if self.closing:
            raise _Unwound
        return ready()

    def answer(self, label: str, timeout: float) -> Answer:
        return SimAnswer(self, label, timeout)

    def call_at(self, deadline: float, answer: Answer) -> None:
        heapq.heappush(self._alarms, (deadline, next(self._serial), answer))

    def mailbox(
        self, name: str, spec: MailboxSpec, bury: Callable[[Envelope, ActorError], None]
    ) -> Mailbox:
        return SimMailbox(name, spec, self, bury)

    def launch(self, cell: Cell) -> None:
        fiber = _Fiber(cell, self)
        fiber.thread.start()
        self._fibers.append(fiber)

    def checkpoint(self) -> None:
        """Let the schedule choose who goes on."""
        self.block(_at_once, None)

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def shutdown(self, timeout: float = 10.0) -> list[str]:
        """As on threads; after a ``Deadlock`` or ``Livelock`` everything just ends where it is."""
        if not self._stuck:
            return super().shutdown(timeout)
        names = [cell.name for cell in self._cells]
        self._close(timeout)
        return names

    def _close(self, timeout: float) -> None:
        self.closing = True
        for cell in list(self._cells):
            cell.fence()
        for fiber in list(self._fibers):
            fiber.ready = _at_once
            self._resume(fiber)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.shutdown()
        finally:
            self._close(0.0)  # after a failure the actors may be beyond an orderly stop
