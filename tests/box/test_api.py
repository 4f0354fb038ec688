"""The API on a whole box: through the gate to the core and back (decision 0004)."""

import json
import os
import stat

import httpx
import pytest
from tools.chaos.box import Stone

from covend import Client
from covend.client import Unavailable
from covend.patterns.responders.responder import Responder
from covend.testing import eventually

from .live import LIVELY, Live

pytestmark = pytest.mark.xdist_group("box")

ADA = "did:example:ada"
ASK_ADA = {
    "question": "Is it right?",
    "input": {"inline": {"claim": "1 + 1 = 2"}},
    "responders": [{"did": ADA}],
    "relevance": {"threshold": 0.0},
    "answer_shape": {"kind": "choice", "choices": ["yes", "no"]},
}


@pytest.fixture(scope="module")
def box():
    stones = [Stone("chat", coven="talk", slots=2, load=0.2, tokens_per_second=200)]
    with Live(stones, budget=280, tables=LIVELY) as box:
        eventually((box.run_dir / "api.sock").exists, 20, "the API listens")
        yield box


@pytest.fixture
def client(box):
    with Client(f"http://127.0.0.1:{box.port}") as client:
        client.put_responder(Responder(id="ada", kind="actor", did=ADA))
        yield client


def asked(client, query):
    """What Ada is asked by a query."""

    def once():
        tasks = client.inbox(ADA, state="open").tasks
        return next((task for task in tasks if task.thread == query), None)

    return eventually(once, 15, "a task for Ada")


def test_the_socket_is_for_the_box_s_user_alone(box):
    mode = os.stat(box.run_dir / "api.sock").st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_a_person_answers_a_query_through_the_box(box, client):
    """P18: asked by HTTP, found in the inbox, submitted, and the query is answered."""
    ticket = client.submit(ASK_ADA)
    events = client.events(ticket.id)
    assert next(events).kind == "intend"
    task = asked(client, ticket.id)
    assert (task.question, task.answer_shape.choices) == ("Is it right?", ("yes", "no"))
    assert client.answer(task.id, ADA, "yes", confidence=0.9).state == "submitted"
    assert [event.kind for event in events][-1] == "know"
    end = client.get(ticket.id).know
    assert (end.status, end.answer) == ("fulfilled", "yes")


def test_a_stream_and_a_task_outlive_the_core(box, client):
    """P4, P6: the core is killed while a person is asked; the client sees a pause and no more."""
    ticket = client.submit(ASK_ADA)
    events = client.events(ticket.id)
    assert next(events).kind == "intend"
    task = asked(client, ticket.id)
    box.until_reborn("core", box.kill("core"))
    assert client.task(task.id).state == "open"
    assert client.answer(task.id, ADA, "no").state == "submitted"
    kinds = [event.kind for event in events]
    assert kinds.count("know") == 1 and kinds[-1] == "know"


def test_a_killed_api_process_harms_nobody(box, client):
    """The gate answers 503 until the root has started another; models are served all the while."""
    ticket = client.submit(ASK_ADA)
    box.until_reborn("api", box.kill("api"))
    assert client.get(ticket.id).state == "open"
    assert client.cancel(ticket.id).know.status == "cancelled"
    assert box.request("GET", "/health", None, 10.0)[0] == 200


def test_an_api_that_stays_away_is_told_of(box):
    """503 with Retry-After: what the gate says while the socket is not there."""
    path, aside = box.run_dir / "api.sock", box.run_dir / "api.aside"
    path.rename(aside)
    try:
        with Client(f"http://127.0.0.1:{box.port}", patience=0.2) as client:
            with pytest.raises(Unavailable) as raised:
                client.queries()
        assert raised.value.status == 503 and raised.value.retry_after == 1
    finally:
        aside.rename(path)


def test_the_page_and_the_document_come_through_the_gate(box):
    with httpx.Client(base_url=f"http://127.0.0.1:{box.port}", trust_env=False) as http:
        assert "<h1>Inbox</h1>" in http.get("/inbox").text
        assert json.loads(http.get("/openapi/openapi.json").content)["openapi"] == "3.1.0"
        assert http.get("/inbox", headers={"Host": "evil.example"}).status_code == 200
        refused = http.get("/api/queries", headers={"Host": "evil.example"})
        assert refused.status_code == 403 and refused.json()["code"] == "foreign_host"
