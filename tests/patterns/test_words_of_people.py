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
