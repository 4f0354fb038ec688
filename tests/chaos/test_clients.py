"""The chaos clients call a whole answer full, a stated error an error, and nothing else fine."""

import asyncio
import json

import pytest
from tools.chaos.clients import Load, Plan, ask, judge

from covend.testing import FakeSoulstone
from covend.testing.answers import closing, event, opening, parse_ask, piece

SSE = {"content-type": "text/event-stream"}
PLAN = Plan(1, "chat", True, 4)
ASK = parse_ask({"messages": [{}], "max_tokens": 4}, chat=True)
PARTS = [opening(ASK, "a", "chat"), *(piece(ASK, "a", "chat", n) for n in range(4))]
END = closing(ASK, "a", "chat")
ERROR = event({"error": {"message": "the soulstone died"}})


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"".join(PARTS) + END, "full"),
        (b": waiting\n\n" + b"".join(PARTS) + END, "full"),
        (b"".join(PARTS[:3]) + ERROR, "error"),
        (ERROR, "error"),
        (b"".join(PARTS[:3]), "violation"),
        (b"".join(PARTS), "violation"),
        (b"".join(PARTS[:3]) + END, "violation"),
        (b"".join(PARTS) + PARTS[-1] + END, "violation"),
        (b"".join([*PARTS[:2], PARTS[3], PARTS[2], PARTS[4]]) + END, "violation"),
        (b"".join([PARTS[1], PARTS[1]]) + ERROR, "violation"),
        (b"".join(PARTS[:4]) + piece(ASK, "b", "chat", 3) + END, "violation"),
        ((b"".join(PARTS) + END)[:-1], "violation"),
        (b"data: {half\n\n", "violation"),
        (b"", "violation"),
    ],
)
def test_a_stream_is_full_an_error_or_a_violation(stream, kind):
    assert judge(PLAN, 200, SSE, stream)[0] == kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, {"error": {"message": "quarantined"}}, "error"),
        (429, {"error": {"message": "the waiting room is full"}}, "error"),
        (400, {"error": {"message": "bad"}}, "violation"),
        (503, {}, "violation"),
        (200, {}, "violation"),
    ],
)
def test_an_answer_that_is_no_stream_is_judged_by_status_and_body(status, body, kind):
    assert judge(PLAN, status, {}, json.dumps(body).encode())[0] == kind


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("faults", "kind"),
    [((), "full"), (("cut:2",), "broken"), (("die-mid-stream:1",), "broken")],
)
def test_what_a_server_does_is_seen(faults, kind, stream):
    with FakeSoulstone("chat", faults=faults) as stone:
        outcome = asyncio.run(ask(stone.port, Plan(1, "chat", stream, 5)))
    assert outcome.kind == kind, outcome


def test_silence_past_the_deadline_is_a_violation():
    with FakeSoulstone("chat", faults=["hang:1"]) as stone:
        outcome = asyncio.run(ask(stone.port, PLAN, deadline=0.2))
    assert outcome.kind == "violation"
    assert "no end within 0.2 s" in outcome.detail


def test_a_mixed_load_on_a_healthy_server_ends_full_throughout():
    with FakeSoulstone("chat", slots=8) as stone:
        load = Load(["chat"], clients=4, tokens=(1, 8), pause=0.005)
        outcomes = asyncio.run(load.run(stone.port, 0.3, seed=7))
    assert {outcome.kind for outcome in outcomes} == {"full"}
    assert {outcome.stream for outcome in outcomes} == {True, False}


WORDS = Plan(1, "chat", True, 4, numbered=False)


@pytest.mark.parametrize(
    ("finish", "tokens", "done", "kind"),
    [
        ("length", 4, True, "full"),
        ("stop", 2, True, "full"),
        ("length", 3, True, "violation"),
        ("stop", 0, True, "violation"),
        ("stop", 5, True, "violation"),
        (None, 4, True, "violation"),
        ("length", 4, False, "violation"),
    ],
)
def test_a_real_models_stream_must_say_why_it_ends_and_where(finish, tokens, done, kind):
    chunks = [
        {"id": "a", "choices": [{"delta": {"content": "so"}, "finish_reason": None}]},
        {"id": "a", "choices": [{"delta": {}, "finish_reason": finish}]},
        {"id": "a", "choices": [], "usage": {"completion_tokens": tokens}},
    ]
    stream = b"".join(map(event, chunks)) + (b"data: [DONE]\n\n" if done else b"")
    assert judge(WORDS, 200, SSE, stream)[0] == kind


@pytest.mark.parametrize(
    ("finish", "tokens", "kind"), [("length", 4, "full"), ("length", 2, "violation")]
)
def test_so_must_its_whole_answer(finish, tokens, kind):
    choice = {"message": {"content": "so it goes"}, "finish_reason": finish}
    answer = {"choices": [choice], "usage": {"completion_tokens": tokens}}
    assert judge(WORDS, 200, {}, json.dumps(answer).encode())[0] == kind
