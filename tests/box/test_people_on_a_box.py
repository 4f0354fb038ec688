"""A person is told by webhook of what a box asks, and answers it over HTTP (P18)."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from tests.actors.mailmen import webhook
from tools.chaos.box import Stone
from typer.testing import CliRunner

from covend import Client
from covend.cli.app import app
from covend.client import Conflict
from covend.patterns.responders.responder import Responder
from covend.testing import eventually

from .live import LIVELY, Live

pytestmark = pytest.mark.xdist_group("box")

INBOX = "http://box.example/inbox"
MINUTE = 60_000_000
PEOPLE = ("ann", "bob")


@pytest.fixture(scope="module")
def hooks():
    with webhook() as ann, webhook() as bob:
        yield {"ann": ann, "bob": bob}


@pytest.fixture(scope="module")
def box(hooks):
    stones = [Stone("chat", coven="talk", slots=2, load=0.2, tokens_per_second=200)]
    tables = LIVELY | {"queries": {"inbox_url": INBOX}}
    with Live(stones, budget=280, tables=tables) as box:
        eventually((box.run_dir / "api.sock").exists, 20, "the API listens")
        yield box


@pytest.fixture
def client(box, hooks):
    with Client(f"http://127.0.0.1:{box.port}") as client:
        for name in PEOPLE:
            channels = (hooks[name].address,)
            person = Responder(id=name, kind="actor", did=f"did:{name}", channels=channels)
            client.put_responder(person)
        for hook in hooks.values():
            hook.took.clear()
        yield client


YES_OR_NO = {
    "relevance": {"threshold": 0.0},
    "side_effects": {"max_latency_secs": 900},
    "answer_shape": {"kind": "choice", "choices": ["yes", "no"]},
}


def escalating(question, *people, **more):
    """The model first, whatever it says; then these people, one after the other."""
    model = [{"id": "model:chat"}]
    tiers = [{"name": "model", "responders": model, "expression": "true"}]
    tiers += [{"name": name, "responders": [{"id": name}], "timeout_secs": 120} for name in people]
    pattern = {"pattern": "escalate", "tiers": tiers}
    asked = {"question": question, "responders": model, "orchestration": pattern}
    return asked | YES_OR_NO | more


def asked(client, name, query):
    """What a person is asked by a query."""

    def once():
        tasks = client.inbox(f"did:{name}").tasks
        return next((task for task in tasks if task.thread == query), None)

    return eventually(once, 20, f"a task for {name}")


def until_told(hook):
    eventually(lambda: hook.took, 20, "the webhook is called")
    return hook.took[0]


def refused(word, *arguments, **more):
    with pytest.raises(Conflict) as raised:
        word(*arguments, **more)
    assert raised.value.status == 409
    return raised.value


def test_who_is_told_by_webhook_promises_an_answer_and_gives_it_over_http(client, hooks):
    """P18: the message has all that is needed to answer; who declined is out; an eta extends the
    wait, never past the query's own end."""
    ticket = client.submit(escalating("Shall we open the gate?", "bob", "ann"))
    until_told(hooks["bob"])
    theirs = asked(client, "bob", ticket.id)
    assert hooks["ann"].took == []
    assert client.decline(theirs.id, "did:bob", "overbooked").state == "declined"
    refused(client.answer, theirs.id, "did:bob", "no")

    title, text = until_told(hooks["ann"])
    task = asked(client, "ann", ticket.id)
    due = datetime.fromtimestamp(task.due / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
    assert title == "A question for you"
    assert text == f"Shall we open the gate? — until {due} {INBOX}#{task.id}"
    end = client.get(ticket.id).opened + 15 * MINUTE
    first = client.accept(task.id, "did:ann", 300)
    assert first.state == "accepted"
    assert task.due + MINUTE < first.due < end
    second = client.accept(task.id, "did:ann", 86_400)
    assert second.due == pytest.approx(end, abs=MINUTE)
    assert client.accept(task.id, "did:ann", 60).due == second.due
    assert client.get(ticket.id).state == "open"
    assert client.answer(task.id, "did:ann", "yes", rationale="I looked.").state == "submitted"
    know = eventually(lambda: client.get(ticket.id).know, 20, "the end")
    assert know.answer == "yes"
    assert len(hooks["ann"].took) == len(hooks["bob"].took) == 1


def test_whose_page_is_open_is_told_there_and_the_other_by_webhook(box, client, hooks):
    """P18: the live page first; each person for themselves."""
    page = f"http://127.0.0.1:{box.port}/api/inbox/events?did=did:ann"
    with httpx.stream("GET", page, trust_env=False, timeout=30) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith(":"))  # it is there, with nothing new
        both = [{"id": name} for name in PEOPLE]
        raining = {"question": "Is it raining?", "responders": both, "min_quorum": 2}
        ticket = client.submit(raining | YES_OR_NO)
        line = next(line for line in lines if ticket.id in line and line.startswith("data:"))
        assert json.loads(line.partition(":")[2])["question"] == "Is it raining?"
        assert "Is it raining?" in until_told(hooks["bob"])[1]
        assert hooks["ann"].took == []
        client.cancel(ticket.id)
        eventually(lambda: len(hooks["bob"].took) == 2, 20, "bob is told that it is over")
        assert hooks["bob"].titles[1] == "A question needs no answer any more"
        assert hooks["ann"].took == []


def test_a_person_answers_in_a_terminal(box, client, hooks):
    """P18: `covend inbox` shows what the desk tells, and says a person's words."""

    def inbox(*arguments, status=0):
        run = CliRunner().invoke(app, ["inbox", *arguments, "--run-dir", str(box.run_dir)])
        assert run.exit_code == status, run.output
        return run.output

    question = escalating("Is the door shut?", "ann", input={"inline": {"door": "green"}})
    ticket = client.submit(question)
    task = asked(client, "ann", ticket.id)
    me = ("--did", "did:ann")
    (listed,) = json.loads(inbox(*me, "--json"))
    assert (listed["id"], listed["state"]) == (task.id, "open")
    assert "Is the door shut?" in inbox(*me)
    shown = inbox("show", task.id)
    for text in ("Is the door shut?", "open", "green", "choice", "yes"):
        assert text in shown
    assert inbox("accept", task.id, "--eta", "1s", *me).startswith(f"{task.id}: accepted, due ")
    assert "is not one of yes, no" in inbox("submit", task.id, "perhaps", *me, status=2)
    assert inbox("submit", task.id, "yes", *me) == f"{task.id}: submitted\n"
    assert "submitted" in inbox("decline", task.id, *me, status=1)
    assert inbox(*me) == f"nothing waits for {me[-1]}\n"
    assert "submitted" in inbox(*me, "--all")
    know = eventually(lambda: client.get(ticket.id).know, 20, "the end")
    assert know.answer == "yes"
