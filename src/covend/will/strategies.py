"""Guarding the box against its strategy: a decision is checked before anybody acts on it.

A strategy is a pure object with ``decide(state, now)``, found by its entry point or import path.
"""

from __future__ import annotations

from typing import Protocol

from covend.will.decision import Decision, Stay, Swap
from covend.will.model import Model
from covend.will.residency import evictions, overflow
from covend.will.state import State
from covend.will.whim import Whim


class Strategy(Protocol):
    """What decides; built as ``Strategy(model)``."""

    name: str

    def decide(self, state: State, now: float) -> Decision:
        """Stay or swap; must return at once, must not keep or change anything."""
        ...


def illegal(model: Model, decision: object, state: State, now: float) -> str | None:
    """Why a decision must not be carried out, or None for a legal one (W17, W1, W3, W24)."""
    if isinstance(decision, Stay):
        if decision.until is not None and not decision.until >= now:
            return f"it asks to be asked again at {decision.until}, which is past"
        return None
    if not isinstance(decision, Swap):
        return f"it answered {type(decision).__name__}, not Stay or Swap"
    target = decision.target
    if target not in model.covens:
        return f"there is no coven {target!r}"
    resident = {occupant.coven for occupant in state.open}
    if state.transition is not None:
        return f"transition {state.transition} is under way"
    if target in resident:
        return f"{target} is open already"
    until = state.quarantined.get(target)
    if until is not None and until > now:
        return f"{target} is quarantined for another {until - now:.0f} s"
    strangers = set(decision.evict) - resident
    if strangers:
        return f"it evicts what is not open: {', '.join(sorted(strangers))}"
    staying = resident - set(decision.evict)
    rivals = staying & model.covens[target].conflicts
    if rivals:
        return f"{target} excludes {', '.join(sorted(rivals))}, which would stay"
    short = overflow(model, state.memory, (target, *sorted(staying)))
    if short is not None:
        return f"with {target} memory is over-committed on {short}"
    return None


class Guarded:
    """A strategy under guard: where it raises or answers illegally, ``whim`` decides (W17).

    The refusal is kept in ``refused`` until the next good decision, and said in the reason.
    """

    def __init__(self, model: Model, strategy: Strategy) -> None:
        self._model = model
        self._strategy = strategy
        self._whim = Whim(model)
        self.name = strategy.name
        self.refused: str | None = None

    def decide(self, state: State, now: float) -> Decision:
        """The strategy's decision, or the whim's where that one is refused."""
        try:
            decision = self._strategy.decide(state, now)
        except Exception as error:  # a plug-in may raise anything; its reason is kept
            self.refused = f"{self.name} raised {type(error).__name__}: {error}"
        else:
            reason = illegal(self._model, decision, state, now)
            if reason is None:
                self.refused = None
                return decision
            self.refused = f"{self.name} decided illegally: {reason}"
        return self._whim.decide(state, now)


def ordered(model: Model, target: str, state: State, reason: str, now: float) -> Swap | str:
    """The swap an operator asked for by name, or why it cannot be (W1, W3, W24)."""
    if target not in model.covens:
        return f"there is no coven {target!r}: there are {', '.join(sorted(model.covens))}"
    resident = [occupant.coven for occupant in state.open]
    if target in resident:
        return f"{target} is open already"
    evict = evictions(model, state.memory, resident, target)
    if isinstance(evict, str):
        return f"{target} does not fit: {evict}"
    swap = Swap(reason, "operator", now, state=state, target=target, evict=evict)
    return illegal(model, swap, state, now) or swap
