"""How many restarts are too many (S3): a pure sliding log."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Intensity:
    """At most ``limit`` restarts in any ``period`` (nanoseconds, as all times here)."""

    limit: int
    period: int

    @classmethod
    def per_seconds(cls, limit: int, period: float) -> Intensity:
        """The same with a period in seconds."""
        return cls(limit, round(period * NANOSECONDS))

    def add(self, log: tuple[int, ...], now: int) -> tuple[tuple[int, ...], bool]:
        """The log with one restart at ``now`` added, and whether that one is allowed (S3).

        ``log`` is a former result, oldest first. A restart exactly ``period`` ago still counts.
        """
        log = (*log[bisect_left(log, now - self.period) :], now)
        return log, len(log) <= self.limit
