"""Who gives way when every slot is taken and a higher class waits for the same coven (W14)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from covend.will.model import Rules


class Running(msgspec.Struct, frozen=True):
    """One request that holds a slot; ``tokens`` is the live context it would have to read again.

    ``parks`` is whether it can stop at an atomic step and go on later (a ghoul's job); a client's
    stream cannot.
    """

    id: str
    klass: str
    tokens: int
    parks: bool


def cheapest(
    running: Iterable[Running],
    klass: str,
    prefill_rate: float,
    rules: Rules,
    swap_share: float = 0.0,
) -> Running | None:
    """The occupant that gives its slot to a waiting signal of ``klass``, or None (W14).

    Only a lower class that can park gives way: the one whose context costs the fewest seconds to
    process again, then the lowest class. The cost is set against the same swap budget: what would
    carry the device past the upper end of the budget is not interrupted.
    """
    weight = rules.weights[klass]
    left = (rules.budget_high - swap_share) * rules.budget_window
    lower = [
        (r.tokens / prefill_rate, rules.weights[r.klass], r.id, r)
        for r in running
        if r.parks and rules.weights[r.klass] < weight and r.tokens / prefill_rate <= left
    ]
    return min(lower, key=lambda entry: entry[:3])[3] if lower else None
