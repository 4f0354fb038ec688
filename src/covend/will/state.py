"""What a decision about the hardware is made from: one frozen, serialisable struct.

The owner builds a ``State`` at each event out of parts that change rarely (shared by reference)
and the queues (rebuilt where they changed). Encoded with msgspec and decoded again it gives the
same decision. All times are monotonic seconds.
"""

from __future__ import annotations

import msgspec

from covend.will.model import NEVER

NO_CLASS = (NEVER, NEVER, NEVER, NEVER)


class ClassQueue(msgspec.Struct, frozen=True):
    """The signals of one class that wait for one coven: how many, since when, for how much work.

    ``arrivals`` is the sum of their arrival times, ``service`` the expected seconds to serve them
    all, ``signal`` the id of the oldest.
    """

    klass: str
    count: int
    arrivals: float
    oldest: float
    service: float
    signal: str = ""


class Queue(msgspec.Struct, frozen=True):
    """All that waits for one coven, with the sums a decision needs (W9).

    ``weight`` is Σ weight and ``moment`` Σ weight·arrival, so that demand at any time is
    ``weight·now − moment``; ``prefixes`` holds (Σ weight, Σ service) up to the end of each class,
    highest class first; ``top`` is the weight of the highest class; ``ingest_oldest`` is the
    arrival of the oldest ingest signal, where there is one (W16).
    """

    classes: tuple[ClassQueue, ...]
    weight: float
    moment: float
    oldest: float
    top: float
    prefixes: tuple[tuple[float, float], ...]
    ingest_oldest: float | None = None

    def demand(self, now: float) -> float:
        """D(T): weighted seconds waited by everything in this queue (W9)."""
        return self.weight * now - self.moment

    @property
    def count(self) -> int:
        return sum(c.count for c in self.classes)


class Occupant(msgspec.Struct, frozen=True):
    """One open coven: since when, and what it is doing.

    ``in_flight`` counts requests by class in the order of ``CLASSES``; ``ended`` says when a
    request of that class last ended or was last running; ``tokens`` is its live context.
    """

    coven: str
    opened_at: float
    in_flight: tuple[int, int, int, int] = (0, 0, 0, 0)
    ended: tuple[float, float, float, float] = NO_CLASS
    tokens: int = 0
    full: bool = False


class Memory(msgspec.Struct, frozen=True):
    """Budget per device and need per soulstone and device, in bytes (W1, W2)."""

    budget: dict[str, int]
    need: dict[str, dict[str, int]]


class Estimates(msgspec.Struct, frozen=True):
    """Learned seconds: load and think per coven, service per soulstone (W10, W12)."""

    load: dict[str, float]
    service: dict[str, float]
    think: dict[str, float]


class Streak(msgspec.Struct, frozen=True):
    """A capability has been asked for from ``since`` to ``last`` without a long gap (W6)."""

    since: float
    last: float


class State(msgspec.Struct, frozen=True):
    """Everything a strategy may look at.

    ``queues`` holds an entry for every coven for which something waits, open ones included.
    ``swap_share`` is the share of the last five minutes a device spent swapping (W12).
    ``quarantined`` maps a coven to the time until which it may not be tried (W24),
    ``closed`` a coven to when it was last open: no signal was passed over before that (W13).
    """

    open: tuple[Occupant, ...]
    queues: dict[str, Queue]
    memory: Memory
    estimates: Estimates
    swap_share: dict[str, float] = {}
    quarantined: dict[str, float] = {}
    transition: str | None = None
    ingest_window: bool = False
    streaks: dict[str, Streak] = {}
    closed: dict[str, float] = {}
