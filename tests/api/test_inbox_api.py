"""The inbox over HTTP: read, accepted, declined, answered, followed (P18)."""

import asyncio
import json

import pytest
from tests.api.scripted_desk import NewTask
from tests.api.served import TASK

from covend.api import events
from covend.questions import WAITING, ActOnTask, ListTasks


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


def test_a_shared_task_is_shown_as_the_one_who_is_named_has_it(desk):
    """P18: a task and each delegate's share its id."""
    share = {"did": "did:dee", "in_place_of": "did:ada", "promised_by": ["did:ada"]}
    desk.tell(NewTask(**{**TASK, **share, "state": "accepted"}))
    for did, state, own in (("did:ada", "open", None), ("did:dee", "accepted", "did:ada")):
        task = desk.client.get("/api/inbox/t-1", params={"did": did}).json()
        assert (task["did"], task["state"], task.get("in_place_of")) == (did, state, own)
    assert task["promised_by"] == ["did:ada"]
    assert desk.client.get("/api/inbox/t-1", params={"did": "did:eve"}).status_code == 404
    bound = {"X-Covend-Did": "did:dee", "X-Covend-Sender": "dee"}
    answer = desk.client.get("/api/inbox/t-1", params={"did": "did:ada"}, headers=bound)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_your_did")


def test_accepting_says_when(desk):
    """P18: with an eta."""
    response = desk.client.post("/api/inbox/t-1/accept", json={"did": "did:ada", "eta_secs": 60})
    assert response.json()["state"] == "accepted"
    heard = word(desk)
    assert heard == ActOnTask("t-1", "accept", "did:ada", eta_secs=60, key=heard.key)
    assert heard.key  # of ours, for a core that has to be asked twice
    response = desk.client.post("/api/inbox/t-1/accept", json={"did": "did:ada", "eta_secs": 0})
    assert response.status_code == 400 and "$.eta_secs" in response.text


def test_accepting_again_under_one_key_is_the_same_word(desk):
    """P18: the key is the sender's own."""
    keys: list[str | None] = []
    for key in ("a", "a", "b"):
        body, headers = {"did": "did:ada", "eta_secs": 60}, {"Idempotency-Key": key}
        desk.client.post("/api/inbox/t-1/accept", json=body, headers=headers)
        keys.append(word(desk).key)
    assert keys[0] == keys[1] != keys[2]
    body, headers = {"did": "did:ada", "eta_secs": 60}, {"Idempotency-Key": "x" * 999}
    assert desk.client.post("/api/inbox/t-1/accept", json=body, headers=headers).status_code == 400


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
    assert wrong.json()["errors"] == [{"path": "$.value.verdict", "problem": "it is needed"}]
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

        assert [one["id"] for one in told(lines)[0]] == ["t-1"]
        desk.heard(ListTasks, 3)
        desk.tell(NewTask(**{**TASK, "id": "t-3"}))
        assert task()["id"] == "t-3"
        desk.client.post("/api/inbox/t-1/decline", json={"did": "did:ada"})
        changed = task()
        assert (changed["id"], changed["state"]) == ("t-1", "declined")
        state = desk.core_dies()
        desk.core_starts(state)
        desk.tell(NewTask(**{**TASK, "id": "t-4"}))
        assert task()["id"] == "t-4"


@pytest.fixture
def quick(monkeypatch):
    """Streams that look again at once."""
    monkeypatch.setattr("covend.api.events.RESTING_SECONDS", 0.01)
    monkeypatch.setattr("covend.api.events.RESTING_SHARE", 0.0)
    monkeypatch.setattr("covend.api.events.INBOX_SECONDS", 0.05)


def told(lines):
    """What a stream tells until it has told of all that waits: the tasks, and its last word."""
    tasks, looks = [], 0
    for line in lines:
        looks += line == ":"
        assert looks < 50, "it looks again and again, and never says that this is all"
        name = line[7:] if line.startswith("event: ") else ""
        if name:
            data = json.loads(next(lines)[6:])
            if name == "told":
                return tasks, data
            tasks.append(data)
    raise AssertionError("the stream has ended")


def test_an_open_page_is_told_of_every_task_that_waits(desk, quick):
    """P18: more than the core gives in one answer; then the stream waits for what is new."""
    for number in range(3, 405):
        desk.tell(
            NewTask(**{**TASK, "id": f"t-{number}", "state": "open" if number % 2 else "accepted"})
        )
    with desk.client.stream("GET", "/api/inbox/events?did=did:ada") as response:
        lines = response.iter_lines()
        tasks, last = told(lines)
        assert len({task["id"] for task in tasks}) == 403
        assert last == {"tasks": 403, "more": False}
        desk.heard(ListTasks, 8)
    waits = [m.after for m in desk.actor.heard if isinstance(m, ListTasks) and m.wait > 0]
    assert set(waits) == {max(task["seq"] for task in tasks)}


def test_a_page_is_told_of_so_many_tasks_and_that_there_are_more(desk, quick, monkeypatch):
    """P18: the oldest; the rest come as these are answered."""
    monkeypatch.setattr("covend.api.events.PAGE", 2)
    monkeypatch.setattr("covend.api.events.MAX_TASKS", 4)
    for number in range(3, 10):
        desk.tell(NewTask(**{**TASK, "id": f"t-{number}"}))
    with desk.client.stream("GET", "/api/inbox/events?did=did:ada") as response:
        lines = response.iter_lines()
        tasks, last = told(lines)
        assert [task["id"] for task in tasks] == ["t-1", "t-3", "t-4", "t-5"]
        assert last == {"tasks": 4, "more": True}
        desk.client.post("/api/inbox/t-1/decline", json={"did": "did:ada"})
        later = (json.loads(line[6:])["id"] for line in lines if line.startswith("data: "))
        assert {next(later), next(later)} == {"t-6", "t-1"}


def test_a_page_that_takes_long_to_look_at_rests_the_longer(monkeypatch):
    """P18: the core serves others as well; the clock is the loop's, which goes with each look."""

    class Loop(asyncio.SelectorEventLoop):
        now = 0.0

        def time(self):
            return self.now

    class SlowDesk:
        async def ask(self, message, seconds=0.0):
            asyncio.get_running_loop().now += 3.0
            return {"tasks": [], "next": None}

    rests, sleep = [], asyncio.sleep

    async def rest(seconds):
        if isinstance(asyncio.get_running_loop(), Loop):
            rests.append(seconds)
        else:  # a server of another test, in a thread of its own
            await sleep(seconds)

    async def looked_at():
        stream = events.of_inbox(SlowDesk(), "did:ada")
        await anext(stream)  # that all was told
        await anext(stream)
        await stream.aclose()

    monkeypatch.setattr("covend.api.events.asyncio.sleep", rest)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(looked_at())
    assert rests == [events.RESTING_SHARE * 3.0 * len(WAITING)]


def test_a_page_that_comes_again_is_told_what_still_waits(desk, quick):
    """P18: what was told before and is not told again by then has ended meanwhile."""
    desk.tell(NewTask(**{**TASK, "id": "t-3"}))
    with desk.client.stream("GET", "/api/inbox/events?did=did:ada") as response:
        assert [task["id"] for task in told(response.iter_lines())[0]] == ["t-1", "t-3"]
    desk.client.post("/api/inbox/t-1/submit", json={"did": "did:ada", "value": "yes"})
    with desk.client.stream("GET", "/api/inbox/events?did=did:ada") as response:
        tasks, last = told(response.iter_lines())
    assert [task["id"] for task in tasks] == ["t-3"] and last["tasks"] == 1


def test_both_who_share_a_task_are_on_everybody_s_page(desk, quick):
    """P18: a delegate is asked the same task; each share changes for itself."""
    desk.tell(NewTask(**{**TASK, "did": "did:dee"}))
    with desk.client.stream("GET", "/api/inbox/events") as response:
        lines = response.iter_lines()
        shares = [task["did"] for task in told(lines)[0] if task["id"] == "t-1"]
        assert sorted(shares) == ["did:ada", "did:dee"]
        desk.client.post("/api/inbox/t-1/decline", json={"did": "did:dee"})
        data = next(line for line in lines if line.startswith("data: "))
        assert [json.loads(data[6:])[name] for name in ("did", "state")] == ["did:dee", "declined"]


ADA = {"X-Covend-Key": "ada", "X-Covend-Did": "did:ada"}
"""What the gate adds for a key that names a did; a client's own is never passed on."""


def test_a_key_that_names_a_did_acts_as_nobody_else(desk):
    """P18: 403 for another's word or inbox, said in clear; nothing of it reaches the core."""
    words = {
        "accept": {"eta_secs": 5},
        "decline": {"reason": "other"},
        "submit": {"value": {"verdict": "ok"}},
    }
    for act, body in words.items():
        path = f"/api/inbox/t-2/{act}"
        refused = desk.client.post(path, json={"did": "did:bob", **body}, headers=ADA)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_your_did")
        assert "'ada' speaks for did:ada alone, not for 'did:bob'" in refused.json()["detail"]
    assert not any(isinstance(message, ActOnTask) for message in desk.actor.heard)
    for path in ("/api/inbox", "/api/inbox/events"):
        refused = desk.client.get(path, params={"did": "did:bob"}, headers=ADA)
        assert refused.status_code == 403
    assert desk.client.get("/api/inbox/t-2", headers=ADA).status_code == 404
    assert desk.client.get("/api/inbox/t-1", headers=ADA).json()["did"] == "did:ada"
    said = {"did": "did:ada", "value": "yes"}
    mine = desk.client.post("/api/inbox/t-1/submit", json=said, headers=ADA)
    assert mine.json()["state"] == "submitted"


def test_a_key_that_names_a_did_sees_its_own_inbox(desk):
    """P18: named or not."""
    for params in ({}, {"did": "did:ada"}):
        found = desk.client.get("/api/inbox", params=params, headers=ADA).json()["tasks"]
        assert [task["id"] for task in found] == ["t-1"]
    with desk.client.stream("GET", "/api/inbox/events", headers=ADA) as response:
        lines = response.iter_lines()
        assert "t-1" in next(line for line in lines if line.startswith("data:"))
    heard = [message.did for message in desk.actor.heard if isinstance(message, ListTasks)]
    assert set(heard) == {"did:ada"}


@pytest.mark.parametrize(("method", "path", "body"), [
    ("PUT", "/api/responders/bob", {"id": "bob", "kind": "actor", "did": "did:bob",
                                    "delegates": ["did:ada"]}),
    ("DELETE", "/api/responders/bob", None),
    ("POST", "/api/queries/q-1/settle", {"call": "primary/0#1", "how": "again"}),
])  # fmt: skip
def test_what_is_the_operators_takes_a_key_without_a_did(desk, method, path, body):
    """P18: or somebody would make themselves another's delegate."""
    refused = desk.client.request(method, path, json=body, headers=ADA)
    assert (refused.status_code, refused.json()["code"]) == (403, "operators_only")


def test_a_key_without_a_did_speaks_for_everybody(desk):
    """As ever: it is the operator's own."""
    key = {"X-Covend-Key": "root"}
    assert len(desk.client.get("/api/inbox", headers=key).json()["tasks"]) == 2
    said = {"did": "did:ada", "value": "yes"}
    assert desk.client.post("/api/inbox/t-1/submit", json=said, headers=key).status_code == 200
