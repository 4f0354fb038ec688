"""How long a box that is away is asked again, and after what pauses. Pure."""

from __future__ import annotations

import math

from covend.client.errors import Unavailable

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before each attempt but the first; the last for all that follow."""


class Patience:
    """Bears with a box for so many seconds from when it was found away, not from when it was asked.

    ``deadline`` is when whoever asks leaves in any case; all clocks are seconds of one clock.
    """

    def __init__(self, seconds: float, deadline: float = math.inf) -> None:
        self._seconds = seconds
        self._deadline = deadline
        self._away: float | None = None
        self._attempt = 0

    def heard(self) -> None:
        """The box was there: if it is away now, then since now."""
        self._away = None
        self._attempt = 0

    def pause(self, error: Unavailable, now: float) -> float:
        """Seconds before the next attempt; raises ``error`` where there is to be none."""
        if self._away is None:
            self._away = now
        self._attempt += 1
        own = PAUSES[min(self._attempt, len(PAUSES)) - 1]
        pause = max(own, error.retry_after or 0.0)
        if now >= self._deadline or now + pause > self._away + self._seconds:
            raise error
        return min(pause, self._deadline - now)
