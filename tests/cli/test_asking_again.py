"""`covend query` where the core is away just then: it is asked again, and asks once (P7)."""

import pytest

from covend.cli.client import BoxClient, BoxNotRunning, BoxSilent
from covend.questions import ListResponders, RecordsOf, ShowQuery, SubmitQuery, refusal
from covend.runtime import Actor

INTEND = {"seq": 1, "kind": "intend", "body": {}, "clock": 0}
KNOW = {"status": "fulfilled", "answer": "blue"}


class Desk(Actor):
    """Takes every query; refuses the first ``away`` of them for now."""

    def __init__(self, heard, away):
        self.heard, self.away = heard, away

    def on_receive(self, message):
        self.heard.append(message)
        match message:
            case SubmitQuery() if self.away:
                self.away -= 1
                return refusal(503, "not_stored", "the store was too slow")
            case SubmitQuery():
                return {"id": "q-1", "state": "open"}
            case ListResponders():
                return {"responders": [{"id": "model:chat", "kind": "llm"}]}
            case RecordsOf(after=after):
                return {"records": [] if after else [INTEND], "ended": True}
            case ShowQuery():
                return {"id": "q-1", "state": "ended", "know": KNOW, "spent": {}}
        raise AssertionError(message)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("covend.questions.RETRY_SECONDS", 0.0)


@pytest.fixture
def unheard(monkeypatch):
    """Raises these in place of the first answers to what is of this kind, which was heard."""

    def begins(kind, *errors):
        told, left = BoxClient.ask, list(errors)

        def ask(self, address, message, timeout=10.0):
            answer = told(self, address, message, timeout)
            if isinstance(message, kind) and left:
                raise left.pop(0)
            return answer

        monkeypatch.setattr(BoxClient, "ask", ask)

    return begins


def keys(heard):
    return [message.key for message in heard if isinstance(message, SubmitQuery)]


@pytest.fixture
def heard(box):
    """What the desk of the box heard; it refuses the first query for now."""
    found = []
    box.system.spawn(Desk, found, 1, name="desk")
    return found


def test_a_core_that_is_away_is_asked_again_under_the_same_key(box, heard, covend, unheard):
    """Whether it is silent or refuses for now; another command bears another key."""
    unheard(SubmitQuery, BoxSilent("the core is restarting"))
    assert covend("query", "why?", "--run-dir", box.run_dir).stdout == "blue\n"
    covend("query", "why?", "--run-dir", box.run_dir)
    *first, second = keys(heard)
    assert len(first) == 2 and len(set(first)) == 1 and first[0] and second
    assert second not in first


def test_a_key_of_ones_own_is_the_one_that_is_sent(box, heard, covend):
    covend("query", "why?", "--key", "mine", "--run-dir", box.run_dir)
    assert keys(heard) == ["mine", "mine"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(BoxSilent("no answer"), 4), (BoxNotRunning("it ended"), 3), (KeyboardInterrupt(), 130)],
)
def test_who_is_told_nothing_knows_how_not_to_pay_twice(
    box, heard, covend, unheard, monkeypatch, error, status
):
    """Whether the time is over, the box has ended, or somebody would not wait."""
    monkeypatch.setattr("covend.questions.SUBMIT_SECONDS", 0.0)
    unheard(SubmitQuery, error)
    said = covend("query", "why?", "--run-dir", box.run_dir, status=status).stderr
    assert f"asked again with --key {keys(heard)[0]!r} it is the same query" in said


def test_who_can_be_asked_is_asked_for_again_where_the_core_is_away(box, heard, covend, unheard):
    unheard(ListResponders, BoxSilent("the core is restarting"))
    assert covend("query", "why?", "-w", "chat", "--run-dir", box.run_dir).stdout == "blue\n"


def test_the_end_is_asked_for_again_where_the_core_is_away(box, heard, covend, unheard):
    unheard(ShowQuery, BoxSilent("the core is restarting"))
    assert covend("query", "watch", "q-1", "--run-dir", box.run_dir).stdout == "blue\n"
