"""waterfall: cheapest first; the first stage whose folded answer is accepted wins.

Every stage that does not win leaves one ``learn``: ``skipped`` (could not be asked), ``failed`` (no
valid answer, or not accepted) or ``errored`` (the fold or the expression), with the reason and the
answer it had. Those are all the memory the pattern needs: the next stage is the next unattempted.
"""

from __future__ import annotations

from typing import Any

from covend.patterns.answers.folding import Folded, FoldProblem, fold_responses
from covend.patterns.candidates import best, candidate, committed
from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.expressions import cel
from covend.patterns.fulfilling import fulfilled
from covend.patterns.query.spec import Stage, Waterfall
from covend.patterns.rounds import UNSAID, Ask, Closed, NotAsked, closing, stand
from covend.patterns.state import K


def select(k: K) -> Decision:
    """The next unattempted stage, until one is accepted or none is left (rules §6)."""
    spec = k.query.orchestration
    assert isinstance(spec, Waterfall)
    past = k.noted("stage")
    if len(past) == len(spec.stages):
        return exhausted(k, past)
    stage = spec.stages[len(past)]
    match stand(k, ask(k, spec, len(past))):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked() as refused:
            return noted(k, stage, "skipped", refused.code, refused.reason)
        case Closed(quorum_met=False) as closed:
            return noted(k, stage, "failed", closed.code, closed.reason)
        case Closed() as closed:
            return decided(k, stage, closed)


def ask(k: K, spec: Waterfall, index: int) -> Ask:
    """A stage's round; of a quorum no more than the stage asks can be wanted."""
    stage, quorum = spec.stages[index], k.query.min_quorum
    return Ask(
        f"stage:{index}",
        stage.responders,
        stage.top_k,
        dial=stage.dial or UNSAID,
        timeout_secs=stage.timeout_secs,
        quorum=None if quorum is None else min(quorum, stage.top_k),
        final=index == len(spec.stages) - 1,
    )


def decided(k: K, stage: Stage, closed: Closed) -> Decision:
    """Accept the stage's fold or go on; an expression that errs never accepts (P15)."""
    match fold_responses(k, stage.fold or k.query.fold, closed.responses):
        case FoldProblem() as problem:
            return noted(k, stage, "errored", problem.code, problem.reason)
        case Folded() as fold:
            values = {"answer": fold.answer, "confidence": fold.confidence}
    accepted = cel.holds(stage.accept_expression, values)
    if isinstance(accepted, cel.CelError):
        return noted(k, stage, "errored", "expression_error", stage.accept_expression, fold)
    if not accepted:
        return noted(k, stage, "failed", "not_accepted", stage.accept_expression, fold)
    return fulfilled(fold, stage=stage.name)


def noted(
    k: K, stage: Stage, outcome: str, code: str, reason: str, fold: Folded | None = None
) -> Batch:
    """The one ``learn`` of a stage that did not win."""
    body: dict[str, Any] = {"stage": stage.name, "outcome": outcome, "code": code, "reason": reason}
    if fold is not None:
        body["candidate"] = candidate(k, fold)
    return Batch(learn=(body | {"closed": closing(k)},))


def exhausted(k: K, past: list[dict[str, Any]]) -> Done:
    """No stage won: the best candidate, degraded where only money stood in the way (P13)."""
    last = past[-1]
    poor = [body for body in past if body["code"] == "cost_budget_exceeded"]
    found = best(past)
    if found is None:
        why = (poor or [last])[0]
        status = "error" if poor else "unfulfilled"
        return Done(status, code=why["code"], reason=why["reason"])
    if poor:
        return committed(k, found, "degraded", "cost_budget_exceeded", poor[0]["reason"])
    return committed(k, found, "unfulfilled", None, "no stage's answer was accepted")
