"""The inbox over HTTP: read, accepted, declined, answered, followed (P18)."""

import json

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK

from covend.questions import ActOnTask, ListTasks


@pytest.fixture
def desk(api):
    api.tell(NewTask(**TASK))
    api.tell(NewTask(**{**TASK, "id": "t-2", "did": "did:bob", "answer_shape": {
        "kind": "json", "required_fields": ["verdict"]}}))  # fmt: skip
    return api


def word(api):
    """The last word that the desk heard."""
    return next(m for m in reversed(api.actor.heard) if isinstance(m, ActOnTask))


def test_a_person_sees_their_tasks_and_nobody_else_s(desk):
    """P18."""
    everybody = desk.client.get("/api/inbox").json()["tasks"]
    assert [task["id"] for task in everybody] == ["t-1", "t-2"]
    mine = desk.client.get("/api/inbox", params={"did": "did:bob"}).json()["tasks"]
    assert [task["id"] for task in mine] == ["t-2"]
    assert mine[0]["answer_shape"] == {"kind": "json", "required_fields": ["verdict"]}
    assert desk.client.get("/api/inbox", params={"state": "declined"}).json()["tasks"] == []


def test_a_task_says_what_is_asked(desk):
    task = desk.client.get("/api/inbox/t-1").json()
    assert task["question"] == "Is it right?" and task["input"] == {"inline": "x = 1"}
    assert task["state"] == "open"
    assert desk.client.get("/api/inbox/t-9").status_code == 404


def test_accepting_says_when(desk):
    """P18: with an eta."""
    response = desk.client.post("/api/inbox/t-1/accept", json={"did": "did:ada", "eta_secs": 60})
    assert response.json()["state"] == "accepted"
    assert word(desk) == ActOnTask("t-1", "accept", "did:ada", eta_secs=60)
    response = desk.client.post("/api/inbox/t-1/accept", json={"did": "did:ada", "eta_secs": 0})
    assert response.status_code == 400 and "$.eta_secs" in response.text


def test_declining_is_terminal(desk):
    """P18: a submit after a decline is a 409."""
    said = {"did": "did:ada", "reason": "overbooked", "note": "next week"}
    assert desk.client.post("/api/inbox/t-1/decline", json=said).json()["state"] == "declined"
    heard = word(desk)
    assert (heard.reason, heard.rationale) == ("overbooked", "next week")
    late = desk.client.post("/api/inbox/t-1/submit", json={"did": "did:ada", "value": "yes"})
    assert late.status_code == 409
    unknown = {"did": "did:ada", "reason": "bored"}
    assert desk.client.post("/api/inbox/t-2/decline", json=unknown).status_code == 400


def test_an_answer_must_have_the_shape(desk):
    """P18: validated against the shape; the fault is named by its path."""
    wrong = desk.client.post("/api/inbox/t-2/submit", json={"did": "did:bob", "value": {}})
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [{"path": "$.verdict", "problem": "it is needed"}]
    said = {"did": "did:bob", "value": {"verdict": "ok"}, "confidence": 0.5, "rationale": "why"}
    assert desk.client.post("/api/inbox/t-2/submit", json=said).json()["state"] == "submitted"
    heard = word(desk)
    assert (heard.value, heard.confidence, heard.rationale) == ({"verdict": "ok"}, 0.5, "why")


def test_null_is_a_value_and_nothing_is_none(desk):
    """A submission without a value is no submission."""
    assert desk.client.post("/api/inbox/t-1/submit", json={"did": "did:ada"}).status_code == 400
    null = {"did": "did:ada", "value": None}
    assert desk.client.post("/api/inbox/t-1/submit", json=null).status_code == 200


def test_an_open_page_hears_of_new_and_changed_tasks(desk, monkeypatch):
    """P18: live pages first. What waits comes at once, what changes when it does."""
    monkeypatch.setattr("covend.api.events.RESTING_SECONDS", 0.01)
    monkeypatch.setattr("covend.api.events.INBOX_SECONDS", 0.05)
    with desk.client.stream("GET", "/api/inbox/events?did=did:ada") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()

        def task():
            return json.loads(next(line for line in lines if line.startswith("data:"))[5:])

        assert (task()["id"], desk.heard(ListTasks, 3)) == ("t-1", None)
        desk.tell(NewTask(**{**TASK, "id": "t-3"}))
        assert task()["id"] == "t-3"
        desk.client.post("/api/inbox/t-1/decline", json={"did": "did:ada"})
        changed = task()
        assert (changed["id"], changed["state"]) == ("t-1", "declined")
        state = desk.core_dies()
        desk.core_starts(state)
        desk.tell(NewTask(**{**TASK, "id": "t-4"}))
        assert task()["id"] == "t-4"
