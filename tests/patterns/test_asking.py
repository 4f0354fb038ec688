"""What each role is told, and what it must not be told (P16; rules §6)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.patterns.sample_runs import llm, run

from covend.patterns.answers.asking import messages
from covend.patterns.query.spec import Dial
from covend.phylactery.canonical import canonical, parse

PRICE = {"type": "object", "properties": {"total": {"type": "number"}}}


def told(ask: dict[str, Any]) -> tuple[str, str]:
    """The system and the user text."""
    system, user = ask["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    return system["content"], user["content"]


def test_a_question_about_something_is_asked_with_it() -> None:
    """P7: text as it is, anything else as JSON."""
    k = run(question="How much?", input={"inline": {"b": 1, "a": 2.0}})
    ask = messages(k, "answer", Dial(temperature=0.5), None)
    assert told(ask)[1] == 'How much?\n\nInput:\n{"a":2,"b":1}'
    assert ask["question"] == "How much?"
    assert ask["input"] == {"a": 2, "b": 1}
    assert ask["dial"] == {"temperature": 0.5}
    assert ask["role"] == "answer"
    k = run(question="How much?", input={"inline": "five"})
    assert told(messages(k, "answer", Dial()))[1] == "How much?\n\nInput:\nfive"
    assert told(messages(run(question="How much?"), "answer", Dial()))[1] == "How much?"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"kind": "text"}, []),
        ({"kind": "json"}, ["one JSON value"]),
        ({"kind": "json", "required_fields": ["a", "b"]}, ["one JSON value", "members a, b"]),
        ({"kind": "json", "schema": PRICE}, ["JSON Schema", '"total":{"type":"number"}']),
        ({"kind": "choice", "choices": ["yes", "no"]}, ["exactly one", "- yes\n- no"]),
    ],
)
def test_the_shape_of_the_answer_is_stated(shape: dict[str, Any], said: list[str]) -> None:
    """P7: whoever answers knows what the answer will be checked against."""
    ask = messages(run(answer_shape=shape), "answer", Dial())
    system = told(ask)[0]
    for part in said:
        assert part in system
    assert ("JSON" in system) == (shape["kind"] == "json")


def test_a_dial_may_say_more_first() -> None:
    ask = messages(run(), "answer", Dial(system="You are a notary."))
    assert told(ask)[0].startswith("You are a notary.\n")


def test_answer_and_verify_see_the_same_and_nothing_of_each_other() -> None:
    """rules §6, verify: the verifier never sees the primary's answer."""
    k = run()
    verifier = messages(k, "verify", Dial(), show="SECRET")
    assert verifier["show"] is None
    assert b"SECRET" not in canonical(verifier)
    primary = messages(k, "answer", Dial(), show="SECRET")
    assert primary["messages"] == verifier["messages"]


def test_an_auditor_sees_the_folded_answer_and_gives_a_verdict() -> None:
    """rules §6, ensemble_with_audit."""
    k = run(
        llm("a"),
        orchestration={
            "pattern": "ensemble_with_audit",
            "auditor": [{}],
            "instruction": "Approve if it is even.",
        },
    )
    ask = messages(k, "audit", Dial(), show={"n": 4})
    system, user = told(ask)
    assert "Approve if it is even." in system
    assert '"approved"' in system
    assert user == 'What is it?\n\nAnswer to check:\n{"n":4}'
    assert ask["shape"]["required_fields"] == ("approved",)
    assert ask["show"] == {"n": 4}


@pytest.mark.parametrize("role", ["judge", "tiebreak"])
def test_who_compares_sees_both_in_an_order_that_the_seed_draws(role: str) -> None:
    """P16: randomised by a recorded seed, and the same at every replay."""
    drawn = set()
    for seed in range(20):
        k = run(seed=seed)
        ask = messages(k, role, Dial(), show=["one", "two"])
        assert ask == messages(k, role, Dial(), show=["one", "two"])
        first, second = ask["show"]
        drawn.add(first)
        assert f"Answer A:\n{first}\n\nAnswer B:\n{second}" in told(ask)[1]
        assert {first, second} == {"one", "two"}
    assert drawn == {"one", "two"}


def test_a_judge_says_whether_they_agree_and_a_tiebreaker_answers() -> None:
    """P16; rules §6, verify: the tiebreaker's answer wins, so it has the query's shape."""
    k = run(answer_shape={"kind": "choice", "choices": ["x", "y"]})
    assert messages(k, "judge", Dial(), ["x", "y"])["shape"]["required_fields"] == ("agree",)
    assert messages(k, "tiebreak", Dial(), ["x", "y"])["shape"]["choices"] == ("x", "y")


def test_a_tiebreaker_may_be_shown_nothing() -> None:
    """rules §6, verify: where one of the two is missing it is a second opinion."""
    ask = messages(run(), "tiebreak", Dial(), None)
    assert ask["show"] is None
    assert told(ask)[1] == "What is it?"


@pytest.mark.parametrize("role", ["answer", "verify", "audit", "judge", "tiebreak"])
def test_what_is_asked_is_canonical_json(role: str) -> None:
    """P2: it is part of a record, and the same when it is read back."""
    k = run(answer_shape={"kind": "json", "schema": PRICE}, input={"inline": 1.0})
    ask = messages(k, role, Dial(temperature=1.0, extra={"top_p": 1.0}), show=["x", 2.0])
    assert canonical(parse(canonical(ask).decode())) == canonical(ask)
