"""How long a child waits for its restart (S7): pure, randomness comes in."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MOST_DOUBLINGS = 64  # 2⁶⁴ seconds are past any maximum, and far from a float's end


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits ``base``·2ⁿ seconds, at most ``max``, stretched by up to ``jitter`` (a share of it).

    n counts the restarts since the child last ran for ``stable_for`` seconds.
    """

    base: float = 0.2
    max: float = 30.0
    jitter: float = 0.2
    stable_for: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("base", self.base), ("max", self.max)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"Backoff.{name} is {value!r}: give seconds > 0")
        for name, value in (("jitter", self.jitter), ("stable_for", self.stable_for)):
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"Backoff.{name} is {value!r}: give a number ≥ 0")
        if self.base > self.max:
            raise ValueError(f"Backoff.base {self.base:g} is more than max {self.max:g}")

    def delay(self, restarts: int, chance: float) -> float:
        """Seconds to wait after ``restarts`` restarts; ``chance`` is drawn from [0, 1) (S7)."""
        doubled = self.base * 2.0 ** min(restarts, _MOST_DOUBLINGS)
        return min(self.max, doubled) * (1.0 + self.jitter * chance)

    def counted(self, restarts: int, lived: float) -> int:
        """The restarts that still count for a child that just lived ``lived`` seconds (S7)."""
        return 0 if lived >= self.stable_for else restarts
