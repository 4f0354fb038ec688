"""P7, P10, P5: a query is admitted whole and pinned, or refused with every reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patterns.sample_runs import NOON, asked, llm, person

from covend.patterns.query.admit import InvalidQuery, admit
from covend.patterns.query.reading import members
from covend.patterns.query.shape import MAX_INPUT_BYTES
from covend.patterns.query.spec import Query
from covend.patterns.reducers import CURRENT
from covend.patterns.responders.responder import Hours, Responder
from covend.patterns.state import SECOND, Plan, begin
from covend.patterns.step import start
from covend.phylactery.canonical import canonical, parse

PRICE = {
    "type": "object",
    "properties": {"total": {"type": "integer"}, "name": {"type": "string"}},
}
PRICED = {"kind": "json", "schema": PRICE}
TOOL = Responder(id="tool", kind="system", command=("true",))
CODE = Responder(id="code", kind="pattern", function="sum")
EVERYBODY = [llm("a"), llm("b", trust=0.9), TOOL, CODE, person("eve")]


def admitted(who: list[Responder] | None = None, **members: Any) -> dict[str, Any]:
    return admit(asked(**members), who or EVERYBODY, thread="q-1", now=NOON, seed=7)


def refused(query: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(InvalidQuery) as caught:
        admit(query, EVERYBODY, thread="q-1", now=NOON, seed=7, **more)
    found = {one["path"]: one["problem"] for one in caught.value.errors}
    assert found
    for path, problem in found.items():
        assert path in str(caught.value)
        assert problem in str(caught.value)
    return found


def waterfall(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"pattern": "waterfall", "stages": list(stages)}


def escalate(*tiers: dict[str, Any]) -> dict[str, Any]:
    return {"pattern": "escalate", "tiers": list(tiers)}


def stage(**more: Any) -> dict[str, Any]:
    return {"name": "one", "responders": [{}], **more}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# refusals

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"question": " "}, "$.question", "must not be empty"),
    ({"question": 3}, "$.question", "Expected `str`, got `int`"),
    ({"version": "infer.query.v2"}, "$.version", "must be "),
    ({"surprise": 1}, "$.surprise", "is unknown; there are version, question"),
    ({"input": {}}, "$.input", "must have one of inline, record_id and ref"),
    ({"input": {"inline": 1, "record_id": "r"}}, "$.input", "inline and record_id; exactly one"),
    ({"input": {"record_id": "r"}}, "$.input.record_id", "there is no record r"),
    ({"input": {"ref": "know.answer"}}, "$.input.ref", "and none does"),
    ({"input": {"ref": "elsewhere"}}, "$.input.ref", "must be one of know.answer, know.answers"),
    ({"input": 3}, "$.input", "must be an object, not a number"),
    ({"answer_shape": {"kind": "choice"}}, "$.answer_shape.choices", "at least one choice"),
    (
        {"answer_shape": {"kind": "choice", "choices": ["a", "a"]}},
        "$.answer_shape.choices[1]",
        "a is there already",
    ),
    (
        {"answer_shape": {"kind": "choice", "choices": ["a "]}},
        "$.answer_shape.choices",
        "white space",
    ),
    ({"answer_shape": {"choices": ["a"]}}, "$.answer_shape.choices", "kind choice only, not text"),
    ({"answer_shape": {"required_fields": ["a"]}}, "$.answer_shape.required_fields", "kind json"),
    (
        {"answer_shape": {"schema": {}, "kind": "prose"}},
        "$.answer_shape.kind",
        "must be one of text, json, choice",
    ),
    (
        {"answer_shape": {"kind": "json", "schema": {"type": "nope"}}},
        "$.answer_shape.schema",
        "is no valid JSON Schema",
    ),
    (
        {"answer_shape": {"kind": "json", "schema": {"$ref": "http://127.0.0.1:9/"}}},
        "$.answer_shape.schema",
        "complete in itself",
    ),
    (
        {"answer_shape": {"kind": "json", "schema_ref": "price"}},
        "$.answer_shape.schema_ref",
        "price is unknown; there are: none",
    ),
    (
        {"answer_shape": {"kind": "json", "schema": {}, "schema_ref": "price"}},
        "$.answer_shape.schema_ref",
        "only one is allowed",
    ),
    ({"responders": []}, "$.responders", "must have at least one entry"),
    ({"responders": {}}, "$.responders", "Expected `array`, got `object`"),
    (
        {"responders": [{"kind": "robot"}]},
        "$.responders[0].kind",
        "must be one of llm, pattern, system, actor, not robot",
    ),
    ({"responders": [{}, {"trust_gte": 1.5}]}, "$.responders[1].trust_gte", "at most 1, not 1.5"),
    (
        {"responders": [{"trust_gte": 0.5, "trust_lt": 0.5}]},
        "$.responders[0].trust_lt",
        "must be greater than trust_gte",
    ),
    ({"responders": [{"budget_usd": -1}]}, "$.responders[0].budget_usd", "at least 0 and"),
    ({"responders": [{"latency_secs": 0}]}, "$.responders[0].latency_secs", "greater than 0"),
    (
        {"responders": [{"expression": "answer == 1"}]},
        "$.responders[0].expression",
        "CEL: 1:1: undeclared reference to 'answer'",
    ),
    (
        {"responders": [{"expression": "responder.trust + 1.0"}]},
        "$.responders[0].expression",
        "gives double; it must give bool",
    ),
    ({"responders": [{"expression": "1 +"}]}, "$.responders[0].expression", "Syntax error"),
    (
        {"responders": [{"expression": "'" + "x" * 2048 + "' == ''"}]},
        "$.responders[0].expression",
        "at most 2048",
    ),
    ({"fold": {"kind": "average"}}, "$.fold.kind", "must be "),
    ({"fold": {"kind": "majority", "weight": "1.0"}}, "$.fold.weight", "nothing to majority"),
    ({"fold": {"weight": "response.nope ? 'a' : 'b'"}}, "$.fold.weight", "must give number"),
    ({"fold": {"weight": "responses[0]"}}, "$.fold.weight", "undeclared reference"),
    ({"fold": {"kind": "expression"}}, "$.fold.expression", "is required"),
    ({"fold": {"expression": "1"}}, "$.fold.expression", "kind expression, not best_of"),
    ({"fold": {"kind": "merge"}}, "$.fold.kind", "merge needs answers of kind json"),
    ({"fold": {"key": ["a"]}}, "$.fold.key", "only where JSON answers are compared"),
    (
        {"fold": {"kind": "majority", "tolerance": {"total": -1}}, "answer_shape": PRICED},
        "$.fold.tolerance.total",
        "at least 0, not -1",
    ),
    (
        {"fold": {"kind": "majority", "key": ["totl"]}, "answer_shape": PRICED},
        "$.fold",
        "totl is no field of the answer; there are name, total",
    ),
    ({"orchestration": {"pattern": "guess"}}, "$.orchestration.pattern", "must be one of"),
    ({"orchestration": {}}, "$.orchestration.pattern", "must be one of single_shot, verify"),
    ({"orchestration": {"pattern": "verify"}}, "$.orchestration.verifier", "is required"),
    (
        {"orchestration": {"pattern": "verify", "verifier": []}},
        "$.orchestration.verifier",
        "at least one entry",
    ),
    (
        {"orchestration": {"pattern": "verify", "verifier": [{}], "threshold": 0}},
        "$.orchestration.threshold",
        "greater than 0 and at most 1",
    ),
    (
        {"orchestration": {"pattern": "verify", "verifier": [{}], "judge": {"responders": []}}},
        "$.orchestration.judge.responders",
        "at least one entry",
    ),
    ({"orchestration": waterfall()}, "$.orchestration.stages", "at least one stage"),
    (
        {"orchestration": waterfall(stage(), stage())},
        "$.orchestration.stages[1]",
        "one is there already; names must be unique",
    ),
    (
        {"orchestration": waterfall(stage(name="a/b"))},
        "$.orchestration.stages[0].name",
        "1 to 64 characters",
    ),
    (
        {"orchestration": waterfall(stage(top_k=0))},
        "$.orchestration.stages[0].top_k",
        "at least 1",
    ),
    (
        {"orchestration": waterfall(stage(timeout_secs=0))},
        "$.orchestration.stages[0].timeout_secs",
        "greater than 0",
    ),
    (
        {"orchestration": waterfall(stage(accept_expression="answer.total > 'x'"))}
        | {"answer_shape": PRICED},
        "$.orchestration.stages[0].accept_expression",
        "CEL: 1:14: found no matching overload",
    ),
    (
        {"orchestration": waterfall(stage(fold={"kind": "expression"}))},
        "$.orchestration.stages[0].fold.expression",
        "is required",
    ),
    (
        {"orchestration": waterfall(stage(dial={"temperature": 3}))},
        "$.orchestration.stages[0].dial.temperature",
        "at most 2, not 3",
    ),
    (
        {"orchestration": escalate(stage(expression="confidence > 'high'"))},
        "$.orchestration.tiers[0].expression",
        "CEL:",
    ),
    (
        {"orchestration": {"pattern": "retry_on_low_confidence", "max_attempts": 0}},
        "$.orchestration.max_attempts",
        "at least 1",
    ),
    (
        {
            "orchestration": {
                "pattern": "retry_on_low_confidence",
                "max_attempts": 2,
                "adjustments": [{}, {"max_cost_usd": -1}],
            }
        },
        "$.orchestration.adjustments",
        "2 attempts leave room for 1",
    ),
    (
        {"orchestration": {"pattern": "ensemble_with_audit", "auditor": [], "instruction": " "}},
        "$.orchestration.instruction",
        "must not be empty",
    ),
    ({"relevance": {"threshold": 1.1}}, "$.relevance.threshold", "at least 0 and at most 1"),
    ({"relevance": {"top_k": 0}}, "$.relevance.top_k", "at least 1 and at most 100, not 0"),
    ({"min_quorum": 4}, "$.min_quorum", "at most 3, not 4"),
    ({"min_quorum": 0}, "$.min_quorum", "at least 1"),
    ({"side_effects": {"max_cost_usd": -0.1}}, "$.side_effects.max_cost_usd", "at least 0"),
    ({"side_effects": {"max_latency_secs": 0}}, "$.side_effects.max_latency_secs", "greater than"),
    ({"dial": {"max_tokens": 0}}, "$.dial.max_tokens", "at least 1"),
    ({"dial": {"extra": {"model": "x"}}}, "$.dial.extra.model", "filled in by the box"),
    ({"dial": {"extra": {"max_tokens": 9}}}, "$.dial.extra.max_tokens", "say dial.max_tokens"),
    (
        {"dial": {"extra": {"max_completion_tokens": 9}}},
        "$.dial.extra.max_completion_tokens",
        "cost more than is reserved",
    ),
    ({"dial": {"extra": {"n": 8}}}, "$.dial.extra.n", "cost more than is reserved"),
    ({"dial": {"extra": {"best_of": 8}}}, "$.dial.extra.best_of", "cost more than is reserved"),
    (
        {"answer_shape": {"kind": "json", "required_fields": ["a", "_confidence"]}},
        "$.answer_shape.required_fields",
        "_confidence is a note beside the answer",
    ),
    (
        {"answer_shape": {"kind": "json", "schema": {"required": ["_rationale"]}}},
        "$.answer_shape.schema.required",
        "_rationale is a note beside the answer",
    ),
    ({"input": {"inline": nested(65)}}, "$.input.inline", "deeper than 64 levels"),
    ({"input": {"inline": nested(150)}}, "$.input.inline" + "[0]" * 99, "deeper than 100"),
    ({"metadata": {"a": nested(64)}}, "$.metadata", "deeper than 64 levels"),
    ({"dial": {"extra": {"a": nested(64)}}}, "$.dial.extra", "deeper than 64 levels"),
    (
        {"answer_shape": {"kind": "json", "schema": {"const": nested(64)}}},
        "$.answer_shape.schema",
        "deeper than 64 levels",
    ),
    (
        {
            "triggers": [
                {
                    "name": "next",
                    "query": {"question": "?", "responders": [{}], "input": {"inline": nested(65)}},
                }
            ]
        },
        "$.triggers[0].query.input.inline",
        "deeper than 64 levels",
    ),
    ({"klass": "royal"}, "$.klass", "must be "),
    ({"metadata": {"n": 2**60}}, "$.metadata.n", "write it as a string"),
    ({"metadata": {"n": float("nan")}}, "$.metadata.n", "not a JSON number"),
    (
        {"triggers": [{"name": "t", "query": asked(), "when": "answer == 1"}]},
        "$.triggers[0].when",
        "undeclared reference to 'answer'",
    ),
    (
        {"triggers": [{"name": "t", "query": asked()}, {"name": "t", "query": asked()}]},
        "$.triggers[1]",
        "t is there already",
    ),
    (
        {"triggers": [{"name": "t", "query": asked(), "join": {"id": "j", "of": 2, "need": 3}}]},
        "$.triggers[0].join.need",
        "at most 2, not 3",
    ),
    (
        {"triggers": [{"name": "t", "query": asked(relevance={"top_k": 0})}]},
        "$.triggers[0].query.relevance.top_k",
        "at least 1",
    ),
    (
        {"triggers": [{"name": "t", "query": asked(input={})}]},
        "$.triggers[0].query.input",
        "must have one of",
    ),
    ({"triggers": [{"name": "t", "query": {}}]}, "$.triggers[0].query.question", "is required"),
]


@pytest.mark.parametrize(("members", "path", "told"), WRONG)
def test_what_is_wrong_is_named_with_its_path(
    members: dict[str, Any], path: str, told: str
) -> None:
    """P7: what, where, and what would be right."""
    found = refused(asked(**members))
    assert told in found[path], found


@pytest.mark.parametrize("query", [None, [], "why?", 3])
def test_what_is_no_query_at_all_is_refused(query: Any) -> None:
    assert "must be an object" in refused(query)["$"]


def test_every_error_is_named_at_once() -> None:
    """P7: wrong types, wrong members and wrong meanings, at any depth, in one answer."""
    found = refused(
        {
            "surprise": 1,
            "responders": [{"kind": "robot", "expression": "1 +"}, {"trust_gte": 2}],
            "relevance": {"threshold": "much", "top_k": 0},
            "dial": {"temperature": 9},
            "fold": {"kind": "majority", "weight": "1.0"},
            "orchestration": waterfall(stage(top_k="x", accept_expression="answer > 3")),
            "triggers": [{"name": "t", "query": asked(question="", dial={"max_tokens": 0})}],
        }
    )
    assert set(found) == {
        "$.surprise",
        "$.question",
        "$.responders[0].kind",
        "$.responders[0].expression",
        "$.responders[1].trust_gte",
        "$.relevance.threshold",
        "$.relevance.top_k",
        "$.dial.temperature",
        "$.fold.weight",
        "$.orchestration.stages[0].top_k",
        "$.orchestration.stages[0].accept_expression",
        "$.triggers[0].query.question",
        "$.triggers[0].query.dial.max_tokens",
    }


def test_no_error_follows_from_another() -> None:
    """P7: where the shape of the answer cannot be read, nothing is said about its fields."""
    found = refused(
        asked(
            answer_shape={"kind": "jsn"},
            fold={"kind": "merge"},
            orchestration=waterfall(stage(accept_expression="answer.total > 3")),
        )
    )
    assert set(found) == {"$.answer_shape.kind"}


def test_queries_nested_too_deep_are_refused() -> None:
    """rules §6: depth ≤ 16, whether in the query or by what caused it."""

    def nested(depth: int) -> dict[str, Any]:
        query = asked()
        for _ in range(depth):
            query = asked(triggers=[{"name": "t", "query": query}])
        return query

    assert admit(nested(16), EVERYBODY, thread="q-1", now=NOON, seed=1)
    (path,) = refused(nested(17))
    assert path == "$" + ".triggers[0].query" * 17
    assert refused(nested(0), trigger={"parent": "q-0", "depth": 17})["$"] == (
        "is nested deeper than 16"
    )


def test_a_query_that_would_cause_itself_is_refused() -> None:
    """rules §6: loops are refused by causal chain."""
    assert "own cause" in refused(asked(), trigger={"parent": "q-1", "depth": 1})["$"]


# plans


def test_a_plan_is_the_body_of_an_intend() -> None:
    """P1, P5: the query, its responders, their hash, the end and its timer."""
    body = admitted(input={"inline": {"n": 1.0}})
    plan = msgspec.convert(body, Plan)
    assert plan.query == msgspec.convert(asked(input={"inline": {"n": 1}}), Query)
    assert plan.input == {"n": 1}
    assert (plan.reducer, plan.seed, plan.budget, plan.depth) == (CURRENT, 7, None, 0)
    assert body["timers"] == [{"name": "end", "due": plan.ends}]
    assert len(plan.plan) == 64
    k = begin("q-1", body, NOON)
    assert k.plan == plan


def test_a_plan_survives_being_written_and_read() -> None:
    """D1, P5: canonical JSON makes 1.0 of 1, and the plan is the same plan."""
    body = admitted(
        [llm("a", trust=1.0, typical_delay_secs=2.0), person("eve", hours=Hours(utc_offset=2.0))],
        relevance={"threshold": 0.0},
        dial={"temperature": 1.0, "extra": {"top_p": 1.0}},
        side_effects={"max_cost_usd": 2.0, "max_latency_secs": 60.0},
        fold={"kind": "majority", "tolerance": {"$": 1.0}},
        answer_shape={"kind": "json"},
        metadata={"x": 3.0},
        input={"inline": [1.0, {"a": 2.0}]},
    )
    again = parse(canonical(body).decode())
    assert again == body
    assert canonical(again) == canonical(body)
    assert msgspec.convert(again, Plan) == msgspec.convert(body, Plan)
    assert type(msgspec.convert(again, Plan).responders[0].trust) is float


def test_the_plan_is_hashed_by_query_and_responders() -> None:
    """P5: the same content, the same hash; the moment and the order do not matter."""
    one = admit(asked(), [llm("a"), llm("b")], thread="q-1", now=NOON, seed=1)
    other = admit(asked(), [llm("b"), llm("a")], thread="q-2", now=NOON + 1, seed=2)
    assert one["plan"] == other["plan"]
    changed = admit(asked(), [llm("a"), llm("b", trust=0.51)], thread="q-1", now=NOON, seed=1)
    assert changed["plan"] != one["plan"]


def test_only_those_who_may_be_asked_are_copied() -> None:
    """P5: of every round, whatever depends on the moment left open; and the people delegated to."""
    deputy = person("deputy")
    everybody = [
        *EVERYBODY,
        llm("gone", status="retired"),
        llm("off", available=False),
        person("boss", delegates=("did:web:deputy",)),
        deputy,
        person("stranger"),
    ]
    body = admitted(
        everybody,
        responders=[{"kind": "llm", "available": True}],
        orchestration=escalate(stage(responders=[{"id": "boss", "age_days_lt": 1}])),
    )
    assert [one["id"] for one in body["responders"]] == ["boss", "deputy"]
    body = admitted(
        everybody,
        responders=[{"kind": "llm", "available": True}],
        orchestration={"pattern": "verify", "verifier": [{"id": "tool", "age_days_lt": 1}]},
    )
    assert [one["id"] for one in body["responders"]] == ["a", "b", "off", "tool"]


def test_a_named_schema_is_pinned_at_every_depth() -> None:
    """P5: a later change of the schema changes nothing for this run."""
    shape = {"kind": "json", "schema_ref": "price"}
    query = asked(answer_shape=shape, triggers=[{"name": "t", "query": asked(answer_shape=shape)}])
    body = admit(query, EVERYBODY, thread="q-1", now=NOON, seed=7, schemas={"price": PRICE})[
        "query"
    ]
    for one in (body, body["triggers"][0]["query"]):
        assert one["answer_shape"] == {"kind": "json", "schema": PRICE}


def test_a_record_may_be_asked_about() -> None:
    """P7: ``record_id``."""
    query = asked(input={"record_id": "r1"})
    body = admit(query, EVERYBODY, thread="q-1", now=NOON, seed=7, records={"r1": {"n": 1.0}})
    assert body["input"] == {"n": 1}


def test_a_triggered_query_takes_input_causes_and_money_from_its_trigger() -> None:
    """rules §6, P13: the budget is carved from the parent's; the lesser limit holds."""
    trigger = {"input": 4.0, "budget": 0.5, "parent": "q-0", "chain": ["x"], "depth": 1}
    query = asked(input={"ref": "know.answer"}, side_effects={"max_cost_usd": 2})
    body = admit(query, EVERYBODY, thread="q-1", now=NOON, seed=7, trigger=trigger)
    assert (body["input"], body["budget"], body["parent"]) == (4, 0.5, "q-0")
    assert (body["chain"], body["depth"]) == (["x"], 1)
    own = asked(side_effects={"max_cost_usd": 0.25})
    assert admit(own, EVERYBODY, thread="q-1", now=NOON, seed=7, trigger=trigger)["budget"] == 0.25
    free = {**trigger, "budget": 0}
    assert admit(own, EVERYBODY, thread="q-1", now=NOON, seed=7, trigger=free)["budget"] == 0


@pytest.mark.parametrize(
    ("members", "secs"),
    [
        ({"responders": [{"kind": "pattern"}]}, 10),
        ({"responders": [{"kind": "system"}]}, 60),
        ({"responders": [{"kind": "llm"}]}, 300),
        ({"responders": [{"kind": "actor"}]}, 7 * 86_400),
        ({"responders": [{"id": "tool"}]}, 60),
        ({"responders": [{"id": "tool"}, {"id": "a"}]}, 300),
        ({"responders": [{"id": "nobody"}]}, 300),
        ({"side_effects": {"max_latency_secs": 12.5}}, 12.5),
        (
            {
                "responders": [{"id": "tool"}],
                "orchestration": {
                    "pattern": "verify",
                    "verifier": [{"id": "a"}],
                    "tiebreaker": [{"id": "code"}],
                    "judge": {"responders": [{"id": "tool"}]},
                },
            },
            300 + 10 + 60,
        ),
        (
            {
                "orchestration": waterfall(
                    stage(responders=[{"id": "code"}]),
                    stage(name="two", responders=[{"id": "a"}], timeout_secs=20),
                    stage(name="three", responders=[{"id": "a"}]),
                )
            },
            10 + 20 + 300,
        ),
        (
            {
                "responders": [{"id": "tool"}],
                "orchestration": {
                    "pattern": "retry_on_low_confidence",
                    "max_attempts": 3,
                    "adjustments": [{"responders": [{"id": "a"}]}],
                },
            },
            60 + 300 + 300,
        ),
        (
            {
                "orchestration": escalate(
                    stage(responders=[{"id": "a"}]), stage(name="two", responders=[{"id": "eve"}])
                )
            },
            300 + 7 * 86_400,
        ),
        (
            {
                "responders": [{"id": "a"}],
                "orchestration": {
                    "pattern": "ensemble_with_audit",
                    "auditor": [{"id": "tool"}],
                    "backup_auditor": [{"id": "code"}],
                },
            },
            300 + 60 + 10,
        ),
    ],
)
def test_a_run_ends_when_its_rounds_must_have(members: dict[str, Any], secs: float) -> None:
    """P10: defaults by kind, in a row where rounds are; what is stated goes before."""
    assert admitted(**members)["ends"] == NOON + round(secs * SECOND)


@pytest.mark.parametrize(
    "members",
    [
        {"input": {"inline": nested(64)}, "metadata": {"a": nested(63)}},
        {"dial": {"max_tokens": 9, "extra": {"top_p": 0.5}}},
        {"answer_shape": {"kind": "json", "required_fields": ["_id"]}},
    ],
)
def test_a_query_may_go_up_to_its_limits(members: dict[str, Any]) -> None:
    """P7; what begins with ``_`` and is no note is a member like others."""
    _, drafts = start("q-1", admitted(**members), NOON)
    assert {draft.kind for draft in drafts} == {"call"}
    assert all(canonical(draft.body) for draft in drafts)


def test_queries_in_queries_may_come_to_more_levels_than_a_record_holds() -> None:
    """P7: each keeps its own limits, and the whole is refused with its path."""
    query = asked(input={"inline": nested(64)})
    for _ in range(12):
        query = asked(triggers=[{"name": "next", "query": query}])
    (path,) = refused(query)
    assert path.startswith("$.triggers[0].query.triggers[0].query")


def test_what_a_plan_adds_to_its_query_may_be_a_level_too_many() -> None:
    """P7: so deep is the query that it is plain JSON still, and its plan is not."""
    query = asked(input={"inline": nested(63)})
    for _ in range(12):
        query = asked(triggers=[{"name": "next", "query": query}])
    assert canonical(query)
    (path,) = refused(query)
    assert path.startswith("$.triggers[0]")


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ({"record_id": "r"}, {"records": {"r": nested(65)}}),
        ({"ref": "know.answer"}, {"trigger": {"input": nested(65), "parent": "q-0"}}),
    ],
)
def test_an_input_that_is_too_deep_is_refused_wherever_it_comes_from(
    given: dict[str, Any], more: dict[str, Any]
) -> None:
    """P7, P19."""
    (problem,) = refused(asked(input=given), **more).values()
    assert problem == "leads to what is nested deeper than 64 levels"


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ({"inline": "x" * MAX_INPUT_BYTES}, {}),
        ({"record_id": "r"}, {"records": {"r": "x" * MAX_INPUT_BYTES}}),
        ({"ref": "know.answer"}, {"trigger": {"input": "x" * MAX_INPUT_BYTES, "parent": "q-0"}}),
    ],
)
def test_an_input_that_is_too_large_is_refused_wherever_it_comes_from(
    given: dict[str, Any], more: dict[str, Any]
) -> None:
    """P7, P19: with how large it is, and how large it may be."""
    (problem,) = refused(asked(input=given), **more).values()
    size = f"has {MAX_INPUT_BYTES + 2} bytes"
    assert problem == f"{size} as canonical JSON; at most {MAX_INPUT_BYTES} are allowed"


def test_a_named_schema_must_be_an_object() -> None:
    """P7: a plan with ``true`` in its place could not begin."""
    query = asked(answer_shape={"kind": "json", "schema_ref": "any"})
    for schema in (True, False):
        assert (
            "must be an object" in refused(query, schemas={"any": schema})["$.answer_shape.schema"]
        )


def test_nobody_to_ask_is_no_reason_to_refuse() -> None:
    """P19: no_candidates is the end of a run, with a record, not a refusal."""
    assert admitted(responders=[{"id": "nobody"}])["responders"] == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
MEMBERS = sorted(Query.__struct_fields__)


@given(st.dictionaries(st.sampled_from(MEMBERS), ANYTHING, max_size=4))
def test_no_query_raises_anything_but_a_refusal(members: dict[str, Any]) -> None:
    """P7: bad input gets a clear error."""
    problems: list[dict[str, str]] = []
    try:
        body = admit(asked(**members), EVERYBODY, thread="q-1", now=NOON, seed=7)
    except InvalidQuery as refusal:
        problems = refusal.errors
    assert all(one["path"].startswith("$") and one["problem"] for one in problems)
    assert problems or begin("q-1", body, NOON).plan.query.question


def types_hold(query: dict[str, Any]) -> bool:
    try:
        msgspec.convert(query, Query)
    except msgspec.ValidationError:
        return False
    return True


@given(
    st.one_of(
        st.sampled_from([members for members, _, _ in WRONG]),
        st.dictionaries(st.sampled_from(MEMBERS), ANYTHING, max_size=4),
    )
)
def test_types_that_hold_as_a_whole_hold_member_by_member(changed: dict[str, Any]) -> None:
    """P7: so a query without a mistake need not be looked through for all of them."""
    query = asked(**changed)
    problems: list[dict[str, str]] = []
    sound = members(Query, query, "$", problems)
    assert types_hold(query) == (not problems)
    assert problems or sound == query
