"""P7, P11: an answer has the shape that was asked for, or every problem says where."""

from __future__ import annotations

from typing import Any

import pytest

from covend.patterns.query import shape as shape_module
from covend.patterns.query.shape import (
    MAX_KEPT,
    MAX_SCHEMA_BYTES,
    nested_deeper,
    problems,
    problems_told,
    schema_problem,
)
from covend.patterns.query.spec import AnswerShape

PRICE = {
    "type": "object",
    "properties": {
        "total": {"type": "number", "minimum": 0},
        "items": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
    "required": ["total"],
}


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        (AnswerShape(), "words", []),
        (AnswerShape(), " ", ["$: must not be empty"]),
        (AnswerShape(), 3, ["$: must be text, not a number"]),
        (AnswerShape(), None, ["$: must be text, not null"]),
        (AnswerShape(kind="choice", choices=("yes", "no")), "yes", []),
        (AnswerShape(kind="choice", choices=("1",)), 1, ["$: must be one of 1, not 1"]),
        (
            AnswerShape(kind="choice", choices=("yes", "no")),
            "Yes",
            ['$: must be one of yes, no, not "Yes"'],
        ),
        (AnswerShape(kind="json"), None, []),
        (AnswerShape(kind="json"), [1], []),
        (AnswerShape(kind="json", required_fields=("a", "b")), {"a": 1}, ["$.b: is required"]),
        (
            AnswerShape(kind="json", required_fields=("a",)),
            [],
            ["$: must be an object, not a list"],
        ),
        (AnswerShape(kind="json", schema=PRICE), {"total": 1, "items": []}, []),
        (
            AnswerShape(kind="json", schema=PRICE),
            {"total": -1, "items": [{"name": "x"}, {}]},
            [
                '$.items[1]: "name" is a required property',
                "$.total: -1 is less than the minimum of 0",
            ],
        ),
    ],
)
def test_an_answer_has_its_shape_or_every_problem_has_a_path(
    shape: AnswerShape, value: Any, expected: list[str]
) -> None:
    """P11: only schema-valid answers count."""
    assert problems(shape, value) == expected


def test_a_named_schema_comes_from_the_mapping() -> None:
    """P7: ``schema_ref``."""
    shape = AnswerShape(kind="json", schema_ref="price")
    assert problems(shape, {"total": 1}, {"price": PRICE}) == []
    assert problems(shape, {}, {"price": PRICE}) == ['$: "total" is a required property']
    assert problems(shape, {}, {}) == ["$: there is no schema named price"]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "nope"}, "nope"),
        ({"$ref": "http://127.0.0.1:9/x.json"}, "complete in itself"),
        ({"$ref": "file:///etc/hostname"}, "complete in itself"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"pattern": "("}, "("),
        ({"pattern": "(?=a)b"}, "(?=a)b"),  # looking ahead takes more than linear time
        ([], "must be an object, not a list"),
        (True, "must be an object, not a boolean"),
    ],
)
def test_a_schema_that_is_wrong_or_leads_elsewhere_is_refused(schema: Any, told: str) -> None:
    """P7: a schema is complete in itself; nothing is fetched for it."""
    problem = schema_problem(schema)
    assert problem is not None
    assert told in problem
    if isinstance(schema, dict):
        assert "not valid" in problems(AnswerShape(kind="json", schema=schema), {})[0]


def test_a_reference_within_a_schema_is_followed() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert schema_problem(schema) is None
    found = problems(AnswerShape(kind="json", schema=schema), {"a": "x"})
    assert found == ['$.a: "x" is not of type "integer"']


def doubling(levels: int, kind: str = "allOf", to: str = "#/$defs/a{}", **named: str) -> Any:
    """Definitions of which each refers twice to the next; ``named`` is how each is called."""
    defs: dict[str, Any] = {
        f"a{level}": {kind: [{"$ref": to.format(level + 1)}] * 2} for level in range(levels)
    }
    defs[f"a{levels}"] = {"type": "integer"}
    for level in range(levels + 1):
        defs[f"a{level}"] |= {keyword: name.format(level) for keyword, name in named.items()}
    return {"$id": "http://x.example/y/", "$defs": defs, "$ref": to.format(0)}


@pytest.mark.parametrize(
    "schema",
    [
        doubling(26),
        doubling(26, "anyOf"),
        doubling(26, to="http://x.example/y/#/$defs/a{}"),
        doubling(26, to="#b{}", **{"$anchor": "b{}"}),
        doubling(26, to="c{}", **{"$id": "c{}"}),
        {"$defs": {"all": {"allOf": [doubling(26)]}}, "$ref": "#/$defs/all/allOf/0/$defs/a0"},
    ],
)
def test_a_schema_that_takes_for_ever_is_refused(schema: Any) -> None:
    """P7: two kilobytes whose references double at each step."""
    assert "references come to more than 10000" in str(schema_problem(schema))


@pytest.mark.parametrize(
    "schema",
    [
        doubling(10),
        {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
        {"$defs": {"a b/c": {"type": "integer"}}, "$ref": "#/$defs/a%20b~1c"},
    ],
)
def test_a_schema_may_refer_to_its_parts_and_to_itself(schema: Any) -> None:
    """P7."""
    assert schema_problem(schema) is None


def operation(name: str) -> Any:
    both = {"l": {"$ref": "#"}, "r": {"$ref": "#"}}
    members = {"op": {"const": name}, **both}
    return {"type": "object", "properties": members, "required": ["op", "l"]}


TERM = {"anyOf": [operation("add"), operation("mul"), {"type": "number"}]}


def term(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = {"op": "mul", "l": leaf, "r": 1}
    return leaf


BACK = "$: does not match its schema; where is not said, as the schema leads back to itself"
LARGE = "$: does not match its schema; where is not said, as the answer is large"


def test_an_answer_to_a_recursive_schema_is_soon_judged() -> None:
    """P11: what is wrong with it would be told in millions of ways, be it ever so small."""
    shape = AnswerShape(kind="json", schema=TERM, required_fields=("op", "z"))
    for levels in (2, 60):
        assert problems_told(shape, term(levels, "x")) == ["$.z: is required", BACK]
        assert problems_told(shape, term(levels, 1)) == ["$.z: is required"]
    again = {"$ref": "#/$defs/n"}
    ways = [{"properties": {"a": again}, "required": [f"k{n}"]} for n in range(200)]
    wide = AnswerShape(kind="json", schema={"$defs": {"n": {"anyOf": ways}}, **again})
    assert problems_told(wide, {"a": {"a": {"a": {}}}}) == [BACK]


@pytest.mark.parametrize(
    "value", [[1] * 20_000, [{"x": [0]} for _ in range(6000)], ["x" * 20_000, 1], {"x" * 20_000: 1}]
)
def test_a_large_answer_is_soon_judged(value: Any) -> None:
    """P11: each of its parts would be told of, and shown in what is wrong with the whole."""
    schema = {"items": {"type": "string"}, "maxProperties": 0}
    assert problems_told(AnswerShape(kind="json", schema=schema), value) == [LARGE]
    assert problems_told(AnswerShape(kind="json", schema={"minItems": 1}), value) == []


def test_only_so_many_schemas_are_kept_and_none_that_was_refused() -> None:
    shape_module._validator.cache_clear()
    for number in range(3):
        assert schema_problem({"type": f"no{number}"}) is not None
        assert schema_problem({"description": "x" * MAX_SCHEMA_BYTES, "n": number}) is not None
    assert shape_module._validator.cache_info().currsize == 0
    for number in range(MAX_KEPT + 3):
        assert schema_problem({"minimum": number}) is None
    assert shape_module._validator.cache_info().currsize == MAX_KEPT


def test_a_deep_answer_to_a_plain_schema_is_told_all() -> None:
    """P11."""
    shape = AnswerShape(kind="json", schema={"$defs": {"n": {}}, "$ref": "#/$defs/n", "maximum": 1})
    assert problems_told(shape, term(9, 1)) == []
    shape = AnswerShape(kind="json", schema={"properties": {"r": {"type": "string"}}})
    assert problems_told(shape, term(9, 1)) == ['$.r: 1 is not of type "string"']


def test_a_chain_of_references_has_an_end() -> None:
    """P7: it is refused before it fills anybody's stack."""
    defs = {f"a{level}": {"$ref": f"#/$defs/a{level + 1}"} for level in range(1500)}
    schema = {"$defs": {**defs, "a1500": {}}, "$ref": "#/$defs/a0"}
    assert "through too many others" in str(schema_problem(schema))


def test_levels_are_counted_by_the_lists_and_objects_in_one_another() -> None:
    """P7, P11."""
    assert not nested_deeper("x", 0)
    assert nested_deeper([], 0)
    assert not nested_deeper({"a": [1, {"b": ()}]}, 4)
    assert nested_deeper({"a": [1, {"b": ()}]}, 3)


def test_a_pattern_takes_linear_time() -> None:
    """P7: a pattern that ruins a backtracking matcher."""
    shape = AnswerShape(kind="json", schema={"type": "string", "pattern": "^(a+)+$"})
    assert len(problems(shape, "a" * 20_000 + "b")) == 1


def test_a_hopeless_answer_is_not_described_for_ever() -> None:
    shape = AnswerShape(kind="json", schema={"items": {"type": "string"}})
    assert len(problems(shape, list(range(1000)))) == 20
