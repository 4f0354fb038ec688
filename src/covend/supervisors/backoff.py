"""How long a child waits for its restart (S7): pure, randomness comes in."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MOST_DOUBLINGS = 64  # 2⁶⁴ seconds are past any maximum, and far from a float's end


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits ``base``·2ⁿ seconds, at most ``maximum``, stretched by a share of up to ``jitter``.

    n counts the restarts since the child last ran for ``stable_for`` seconds.
    """

    base: float = 0.2
    maximum: float = 30.0
    jitter: float = 0.2
    stable_for: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("base", self.base), ("maximum", self.maximum)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"Backoff.{name} is {value!r}: give seconds > 0")
        for name, value in (("jitter", self.jitter), ("stable_for", self.stable_for)):
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"Backoff.{name} is {value!r}: give a number ≥ 0")
        if self.base > self.maximum:
            raise ValueError(f"Backoff.base {self.base:g} is more than maximum {self.maximum:g}")

    def delay(self, restarts: int, chance: float) -> float:
        """Seconds to wait after ``restarts`` restarts; ``chance`` is drawn from [0, 1) (S7)."""
        doubled = self.base * 2.0 ** min(restarts, _MOST_DOUBLINGS)
        return min(self.maximum, doubled) * (1.0 + self.jitter * chance)

    def counted(self, restarts: int, lived: float) -> int:
        """The restarts that still count for a child that just lived ``lived`` seconds (S7)."""
        return 0 if lived >= self.stable_for else restarts
