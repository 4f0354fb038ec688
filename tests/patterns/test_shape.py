"""P7, P11: an answer has the shape that was asked for, or every problem says where."""

from __future__ import annotations

from typing import Any

import pytest

from covend.patterns.shape import problems, schema_problem
from covend.patterns.spec import AnswerShape

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


def test_a_pattern_takes_linear_time() -> None:
    """P7: a pattern that ruins a backtracking matcher."""
    shape = AnswerShape(kind="json", schema={"type": "string", "pattern": "^(a+)+$"})
    assert len(problems(shape, "a" * 20_000 + "b")) == 1


def test_a_hopeless_answer_is_not_described_for_ever() -> None:
    shape = AnswerShape(kind="json", schema={"items": {"type": "string"}})
    assert len(problems(shape, list(range(1000)))) == 20
