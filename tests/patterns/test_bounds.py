"""P5, P7, P13: every number of a query and a responder has bounds that records can hold."""

from __future__ import annotations

from typing import Any

import pytest
from tests.patterns.sample_runs import NOON, asked, llm, person

from covend.patterns import step
from covend.patterns.query.admit import InvalidQuery, admit
from covend.patterns.query.spec import (
    MAX_AGE_DAYS,
    MAX_LATENCY_SECS,
    MAX_PRICE_USD,
    MAX_TOKENS,
    MAX_USD,
)
from covend.patterns.responders.responder import Cost
from covend.phylactery.canonical import canonical

RETRY = {"pattern": "retry_on_low_confidence", "expression": "true"}
DEAR = Cost(per_call=MAX_PRICE_USD, per_1k_input=MAX_PRICE_USD, per_1k_output=MAX_PRICE_USD)


def wanted(name: str, value: float) -> dict[str, Any]:
    return {"responders": [{"id": "a", name: value}]}


def triggered(query: dict[str, Any]) -> dict[str, Any]:
    return {"triggers": [{"name": "next", "query": asked(**query)}]}


BOUNDS: dict[str, tuple[Any, float]] = {
    "$.side_effects.max_cost_usd": (
        lambda usd: {"side_effects": {"max_cost_usd": usd}},
        MAX_USD,
    ),
    "$.side_effects.max_latency_secs": (
        lambda secs: {"side_effects": {"max_latency_secs": secs}},
        MAX_LATENCY_SECS,
    ),
    "$.orchestration.adjustments[0].max_cost_usd": (
        lambda usd: {"orchestration": {**RETRY, "adjustments": [{"max_cost_usd": usd}]}},
        MAX_USD,
    ),
    "$.triggers[0].query.side_effects.max_cost_usd": (
        lambda usd: triggered({"side_effects": {"max_cost_usd": usd}}),
        MAX_USD,
    ),
    "$.responders[0].budget_usd": (lambda usd: wanted("budget_usd", usd), MAX_USD),
    "$.responders[0].latency_secs": (lambda secs: wanted("latency_secs", secs), MAX_LATENCY_SECS),
    "$.responders[0].age_days_lt": (lambda days: wanted("age_days_lt", days), MAX_AGE_DAYS),
    "$.dial.max_tokens": (lambda count: {"dial": {"max_tokens": int(count)}}, MAX_TOKENS),
}


def begun(members: dict[str, Any]) -> list[Any]:
    """What a run of the dearest responder derives at its beginning."""
    body = admit(asked(**members), [llm(cost=DEAR)], thread="q-1", now=NOON, seed=7)
    canonical(body)
    _, drafts = step.start("q-1", body, NOON)
    return drafts


@pytest.mark.parametrize("path", BOUNDS)
@pytest.mark.parametrize("times", [1.001, 2**53 / MAX_TOKENS - 1])
def test_a_number_beyond_its_bound_is_refused_with_its_path(path: str, times: float) -> None:
    """P7: admitted, it would set the run aside for good."""
    members, bound = BOUNDS[path]
    with pytest.raises(InvalidQuery) as caught:
        begun(members(bound * times))
    assert [one["path"] for one in caught.value.errors] == [path]
    assert f"at most {bound:.9g}, not " in str(caught.value)


@pytest.mark.parametrize("path", BOUNDS)
def test_a_run_at_a_bound_begins_and_can_be_recorded(path: str) -> None:
    """P13: whatever its dearest responder may cost."""
    members, bound = BOUNDS[path]
    drafts = begun(members(bound))
    assert drafts
    for draft in drafts:
        canonical(draft.body)


def test_more_rounds_in_a_row_than_a_query_may_take_need_a_stated_time() -> None:
    """P10: the clock at which the run ends must be one that a record can hold."""
    stages = [
        {"name": f"s{n}", "responders": [{}], "timeout_secs": MAX_LATENCY_SECS} for n in range(300)
    ]
    long: dict[str, Any] = {"orchestration": {"pattern": "waterfall", "stages": stages}}
    with pytest.raises(InvalidQuery) as caught:
        begun(long)
    (problem,) = caught.value.errors
    assert problem["path"] == "$.side_effects.max_latency_secs"
    assert "must be said: " in problem["problem"]
    assert begun({**long, "side_effects": {"max_latency_secs": MAX_LATENCY_SECS}})


def test_a_plan_holds_nobodys_channels() -> None:
    """P5, P18: an address is a secret of its person, and a run's records are shown to others."""
    boss = person("boss", channels=("mailto://boss:secret@h",), delegates=("did:web:eve",))
    everybody = [boss, person(channels=("mailto://eve:secret@h",))]
    body = admit(asked(responders=[{"id": "boss"}]), everybody, thread="q-1", now=NOON, seed=7)
    assert [one["id"] for one in body["responders"]] == ["boss", "eve"]
    assert b"secret" not in canonical(body)
