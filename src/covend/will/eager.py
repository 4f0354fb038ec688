"""The simplest strategy: swap on every miss, oldest signal first.

What Go swappers do. Good on an idle box, ruinous on a loaded one; kept as the yardstick.
"""

from __future__ import annotations

from covend.will.decision import Decision, Stay, Swap
from covend.will.model import Model
from covend.will.residency import evictions
from covend.will.state import State


class Eager:
    """Swap to whatever has waited longest and is not open (W17)."""

    name = "eager"

    def __init__(self, model: Model) -> None:
        self._model = model

    def decide(self, state: State, now: float) -> Decision:
        """Swap to the coven of the oldest signal that nothing open can serve."""
        if state.transition is not None:
            return Stay(f"transition {state.transition} is under way", self.name, now, state=state)
        resident = [occupant.coven for occupant in state.open]
        missing = sorted(
            (queue.oldest, name) for name, queue in state.queues.items() if name not in resident
        )
        for _, name in missing:
            if state.quarantined.get(name, now) > now:
                continue
            evict = evictions(self._model, state.memory, resident, name)
            if not isinstance(evict, str):
                reason = "the oldest signal waits for it"
                return Swap(reason, self.name, now, state=state, target=name, evict=evict)
        held = [until for until in state.quarantined.values() if until > now]
        return Stay(
            "nothing waits that could be served by a swap" if missing else "nothing waits",
            self.name,
            now,
            state=state,
            until=min(held) if missing and held else None,
        )
