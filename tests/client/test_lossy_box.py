"""Both clients and a box whose answers get lost: what is waited for, and for how long."""

import asyncio
import math
import threading

import httpx
import pytest
from tests.client.lossy_box import COMMENT, LossyBox, lost, says, streams

from covend import AsyncClient, Client
from covend.client import NotFound, StillRunning, Unavailable
from covend.client.patience import Patience
from covend.client.requests import LEAST, TIMEOUT, silence

OPEN = {"id": "q-1", "state": "open"}
ENDED = {"id": "q-1", "state": "ended", "know": {"id": "q-1", "status": "fulfilled"}}
QUERY = {"question": "q", "responders": [{"kind": "llm"}]}


class Clock:
    """Stands in for the module ``time`` of a client: goes only where it is put."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def blocking(box, work, patience):
    """What ``work`` makes of a blocking client, each call by its name."""
    with Client(box.url, patience=patience) as client:
        return work(lambda name, *given, **named: consumed(getattr(client, name)(*given, **named)))


def consumed(found):
    return list(found) if hasattr(found, "__next__") else found


def inside_a_loop(box, work, patience):
    """The same of an asyncio client."""

    async def called(name, *given, **named):
        async with AsyncClient(box.url, patience=patience) as client:
            found = getattr(client, name)(*given, **named)
            return [one async for one in found] if hasattr(found, "__anext__") else await found

    return work(lambda *given, **named: asyncio.run(called(*given, **named)))


@pytest.fixture(params=[blocking, inside_a_loop])
def through(request):
    """Gives a box to one of the two clients."""
    return lambda box, work, patience=10.0: request.param(box, work, patience)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("covend.client.blocking.time", made)
    monkeypatch.setattr("covend.client.aio.time", made)
    return made


def test_a_stream_that_only_had_comments_for_longer_than_patience_is_taken_up_again(through, clock):
    """Patience begins at the cut: a query that waits for a person says nothing for hours."""

    seen = threading.Event()

    def waits_for_a_person(exchange):
        exchange.event(1, "intend")
        assert seen.wait(10)
        clock.now += 3600.0
        exchange.wfile.write(COMMENT)

    def ends(exchange):
        assert exchange.headers["Last-Event-ID"] == "1"
        exchange.event(2, "know")

    with LossyBox(says(OPEN), streams(waits_for_a_person), streams(ends), says(ENDED)) as box:
        asked = {"on_progress": lambda _: seen.set()}
        answer = through(box, lambda call: call("query", QUERY, **asked), patience=1.0)
    assert answer.status == "fulfilled" and box.script == []


def test_a_query_waits_for_its_end_no_longer_than_wait_whatever_the_comments(through):
    """Each comment is a sign of life, and none is a reason to stay."""

    def answers_too_late(exchange):
        exchange.event(1, "intend")
        if exchange.left(0.9):
            return
        exchange.wfile.write(COMMENT)
        if not exchange.left(0.9):
            exchange.event(2, "know")

    seen = []
    with LossyBox(says(OPEN, 202), streams(answers_too_late), says(OPEN), says(ENDED)) as box:
        with pytest.raises(StillRunning) as raised:
            through(box, lambda call: call("query", QUERY, wait=1.0, on_progress=seen.append))
        assert raised.value.id == "q-1"
    assert [event.kind for event in seen] == ["intend"]


def test_a_box_that_is_gone_when_the_wait_is_over_costs_the_caller_no_id(through):
    """The query is durable: the error says where it is found."""
    with LossyBox(says(OPEN, 202), lost) as box:
        with pytest.raises(StillRunning) as raised:
            through(box, lambda call: call("query", QUERY, wait=0.0))
        assert raised.value.id == "q-1" and isinstance(raised.value.__cause__, Unavailable)


def test_a_box_that_is_away_from_the_beginning_is_waited_for_no_longer_than_wait(through):
    """Also before it took the query: the box that is back after five attempts comes too late."""
    back = [says(OPEN, 202), streams(lambda exchange: exchange.event(1, "know")), says(ENDED)]
    with LossyBox(*[lost] * 5, *back) as box, pytest.raises(Unavailable):
        through(box, lambda call: call("query", QUERY, wait=1.0))


def test_silence_lasts_no_longer_than_the_deadline_leaves():
    """But a box has a second at least, and a minute at most."""
    assert silence(110.0, 102.0) == httpx.Timeout(8.0, connect=5.0)
    assert silence(110.0, 107.0) == httpx.Timeout(3.0, connect=3.0)
    assert silence(110.0, 120.0) == httpx.Timeout(LEAST, connect=LEAST)
    assert silence(math.inf, 102.0) == TIMEOUT


@pytest.mark.parametrize(
    "word",
    [
        ("accept", "t-1", "did:ada", 60.0),
        ("decline", "t-1", "did:ada", "overbooked"),
        ("answer", "t-1", "did:ada", "yes"),
        ("remove_responder", "ada"),
        ("cancel", "q-1"),
    ],
)
def test_what_may_be_said_twice_is_said_again_when_its_answer_is_lost(through, word):
    """P18: the same word again changes nothing."""
    with LossyBox(lost, says({"id": "t-1", "state": "open"})) as box:
        through(box, lambda call: call(*word))
    assert len(box.heard) == 2 and box.heard[0] == box.heard[1]


def test_an_acceptance_is_said_again_under_the_same_key(through):
    """P18: so that its eta counts once; another acceptance has a key of its own."""
    keys: list[str] = []

    def noting(answer):
        def noted(exchange):
            keys.append(exchange.headers["Idempotency-Key"])
            answer(exchange)

        return noted

    told = says({"id": "t-1", "state": "accepted"})
    for answers in ((lost, told), (told,)):
        with LossyBox(*map(noting, answers)) as box:
            through(box, lambda call: call("accept", "t-1", "did:ada", 60.0))
    assert keys[0] == keys[1] != keys[2]


def test_what_may_not_be_said_twice_is_said_once(through):
    """P4: an unclear call is clear once it is settled, and a second word is refused."""
    with LossyBox(lost) as box, pytest.raises(Unavailable):
        through(box, lambda call: call("settle", "q-1", "primary/0#1", "again"))
    assert box.heard == ["POST /api/queries/q-1/settle"]


def test_a_refusal_is_an_answer_and_not_waited_out(through):
    with LossyBox(says(status=404)) as box, pytest.raises(NotFound):
        through(box, lambda call: call("remove_responder", "ada"))


def test_patience_begins_when_the_box_is_found_away_and_ends_with_the_deadline():
    """And what the box asks for goes before the client's own pauses."""
    away, busy = Unavailable("away"), Unavailable("busy", retry_after=5)
    patience = Patience(10.0, deadline=200.0)
    assert [patience.pause(away, now) for now in (100.0, 100.1)] == [0.1, 0.2]
    assert patience.pause(busy, 104.0) == 5.0
    with pytest.raises(Unavailable, match="away"):
        patience.pause(away, 109.5)
    patience.heard()
    assert patience.pause(away, 150.0) == 0.1
    patience.heard()
    assert patience.pause(busy, 199.0) == 1.0
    with pytest.raises(Unavailable, match="busy"):
        patience.pause(busy, 200.0)
