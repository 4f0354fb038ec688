"""Two gates on one port share the soulstones' slots and never fill one twice."""

import hashlib

import pytest
from tools.chaos.box import Stone

from covend.testing import eventually

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")


SECRET = "cvd-guest"


@pytest.fixture(scope="module")
def box():
    stones = [
        Stone("chat", coven="talk", slots=4, load=0.2, tokens_per_second=400),
        Stone("code", coven="work", slots=1, load=0.2, tokens_per_second=400),
    ]
    sha256 = hashlib.sha256(SECRET.encode()).hexdigest()
    tables = {**LIVELY, "[key]": {"name": "guest", "sha256": sha256, "max_concurrent": 2}}
    with Live(stones, budget=200, tables=tables, extra="gates = 2") as box, box.observe() as watch:
        yield box
        box.stop()
        watch.check_gone()
        assert watch.breaches == []


def test_two_gates_under_load_admit_no_more_than_there_are_slots(box, clients):
    """W8, G6: slots move to where requests wait, and are never given out twice."""
    eventually(lambda: box.status()["gates"] == ["gate-0", "gate-1"], 30, "both gates are known")
    plans = [("chat", 10), ("chat", 40), ("code", 20), ("chat", 5)] * 15
    asked = [clients.ask(box, model, tokens=tokens) for model, tokens in plans]
    assert kinds(asked) == ["full"] * len(plans)
    assert not box.written("chat", "over_admitted") + box.written("code", "over_admitted")
    assert kinds([clients.ask(box, "chat", tokens=100) for _ in range(12)]) == ["full"] * 12
    assert box.stone("chat")["max_concurrent"] == 4


def test_a_drain_waits_for_the_streams_of_both_gates(box, clients):
    """W20: no stream is cut at either gate, and the swap comes when both are done."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    streams = [clients.ask(box, "chat", tokens=400) for _ in range(4)]
    box.until_busy("chat", 4)
    wanted = clients.ask(box, "code")
    box.until_phase("draining")
    late = clients.ask(box, "chat")
    assert kinds([*streams, wanted, late]) == ["full"] * 6
    assert wanted.result().ended > max(stream.result().ended for stream in streams)


def test_one_killed_gate_of_two_leaves_the_other_serving(box, clients):
    """docs/architecture.md: its slots come back, and nothing is admitted twice meanwhile."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    streams = [clients.ask(box, "chat", tokens=200) for _ in range(4)]
    box.until_busy("chat", 4)
    gate = box.kill("gate-1")
    ends = kinds(streams)
    assert all(end == "full" or end.startswith("broken") for end in ends), ends
    box.until_reborn("gate-1", gate)
    eventually(lambda: box.status()["gates"] == ["gate-0", "gate-1"], 30, "both are back")

    def all_slots():
        asked = [clients.ask(box, "chat", tokens=40) for _ in range(8)]
        return kinds(asked) == ["full"] * 8

    eventually(all_slots, 30, "every slot is used again")


def test_a_keys_limit_counts_what_it_has_in_hand_at_either_gate(box, clients):
    """G7: whichever gate a connection falls to."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]

    def ask(tokens):
        message = {"role": "user", "content": "hello"}
        body = {"model": "chat", "messages": [message], "max_tokens": tokens}
        status, headers, _ = box.post(body, {"Authorization": f"Bearer {SECRET}"})
        return status, headers["X-Covend-Request"].partition("-")[0]

    held = [clients.pool.submit(ask, 1600) for _ in range(2)]
    box.until_busy("chat", 2)
    refused = set()

    def refused_by_both():
        status, gate = ask(1)
        assert status == 429
        refused.add(gate)
        return len(refused) == 2

    eventually(refused_by_both, 30, "both gates have refused")
    assert [each.result(60)[0] for each in held] == [200, 200]
    assert ask(1)[0] == 200
