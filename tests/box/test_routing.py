"""Who is served when, and by whom, on a whole box."""

import json
import threading

import pytest
from tools.chaos.box import MIB, Stone

from covend.testing import FakeSoulstone, eventually

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")

ROOM = 6
EXTRA = f"lexical_reserve = {80 * MIB}"


@pytest.fixture(scope="module")
def elsewhere():
    """A soulstone of somebody else's on this machine."""
    with FakeSoulstone("elsewhere", slots=2, tokens_per_second=500) as stone:
        yield stone


@pytest.fixture(scope="module")
def box(elsewhere):
    stones = [
        Stone("chat", coven="talk", slots=2, load=0.2, tokens_per_second=200),
        Stone("code", coven="work", slots=1, load=1.0, tokens_per_second=100),
        Stone("words", coven="", slots=2, memory=20, load=0.1, tokens_per_second=500),
        Stone("elsewhere", coven="", slots=2, shared=True, port=elsewhere.port),
    ]
    tables = {**LIVELY, "gate": {"waiting_room": ROOM}}
    with Live(stones, budget=280, tables=tables, extra=EXTRA) as box:
        yield box


def embed(box):
    body = {"model": "words", "input": "hello"}
    return box.request("POST", "/v1/embeddings", body, 10.0)[0]


def test_the_lexicon_answers_throughout_a_transition(box, clients):
    """W5: in every phase of a swap, and it is the same process before and after."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    eventually(lambda: embed(box) == 200, 30, "the lexicon is there")
    words = box.pid("soulstone:words")
    streams = [clients.ask(box, "chat", tokens=200)]
    box.until_busy("chat", 1)
    box.fault("chat", "slow-stop:0.3")
    wanted = clients.ask(box, "code")
    answers, phases = [], set()
    while not wanted.done():
        answers.append(embed(box))
        phases.add((box.status()["transition"] or {}).get("phase"))
    assert kinds([*streams, wanted]) == ["full", "full"]
    assert set(answers) == {200}
    assert {"draining", "awakening"} <= phases, "the swap was over too soon to prove anything"
    assert box.pid("soulstone:words") == words


def test_a_shared_soulstone_is_routed_to_and_left_alone(box, clients, elsewhere):
    """W4: it serves through swaps, in no coven, and is there when the box is not."""
    assert kinds([clients.ask(box, "elsewhere"), clients.ask(box, "chat")]) == ["full", "full"]
    assert kinds([clients.ask(box, "code"), clients.ask(box, "elsewhere")]) == ["full", "full"]
    assert elsewhere.process.poll() is None
    assert elsewhere.stats()["pid"] == elsewhere.pid
    assert elsewhere.stats()["requests"] >= 2


def test_a_reflex_goes_before_rituals_that_came_first(box, clients):
    """W15: class first, then arrival."""
    assert kinds([clients.ask(box, "code", tokens=1)]) == ["full"]
    busy = clients.ask(box, "code", tokens=200, klass="ritual")
    box.until_busy("code", 1)
    rituals = [clients.ask(box, "code", tokens=10, klass="ritual") for _ in range(3)]
    eventually(lambda: sum(line["count"] for line in box.status()["queue"]) == 3, 30, "three wait")
    reflex = clients.ask(box, "code", tokens=10, klass="reflex")
    assert kinds([busy, *rituals, reflex]) == ["full"] * 5
    assert reflex.result().ended < min(ritual.result().ended for ritual in rituals)


def test_a_reflex_takes_the_slot_of_a_job_and_the_coven_stays(box, clients):
    """W14: the job is parked at its next step, and goes on afterwards."""
    assert kinds([clients.ask(box, "code", tokens=1)]) == ["full"]
    pid = box.pid("soulstone:code")
    job = box.submit("code", steps=10, tokens=80)
    box.until_job(job, lambda job: job["done"] >= 1, "a step is done")
    reflexes = [clients.ask(box, "code", tokens=20) for _ in range(3)]
    assert kinds(reflexes) == ["full"] * 3
    story = box.job(job)
    assert story["parked"] >= 1
    assert story["done"] < 10, "the reflexes waited for the whole job"
    story = box.until_job(job, lambda job: job["status"] == "done", "the job is done")
    assert [r["usage"]["completion_tokens"] for r in story["results"]] == list(range(80, 90))
    assert box.pid("soulstone:code") == pid


def test_a_full_waiting_room_says_when_to_come_again(box, clients):
    """G3: 429 with a Retry-After, at once, and nobody who waits is harmed by it."""
    assert kinds([clients.ask(box, "chat", tokens=1)]) == ["full"]
    busy = [clients.ask(box, "chat", tokens=2000) for _ in range(2)]
    box.until_busy("chat", 2)
    waiting = [clients.ask(box, "chat") for _ in range(ROOM)]
    eventually(lambda: sum(line["count"] for line in box.status()["queue"]) == ROOM, 30, "full")
    status, headers, body = box.post({"model": "code", "messages": []})
    assert status == 429
    assert int(headers["Retry-After"]) >= 1
    assert "waiting room" in json.loads(body)["error"]["message"]
    assert kinds([*busy, *waiting]) == ["full"] * (2 + ROOM)


def test_a_busy_coven_starves_nobody_and_the_box_does_not_thrash(box, clients):
    """W13: B asks once while A is asked without end: served, and A gets the box back."""
    assert kinds([clients.ask(box, "chat", tokens=1)]) == ["full"]
    before = len(box.events("transition"))
    served = threading.Event()

    def busy():
        found = []
        while not served.is_set():
            found.append(clients.ask(box, "chat", tokens=20).result(60))
        return found

    loops = [clients.pool.submit(busy) for _ in range(3)]
    box.until_busy("chat", 2)
    try:
        assert kinds([clients.ask(box, "code")]) == ["full"]
    finally:
        served.set()
    outcomes = [outcome for loop in loops for outcome in loop.result(60)]
    assert {outcome.kind for outcome in outcomes} == {"full"}
    assert len(box.events("transition")) - before <= 2, "there and back is enough"
