"""The timers of one mailbox: a heap, read by the actor's own wait (S14)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from itertools import count
from typing import NamedTuple

_COMPACT_FROM = 64


class Timer(NamedTuple):
    """One armed timer; ``state`` is the state it was declared for, if any."""

    serial: int
    deadline: float
    message: object
    state: object
    cause_id: int
    trace_id: int


class Fired(NamedTuple):
    """A timer's place in the control lane; void if the timer was cancelled or replaced since."""

    key: Hashable
    serial: int


class Timers:
    """One timer per key. Used by the actor's thread alone, so it needs no lock."""

    __slots__ = ("_heap", "_live", "_serial", "look_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hashable]] = []
        self._live: dict[Hashable, Timer] = {}
        self._serial = count()
        self.look_at = math.inf
        """Nothing is due before; a cancelled timer may have been what was due then."""

    def arm(
        self,
        key: Hashable,
        deadline: float,
        message: object,
        state: object = None,
        cause_id: int = 0,
        trace_id: int = 0,
    ) -> None:
        """Arm the timer of ``key``, in place of the one it had."""
        serial = next(self._serial)
        self.look_at = min(self.look_at, deadline)
        self._live[key] = Timer(serial, deadline, message, state, cause_id, trace_id)
        heapq.heappush(self._heap, (deadline, serial, key))
        if len(self._heap) > _COMPACT_FROM + 2 * len(self._live):
            self._heap = [(t.deadline, t.serial, k) for k, t in self._live.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: Hashable) -> bool:
        """Cancel the timer of ``key``, fired or not; returns whether there was one."""
        return self._live.pop(key, None) is not None

    def enter(self, state: object) -> None:
        """Cancel every timer that was declared for another state (S14)."""
        for key, timer in list(self._live.items()):
            if timer.state is not None and timer.state != state:
                del self._live[key]

    def next_deadline(self) -> float | None:
        """When the next timer is due, or ``None``."""
        while self._heap:
            deadline, serial, key = self._heap[0]
            timer = self._live.get(key)
            if timer is not None and timer.serial == serial:
                self.look_at = deadline
                return deadline
            heapq.heappop(self._heap)
        self.look_at = math.inf
        return None

    def due(self, now: float) -> list[Fired]:
        """Take out what is due at ``now``, earliest first."""
        fired: list[Fired] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, serial, key = heapq.heappop(self._heap)
            fired.append(Fired(key, serial))
        return fired

    def take(self, fired: Fired) -> Timer | None:
        """Return the timer that fired, or ``None`` if it was cancelled or replaced meanwhile."""
        timer = self._live.get(fired.key)
        if timer is None or timer.serial != fired.serial:
            return None
        return self._live.pop(fired.key)
