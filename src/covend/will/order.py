"""Who is next within one coven: class first, then arrival, nobody passed over for ever (W15)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from covend.will.model import CLASSES

IN_A_ROW = 4
"""So many of a higher class go before an overdue lower one (W15)."""


class Streak(msgspec.Struct, frozen=True):
    """How many requests in a row went before each waiting class, since it was last served."""

    passed: dict[str, int] = {}

    def served(self, klass: str, waiting: Mapping[str, tuple[int, float]]) -> Streak:
        """A request of ``klass`` was served: every lower class that waits was passed over once."""
        rank = CLASSES.index(klass)
        return Streak(
            {
                other: self.passed.get(other, 0) + 1
                for other in CLASSES[rank + 1 :]
                if waiting.get(other, (0, 0.0))[0]
            }
            | {o: n for o, n in self.passed.items() if CLASSES.index(o) < rank}
        )


def next_class(
    waiting: Mapping[str, tuple[int, float]], streak: Streak, now: float, sla: Mapping[str, float]
) -> str | None:
    """The class to serve next, or None where nothing waits (W15).

    ``waiting`` maps a class to (count, arrival of its oldest). The highest class goes first, but a
    class older than its SLA waits behind higher ones at most four requests in a row; among several
    such classes the highest goes.
    """
    present = [klass for klass in CLASSES if waiting.get(klass, (0, 0.0))[0]]
    for klass in present[1:]:
        late = now - waiting[klass][1] > sla[klass]
        if late and streak.passed.get(klass, 0) >= IN_A_ROW:
            return klass
    return present[0] if present else None
