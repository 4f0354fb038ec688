"""single_shot: the top k in parallel, then all, quorum or deadline, then the fold."""

from __future__ import annotations

from covend.patterns.answers.folding import Folded, FoldProblem
from covend.patterns.decision import Batch, Decision, Done, Wait
from covend.patterns.fulfilling import fan_out, folded, fulfilled
from covend.patterns.rounds import Closed, NotAsked, stand
from covend.patterns.state import K


def select(k: K) -> Decision:
    """Ask, wait, fold (rules §6, single_shot)."""
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
