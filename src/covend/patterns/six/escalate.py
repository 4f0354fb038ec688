"""escalate: upward through tiers of authority until one's answer stands.

Every tier that does not stand leaves one ``learn`` with what led upward: its expression was true or
failed (it fails upward), it timed out, declined, or could not be asked. Once money is short, only
tiers that cost nothing are asked.
"""

from __future__ import annotations

from typing import Any

from covend.patterns.answers.folding import Folded, FoldProblem, fold_responses
from covend.patterns.candidates import candidate
from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.expressions import cel
from covend.patterns.fulfilling import fulfilled
from covend.patterns.query.spec import Escalate, Tier
from covend.patterns.rounds import UNSAID, Ask, Closed, NotAsked, closing, stand
from covend.patterns.state import K


def select(k: K) -> Decision:
    """The next tier of authority, until one stands or none is left (rules §6)."""
    spec = k.query.orchestration
    assert isinstance(spec, Escalate)
    past = k.noted("tier")
    if len(past) == len(spec.tiers):
        return exhausted(past)
    tier = spec.tiers[len(past)]
    match stand(k, ask(k, spec, past)):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked() as refused:
            return noted(k, tier, refused.code, refused.reason)
        case Closed(quorum_met=False) as closed:
            return noted(k, tier, trigger(closed), closed.reason)
        case Closed() as closed:
            return decided(k, past, tier, closed)


def ask(k: K, spec: Escalate, past: list[dict[str, Any]]) -> Ask:
    """A tier's round; free only, once a tier below could not be paid for (P13)."""
    tier, quorum = spec.tiers[len(past)], k.query.min_quorum
    return Ask(
        f"tier:{len(past)}",
        tier.responders,
        tier.top_k,
        dial=tier.dial or UNSAID,
        timeout_secs=tier.timeout_secs,
        quorum=None if quorum is None else min(quorum, tier.top_k),
        free=any(body["trigger"] == "cost_budget_exceeded" for body in past),
        final=len(past) == len(spec.tiers) - 1,
    )


def trigger(closed: Closed) -> str:
    """Why a tier without an answer leads upward: what its responders did, if all did the same."""
    kinds = set(closed.problems.values())
    return kinds.pop() if len(kinds) == 1 else closed.code


def decided(k: K, past: list[dict[str, Any]], tier: Tier, closed: Closed) -> Decision:
    """Whether the tier stands; an expression that errs leads upward (P15)."""
    match fold_responses(k, k.query.fold, closed.responses):
        case FoldProblem() as problem:
            return noted(k, tier, problem.code, problem.reason)
        case Folded() as fold:
            values = {"answer": fold.answer, "confidence": fold.confidence}
    fires = cel.holds(tier.expression, values)
    if isinstance(fires, cel.CelError):
        return noted(k, tier, "expression_error", tier.expression, fold)
    if fires:
        return noted(k, tier, "expression", tier.expression, fold)
    return fulfilled(fold, tier=tier.name, **advisory(past))


def noted(k: K, tier: Tier, why: str, reason: str, fold: Folded | None = None) -> Batch:
    """The one ``learn`` of a tier that did not stand; its answer stays as advice."""
    body: dict[str, Any] = {"tier": tier.name, "trigger": why, "reason": reason}
    if fold is not None:
        body["candidate"] = candidate(k, fold)
    return Batch(learn=(body | {"closed": closing(k)},))


def advisory(past: list[dict[str, Any]]) -> dict[str, Any]:
    """The answers of lower tiers: advice for whoever reads the end, never the answer."""
    given = [{"tier": b["tier"], **b["candidate"]} for b in past if "candidate" in b]
    return {"advisory": given} if given else {}


def exhausted(past: list[dict[str, Any]]) -> Done:
    """The last tier did not stand either: no answer, all advice kept."""
    last = past[-1]
    return Done(
        "unfulfilled",
        code=CODES.get(last["trigger"], last["trigger"]),
        reason=f"the last tier, {last['tier']}: {last['reason']}",
        details=advisory(past),
    )


CODES = {
    "expression": None,
    "expression_error": None,
    "timeout": "latency_timeout",
    "declined": "responder_unavailable",
    "error": "responder_unavailable",
    "withdrawn": "responder_unavailable",
    "invalid": "answer_shape_mismatch",
}
"""P19's code for what a tier's responders did; an answer that did not stand is no error."""
