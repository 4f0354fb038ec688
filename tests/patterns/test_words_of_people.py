"""Which words of people are accepted on their tasks, and what they become (P18)."""

from __future__ import annotations

from typing import Any

import pytest
from tools.golden.play import Play, intend, person, query

from covend.patterns.people import Refused, word
from covend.patterns.state import MAX_EXTENSIONS, SECOND
from covend.questions import ActOnTask

CALL = "tier:0/0#1"


def task(**who: Any) -> Play:
    """A task of ``p``, who has a minute for it in a query that has an hour."""
    tier = {"name": "t", "responders": [{"id": "p"}], "timeout_secs": 60}
    return Play(
        intend(
            query("p", pattern={"pattern": "escalate", "tiers": [tier]}),
            person("p", did="did:p", **who),
        )
    )


def said(play: Play, act: Any, did: str = "did:p", **more: Any) -> Any:
    """What becomes of a person's word; a ``do`` body is recorded."""
    body = play.called(CALL)
    promises = [each for each in play.bodies("do") if each["status"] == "accepted"]
    order = ActOnTask("q-play~tier:0~0~1", act, did, **more)
    became = word(play.k, body, order, play.now, promises)
    if isinstance(became, dict):
        play.take("do", became)
    return became


def test_a_word_becomes_what_is_recorded() -> None:
    """P18."""
    play = task()
    assert said(play, "accept", eta_secs=90, key="k") == {
        "slot": "tier:0/0", "attempt": 1, "status": "accepted", "by": "did:p",
        "eta": play.now + 90 * SECOND, "key": "k",
    }  # fmt: skip
    play.now += 5 * SECOND
    submitted = said(play, "submit", value={"so": True}, confidence=0.9)
    assert submitted["status"] == "ok" and submitted["value"] == {"so": True}
    assert (submitted["by"], submitted["delay_secs"]) == ("did:p", 5)
    declined = said(task(), "decline", reason="overbooked", rationale="no time")
    assert (declined["status"], declined["problem"]) == ("declined", "overbooked")
    assert declined["rationale"] == "no time"


@pytest.mark.parametrize(
    ("act", "more"),
    [("accept", {"key": "k", "eta_secs": 90}), ("accept", {}), ("submit", {"value": 1})],
)
def test_the_same_word_again_is_heard_and_changes_nothing(act: str, more: dict[str, Any]) -> None:
    """P18: also a minute later, and after the task is over."""
    play = task()
    assert isinstance(said(play, act, **more), dict)
    play.now += SECOND
    assert said(play, act, **more) is None


def test_a_decline_is_for_good() -> None:
    """P18: another word after it is refused with the task's state."""
    play = task()
    said(play, "decline", reason="overbooked")
    assert said(play, "decline", reason="overbooked") is None
    for act, more in (("submit", {"value": 1}), ("decline", {"reason": "other"}), ("accept", {})):
        refused = said(play, act, **more)
        assert (refused.status, refused.code) == (409, "declined")


def test_nothing_is_accepted_after_the_deadline() -> None:
    """P18: though no timer said so yet."""
    play = task()
    play.now += 60 * SECOND
    assert said(play, "submit", value=1).code == "expired"


def test_the_wait_is_extended_so_often_and_no_more() -> None:
    """P18: a promise that does not extend it is no extension."""
    play = task()
    for time in range(1, MAX_EXTENSIONS + 1):
        assert said(play, "accept", eta_secs=60 + time)["status"] == "accepted"
    assert said(play, "accept", eta_secs=600).code == "extended"
    assert said(play, "accept", eta_secs=30)["status"] == "accepted"


WRONG = [
    ("accept", {"eta_secs": 0.0}, "$.eta_secs"),
    ("accept", {"eta_secs": float("inf")}, "$.eta_secs"),
    ("accept", {"eta_secs": float("nan")}, "$.eta_secs"),
    ("decline", {"reason": "tired"}, "$.reason"),
    ("submit", {"value": 1, "confidence": 1.5}, "$.confidence"),
]


@pytest.mark.parametrize(("act", "more", "path"), WRONG)
def test_a_word_that_does_not_hold_is_refused_by_its_path(
    act: str, more: dict[str, Any], path: str
) -> None:
    """P18."""
    refused = said(task(), act, **more)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == (422, "invalid_word")
    assert [error["path"] for error in refused.errors or ()] == [path]


def test_a_task_is_for_those_who_were_asked() -> None:
    """P18: for a delegate from the moment he is asked, and not before."""
    play = task(sla_secs=10, delegates=["did:q", "did:r"])
    assert said(play, "submit", "did:q", value=1).code == "not_yours"
    play.passes(10, f"delegate:{CALL}")
    assert said(play, "submit", "did:r", value=1).code == "not_yours"
    assert said(play, "submit", "did:q", value=1)["by"] == "did:q"


def test_a_decline_ends_no_task_that_somebody_else_is_asked() -> None:
    """P18: nor one of which a delegate promised the answer, while his promise holds."""
    play = task(sla_secs=10, delegates=["did:q"])
    play.passes(10, f"delegate:{CALL}")
    assert said(play, "decline", "did:q").message.startswith("did:p is asked as well")
    said(play, "accept", "did:q", eta_secs=20)
    assert said(play, "decline").message.startswith("did:q promised an answer")
    play.now += 21 * SECOND
    assert said(play, "decline")["status"] == "declined"


STARS = {"type": "object", "properties": {"stars": {"type": "integer", "maximum": 5}}}
ASKED: dict[str, Any] = {"required_fields": ["who", "why"], "schema": STARS}


@pytest.mark.parametrize(
    ("shape", "value", "faults"),
    [
        ({"kind": "text"}, "", {"$.value": "must not be empty"}),
        (
            {"kind": "json", **ASKED},
            {"stars": 9, "why": "; $.a: b"},
            {"$.value.who": "is required", "$.value.stars": "9 is greater than the maximum of 5"},
        ),
        (
            {"kind": "json", "schema": {"properties": {"a: b": {"required": ["c: d"]}}}},
            {"a: b": {}},
            {"$.value.a: b": '"c: d" is a required property'},
        ),
        (
            {"kind": "json", "required_fields": ["a: b", "c" * 600]},
            {},
            {"$.value.a: b": "is required", f"$.value.{'c' * 491}…": "is required"},
        ),
        ({"kind": "choice", "choices": ["a", "b"]}, 5, {"$.value": "must be one of a, b, not 5"}),
        ({"kind": "json"}, {"_obligations": [5]}, {"$.value": "_obligations: 5 has no id"}),
    ],
)
def test_each_fault_of_an_answer_is_told_by_its_place_in_the_word(
    shape: dict[str, Any], value: Any, faults: dict[str, str]
) -> None:
    """P18, X6: once, and not in the sentence as well."""
    play = Play(intend(query("p", answer_shape=shape), person("p", did="did:p")))
    order = ActOnTask("q-play~primary:0~0~1", "submit", "did:p", value=value)
    refused = word(play.k, play.called("primary/0#1"), order, play.now, [])
    assert isinstance(refused, Refused) and refused.errors is not None
    assert {one["path"]: one["problem"] for one in refused.errors} == faults
    assert refused.message == "the answer does not have the shape that was asked for"


def test_the_schema_of_a_person_counts_as_well() -> None:
    """P8, P18: every fault says which schema it is by."""
    play = Play(intend(query("p"), person("p", did="did:p", schema={"minLength": 3})))
    order = ActOnTask("q-play~primary:0~0~1", "submit", "did:p", value="a")
    refused = word(play.k, play.called("primary/0#1"), order, play.now, [])
    assert isinstance(refused, Refused) and refused.errors is not None
    ((fault),) = refused.errors
    assert fault["path"] == "$.value" and fault["problem"].endswith("(by the schema of p)")
