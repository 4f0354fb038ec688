"""A strand: one thread that actors share which never block it.

Such an actor names its strand in its class and waits by ``await ctx.asked(...)``: its handler
stands still, and the strand goes on with the others. Each of them still handles one message at a
time. What one tells another costs no change of threads, and ten thousand of them are one thread.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covend.runtime.cell import Cell


class Strand:
    """Gives each of its actors a turn when there is something for it; in order of their asking."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self.thread = threading.Thread(target=self._run, name=f"strand {name}", daemon=True)
        self._now = now
        self._ready: deque[Cell] = deque()
        self._alarms: list[tuple[float, int, Cell]] = []
        self._serial = count()
        self._asleep = False
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._closed = False
        self.thread.start()

    def ready(self, cell: Cell) -> None:
        """Give this actor a turn; one more than it needs does no harm. Any thread."""
        self._ready.append(cell)
        if self._asleep:
            self._asleep = False
            self._wakes.put(None)

    def at(self, deadline: float, cell: Cell) -> None:
        """Give it a turn at this time, for its timers. The strand's own thread."""
        heapq.heappush(self._alarms, (deadline, next(self._serial), cell))

    def close(self, timeout: float) -> None:
        """End the thread once nobody is ready."""
        self._closed = True
        self._wakes.put(None)
        if threading.current_thread() is not self.thread:
            self.thread.join(max(0.0, timeout))

    def _run(self) -> None:
        while (cell := self._next()) is not None:
            if cell.turn():
                self._ready.append(cell)
            del cell  # who has ended is not kept until the next has something to do

    def _next(self) -> Cell | None:
        while True:
            while self._alarms and self._alarms[0][0] <= self._now():
                self._ready.append(heapq.heappop(self._alarms)[2])
            if self._ready:
                return self._ready.popleft()
            if self._closed:
                return None
            self._sleep()

    def _sleep(self) -> None:
        """Wait until somebody is ready or the next alarm is due; sometimes it is for nothing."""
        self._asleep = True
        if not self._ready and not self._closed:  # said, then look: see Mailbox
            left = max(0.0, self._alarms[0][0] - self._now()) if self._alarms else None
            try:
                self._wakes.get(timeout=left)
            except Empty:
                pass  # an alarm is due
        self._asleep = False


class Bell:
    """What a mailbox rings when a message comes for an actor that has nothing to do."""

    __slots__ = ("_cell", "_strand")

    def __init__(self, strand: Strand, cell: Cell) -> None:
        self._strand = strand
        self._cell = cell

    def put(self, _nothing: None) -> None:
        """Give the actor a turn. Any thread."""
        self._strand.ready(self._cell)
