"""single_shot: the top k in parallel, then all, quorum or deadline, then the fold."""

from __future__ import annotations

from typing import Any

from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.folding import Folded, FoldProblem, fold_responses
from covend.patterns.rounds import Ask, Closed, NotAsked, stand
from covend.patterns.state import K

ROUND = "primary"


def select(k: K) -> Decision:
    """Ask, wait, fold (SEMANTICS §6, single_shot)."""
    match stand(k, fan_out(k)):
        case Wait() | Batch() as decision:
            return decision
        case NotAsked() as refused:
            return Done("error", code=refused.code, reason=refused.reason)
        case Closed() as closed:
            match folded(k, closed):
                case Folded() as fold:
                    return fulfilled(fold)
                case FoldProblem() as problem:
                    return Done("error", code=problem.code, reason=problem.reason)


def fulfilled(fold: Folded, **details: Any) -> Done:
    """A fold that stands is the answer, with the obligations that came with it."""
    if fold.obligations:
        details["obligations"] = list(fold.obligations)
    return Done("fulfilled", fold.answer, fold.confidence, folded=fold.responses, details=details)


def fan_out(k: K) -> Ask:
    """The query's own responders, the best of them at once."""
    query = k.query
    return Ask(ROUND, query.responders, query.relevance.top_k, quorum=query.min_quorum)


def folded(k: K, closed: Closed) -> Folded | FoldProblem:
    """What a closed round amounts to: a fold of its valid answers, if enough are there (P11)."""
    if not closed.quorum_met:
        return FoldProblem(closed.code, closed.reason)
    return fold_responses(k, k.query.fold, closed.responses)
