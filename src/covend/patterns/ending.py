"""How a run ends: one ``know`` record, with the answer or the error, and all that was said (P19).

| code | when |
|---|---|
| no_candidates, no_relevant_candidates | nobody to ask, or nobody relevant enough |
| cost_budget_exceeded | nobody who could be paid for |
| responder_unavailable | everybody asked failed or declined |
| latency_timeout | everybody asked stayed silent, or the query's time is over |
| quorum_not_met | too few valid answers |
| answer_shape_mismatch | answers, but none of the shape |
| no_valid_response, fold_failed, obligation_conflict | no fold could be made of them |
| disagreement | verify: two answers, and nobody to decide |

An invalid query has no run: it is refused at admission.
"""

from __future__ import annotations

from typing import Any

from covend.patterns.decision import Done
from covend.patterns.state import Call, K, usd


def conclude(k: K, done: Done) -> dict[str, Any]:
    """The body of the ``know`` record: the end, its reasons, the partial responses, the cost (P19).

    ``partial`` lists every call whose response is no part of the answer.
    """
    folded = [response.call for response in done.folded]
    return {
        **done.details,
        "status": done.status,
        "answer": done.answer,
        "confidence": done.confidence,
        "code": done.code,
        "reason": done.reason,
        "folded": folded,
        "partial": [partial(k, call) for call in k.calls.values() if call.id not in folded],
        "cost": {
            "settled": usd(k.settled),
            "reserved": usd(k.reserved),
            "overrun": usd(k.overrun),
        },
    }


def partial(k: K, call: Call) -> dict[str, Any]:
    """What became of a call that is no part of the answer, with its value where it gave one."""
    body: dict[str, Any] = {
        "call": call.id,
        "responder": call.responder,
        "status": call.left_open(k.now),
    }
    if call.response is not None:
        body["value"] = call.response.value
    if call.problem is not None:
        body["problem"] = call.problem
    return body


def cancelled(k: K) -> Done:
    """The end of a run that was cancelled before it ended otherwise (P14)."""
    return Done("cancelled", reason=k.cancelled)
