"""Sick soulstones, and targets that never start: what the client, the core and the operator see."""

import os
import signal

import pytest
from tools.chaos.box import Stone

from covend.testing import eventually

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")

TABLES = {
    "whim": LIVELY["whim"],
    "watchdog": {
        "health_seconds": 0.3,
        "health_failures": 3,
        "stall_seconds": 1.5,
        "quota_seconds": 1.0,
    },
    "transition": {"awaken": 3.0, "attempts": 3},
}


@pytest.fixture(scope="module")
def box():
    stones = [
        Stone("chat", coven="talk", slots=4, load=0.2, tokens_per_second=200),
        Stone("mute", coven="silence", faults=("never-ready",)),
    ]
    with Live(stones, budget=200, tables=TABLES) as box:
        yield box


@pytest.fixture
def chat(box, clients):
    """The pid of a healthy ``chat``."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    return box.pid("soulstone:chat")


def healthy_again(box, clients, old):
    assert box.until_reborn("soulstone:chat", old)
    assert kinds([clients.ask(box, "chat"), clients.ask(box, "chat", stream=False)]) == ["full"] * 2
    assert len([s for s in box.processes.look() if s.process.node == "soulstone:chat"]) == 1


def test_a_soulstone_that_dies_in_mid_stream_is_revived_and_its_clients_are_told(
    box, clients, chat
):
    """G4, W26: an error event after the tokens that came; who had seen nothing is served anew."""
    box.fault("chat", "die-mid-stream:30")
    first = clients.ask(box, "chat", tokens=60)
    whole = clients.ask(box, "chat", tokens=60, stream=False)
    told, served = kinds([first, whole])
    assert told.startswith("error: 200, then: ")
    assert "soulstone_died" in told
    assert served == "full"
    healthy_again(box, clients, chat)
    box.until_alert("chat ended unasked")


def test_a_soulstone_that_hangs_is_reset(box, clients, chat):
    """W26: an answer that flows, and no byte for ``stall_seconds``."""
    box.fault("chat", "hang:3")
    assert kinds([clients.ask(box, "chat", tokens=20)])[0].startswith("error: 200, then: ")
    healthy_again(box, clients, chat)
    box.until_alert("chat: stall: hard reset")


def test_a_long_answer_that_is_not_streamed_is_no_stall(box, clients, chat):
    """W26: nothing of it comes before all of it does."""
    long = clients.ask(box, "chat", tokens=800, stream=False)  # 4 s at 200 tokens a second
    assert kinds([long]) == ["full"]
    assert box.pid("soulstone:chat") == chat


def test_a_soulstone_that_takes_more_memory_than_it_may_is_reset(box, clients, chat):
    """W26: over its quota for ``quota_seconds``."""
    box.fault("chat", "leak:60")
    healthy_again(box, clients, chat)
    box.until_alert("chat: quota: hard reset")


def test_a_soulstone_that_fails_its_health_checks_is_reset(box, clients, chat):
    """W26: ``health_failures`` in a row."""
    box.fault("chat", "unhealthy")
    healthy_again(box, clients, chat)
    box.until_alert("chat: health: hard reset")


def test_a_soulstone_that_the_next_core_finds_alive_and_mute_is_reset(box, clients, chat):
    """W25, W26: it was adopted, so no transition waits for it; who asks is served all the same."""
    core = box.pid("core")
    os.kill(core, signal.SIGSTOP)  # so that it is the next one that finds out
    box.fault("chat", "unhealthy")
    os.kill(core, signal.SIGKILL)
    box.until_reborn("core", core)
    asked = clients.ask(box, "chat")
    assert box.until_reborn("soulstone:chat", chat)
    assert kinds([asked]) == ["full"]
    box.until_alert("chat: health: hard reset")
    healthy_again(box, clients, chat)


def test_a_target_that_never_gets_ready_is_undone_thrice_and_then_held(box, clients, chat):
    """W24: the previous coven comes back each time; the third time who waits is refused, with why.

    Who comes while it is quarantined is refused at once.
    """
    wanted = clients.ask(box, "mute", stream=False)
    eventually(lambda: box.pid("soulstone:mute"), 30, "a first attempt")
    meanwhile = clients.ask(box, "chat")
    (refused,) = kinds([wanted])
    assert refused.startswith("error: 503: ")
    assert "coven silence failed to start 3 times" in refused
    assert kinds([meanwhile]) == ["full"]
    box.until_open("talk")
    assert box.coven("silence")["state"] == "quarantined"
    assert box.pid("soulstone:mute") is None
    assert len(box.written("mute", "started")) == 3
    box.until_alert("coven silence failed to start 3 times")
    assert sum("to silence failed" in alert for alert in box.alerts()) == 3
    status, _body = box.request("POST", "/v1/chat/completions", {"model": "mute"}, 10.0)
    assert status == 503
    assert kinds([clients.ask(box, "chat")]) == ["full"]
