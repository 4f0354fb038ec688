"""single_shot: the top k in parallel, then all, quorum or deadline, then the fold."""

from __future__ import annotations

from covend.patterns.decision import Decision, Done, Wait
from covend.patterns.folding import Folded, fold_responses
from covend.patterns.rounds import Ask, Batch, Closed, NotAsked, begun, progress, start
from covend.patterns.state import K

ROUND = "primary"


def select(k: K) -> Decision:
    """Ask, wait, fold (SEMANTICS §6, single_shot)."""
    query = k.query
    ask = Ask(ROUND, query.responders, query.relevance.top_k, quorum=query.min_quorum)
    if not begun(k, ROUND):
        match start(k, ask):
            case NotAsked(code=code, reason=reason):
                return Done("error", code=code, reason=reason)
            case batch:
                return batch
    match progress(k, ask):
        case None:
            return Wait()
        case Closed() as closed:
            return ended(k, closed)
        case Batch() as again:
            return again


def ended(k: K, closed: Closed) -> Done:
    """What a closed round amounts to when nothing comes after it."""
    if not closed.quorum_met:
        return Done("error", code=closed.code, folded=closed.responses, details=closed.problems)
    match fold_responses(k, k.query.fold, closed.responses):
        case Folded() as folded:
            return Done("fulfilled", folded.answer, folded.confidence, folded=folded.responses)
        case problem:
            return Done("error", code=problem.code, reason=problem.reason, folded=closed.responses)
