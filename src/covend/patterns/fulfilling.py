"""The plain way to an answer, of which most patterns go a part: ask, fold, be fulfilled."""

from __future__ import annotations

from typing import Any

from covend.patterns.answers.folding import Folded, FoldProblem, fold_responses
from covend.patterns.decision import Done
from covend.patterns.rounds import Ask, Closed
from covend.patterns.state import K

ROUND = "primary"


def fan_out(k: K) -> Ask:
    """The query's own responders, the best of them at once."""
    query = k.query
    return Ask(ROUND, query.responders, query.relevance.top_k, quorum=query.min_quorum)


def folded(k: K, closed: Closed) -> Folded | FoldProblem:
    """What a closed round amounts to: a fold of its valid answers, if enough are there (P11)."""
    if not closed.quorum_met:
        return FoldProblem(closed.code, closed.reason)
    return fold_responses(k, k.query.fold, closed.responses)


def fulfilled(fold: Folded, **details: Any) -> Done:
    """A fold that stands is the answer, with the obligations that came with it."""
    if fold.obligations:
        details["obligations"] = list(fold.obligations)
    return Done("fulfilled", fold.answer, fold.confidence, folded=fold.responses, details=details)
