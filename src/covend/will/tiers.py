"""Another tier for the same work: a smaller one that fits beside the rest, or a larger one (W6)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from covend.will.model import Model
from covend.will.residency import plan
from covend.will.state import State


class Shift(msgspec.Struct, frozen=True):
    """Which coven takes over the work of which, and why."""

    target: str
    evict: tuple[str, ...]
    reason: str


def tier_shift(
    model: Model, state: State, now: float, evictions: Mapping[str, tuple[str, ...] | str]
) -> Shift | None:
    """The next step to the tiers that fit what is asked: down at once, up only after a minute (W6).

    Only where the new residency serves all that is asked of the old, so no work loses its
    place; running requests finish first, as in every drain. ``evictions`` are by coven.
    """
    patience = model.rules.tier_up_seconds
    wanted = {
        capability: 1.0
        for capability, streak in state.streaks.items()
        if capability in model.serving and now - streak.last < patience
    }
    if not wanted:
        return None
    resident = [occupant.coven for occupant in state.open]
    barred = [name for name, until in state.quarantined.items() if until > now]
    best = plan(model, state.memory, wanted, resident, barred)
    missing = [name for name in best.covens if name not in resident]
    if best.served < sum(wanted.values()) or not missing:
        return None
    blocked = any(name not in resident for name in state.queues)
    stood = all(now - state.streaks[capability].since >= patience for capability in wanted)
    if not (blocked or stood):
        return None
    target = missing[0]
    evict = evictions[target]
    if isinstance(evict, str) or set(evict) & set(best.covens):
        return None
    reason = (
        "a smaller tier serves all that is asked together (W6)"
        if blocked
        else "the larger tier has been asked for long enough (W6)"
    )
    return Shift(target, evict, reason)
