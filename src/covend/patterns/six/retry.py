"""retry_on_low_confidence: ask again, differently, while the expression fires.

Every attempt that does not stand leaves one ``learn`` with what triggered the next one (the
expression, or why there was no valid answer) and the dial it was asked with. Failures of the
transport are no attempts: the same slot is called again, so often in the whole run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from covend.patterns.answers.folding import Folded, FoldProblem
from covend.patterns.candidates import best, candidate, committed
from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.expressions import cel
from covend.patterns.fulfilling import folded, fulfilled
from covend.patterns.query.spec import Adjustment, Retry, Want
from covend.patterns.rounds import UNSAID, Ask, Closed, NotAsked, closing, merged, stand
from covend.patterns.state import K


def select(k: K) -> Decision:
    """single_shot again with what the next adjustment says (rules §6)."""
    spec = k.query.orchestration
    assert isinstance(spec, Retry)
    past = k.noted("attempt")
    if len(past) == spec.max_attempts:
        return exhausted(k, past)
    change = adjustment(spec, len(past))
    match stand(k, ask(k, spec, len(past))):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked() as refused:
            return noted(k, past, change, refused.code, refused.reason)
        case Closed() as closed:
            return decided(k, spec, past, change, closed)


def adjustment(spec: Retry, index: int) -> Adjustment:
    """Nothing changes for the first attempt; the last adjustment serves all that come after it."""
    if index == 0 or not spec.adjustments:
        return Adjustment()
    return spec.adjustments[min(index, len(spec.adjustments)) - 1]


def wanted(k: K, spec: Retry, index: int) -> tuple[Want, ...]:
    """Whom an attempt asks."""
    return adjustment(spec, index).responders or k.query.responders


def ask(k: K, spec: Retry, index: int) -> Ask:
    """The round of one attempt; it is the last where every later one asks the same again (P9)."""
    change, wants = adjustment(spec, index), wanted(k, spec, index)
    return Ask(
        f"attempt:{index}",
        wants,
        k.query.relevance.top_k,
        dial=change.dial or UNSAID,
        quorum=k.query.min_quorum,
        max_cost_usd=change.max_cost_usd,
        resends=spec.max_transport_errors,
        final=all(wanted(k, spec, later) == wants for later in range(index + 1, spec.max_attempts)),
    )


def decided(
    k: K, spec: Retry, past: list[dict[str, Any]], change: Adjustment, closed: Closed
) -> Decision:
    """Whether the attempt stands; an expression that errs asks again (P15)."""
    match folded(k, closed):
        case FoldProblem() as problem:
            return noted(k, past, change, problem.code, problem.reason)
        case Folded() as fold:
            values = {"answer": fold.answer, "confidence": fold.confidence}
    fires = cel.holds(spec.expression, values)
    if isinstance(fires, cel.CelError):
        return noted(k, past, change, "expression_error", spec.expression, fold)
    if fires:
        return noted(k, past, change, "expression", spec.expression, fold)
    return fulfilled(fold, attempts=len(past) + 1)


def noted(
    k: K,
    past: list[dict[str, Any]],
    change: Adjustment,
    trigger: str,
    reason: str,
    fold: Folded | None = None,
) -> Batch:
    """The one ``learn`` of an attempt that did not stand."""
    body: dict[str, Any] = {
        "attempt": len(past) + 1,
        "trigger": trigger,
        "reason": reason,
        "dial": msgspec.to_builtins(merged(k.query.dial, change.dial or UNSAID)),
        "closed": closing(k),
    }
    if fold is not None:
        body["candidate"] = candidate(k, fold)
    return Batch(learn=(body,))


def exhausted(k: K, past: list[dict[str, Any]]) -> Done:
    """The best by (confidence, earliest) is committed, but as degraded (P13)."""
    found = best(past)
    last = past[-1]
    poor = [body for body in past if body["trigger"] == "cost_budget_exceeded"]
    if found is None:
        why = (poor or [last])[0]
        return Done("error", code=why["trigger"], reason=why["reason"])
    code = "cost_budget_exceeded" if poor else None
    reason = f"after {len(past)} attempts: {last['reason']}"
    return committed(k, found, "degraded", code, reason, attempts=len(past))
