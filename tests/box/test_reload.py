"""The box file is changed under a running box (G10)."""

from dataclasses import replace

import pytest
from tools.chaos.box import Stone

from covend.boot.chaos import RaiseIn
from covend.testing import eventually, free_port

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")

CHAT = Stone("chat", coven="talk", slots=1, load=0.2, tokens_per_second=200)
NEW = Stone("new", coven="novelty", slots=2, load=0.2, tokens_per_second=200)


@pytest.fixture
def box():
    with Live([CHAT], budget=200, tables=LIVELY) as box:
        yield box


def test_a_changed_file_touches_only_what_changed_and_a_broken_one_nothing(box, clients):
    """G10: new things work, limits change, what runs keeps running; all errors are told."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    chat = box.pid("soulstone:chat")

    good = box.config.read_text()
    box.config.write_text(good.replace('name = "talk"', "name = 7").replace("kappa", "kapa"))
    box.until_alert("the changed configuration is refused")
    (alert,) = box.status()["alerts"]
    assert "kapa" in str(alert["data"])
    assert "name" in str(alert["data"])
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    assert [coven["name"] for coven in box.status()["covens"]] == ["talk"]
    core, gate = box.kill("core"), box.kill("gate-0")
    box.until_reborn("core", core)
    box.until_reborn("gate-0", gate)
    eventually(box.answers, 30, "a new gate goes by the last good file")
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    assert box.pid("soulstone:chat") == chat
    box.until_alert("the changed configuration is refused")

    stream = clients.ask(box, "chat", tokens=1200)
    box.until_busy("chat", 1)
    box.stones["new"] = NEW
    box.config.write_text(box.toml({**LIVELY, "gate": {"waiting_room": 1}}, ""))
    eventually(lambda: len(box.status()["covens"]) == 2, 30, "the new coven is known")
    assert box.pid("soulstone:chat") == chat

    # One may wait now, where a thousand might before.
    eventually(lambda: b'"new"' in box.get("/v1/models")[1], 30, "the gate has read it too")
    waits = clients.ask(box, "chat")
    eventually(lambda: box.status()["queue"], 30, "one waits")
    (refused,) = kinds([clients.ask(box, "chat", stream=False)])
    assert refused.startswith("error: 429: ")
    assert kinds([stream, waits]) == ["full", "full"]
    assert box.pid("soulstone:chat") == chat

    assert kinds([clients.ask(box, "new")]) == ["full"]
    box.until_open("novelty")
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    box.until_open("talk")


def test_what_is_taken_out_of_the_file_drains_and_goes_and_the_rest_stays(box, clients):
    """G10: a stream ends in full before its coven is stopped; later clients are told so."""
    box.stones["new"] = NEW
    box.config.write_text(box.toml(LIVELY, ""))
    eventually(lambda: b'"new"' in box.get("/v1/models")[1], 30, "the gate knows it")
    stream = clients.ask(box, "new", tokens=400)
    box.until_busy("new", 1)
    del box.stones["new"]
    box.config.write_text(box.toml(LIVELY, ""))
    assert kinds([stream]) == ["full"]
    eventually(lambda: b'"new"' not in box.get("/v1/models")[1], 30, "the gate forgot it")
    eventually(lambda: box.pid("soulstone:new") is None, 30, "its soulstone is stopped")
    assert [line["in_flight"] for line in box.written("new", "stopping")] == [0]
    assert box.request("POST", "/v1/chat/completions", {"model": "new"}, 5.0)[0] == 404
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    box.until_open("talk")


def test_an_actor_that_is_started_again_goes_by_the_file_as_it_is_now(box, clients):
    """G10, S4: what the file has since the core started is nobody's stray."""
    box.stones["new"] = NEW
    box.config.write_text(box.toml(LIVELY, ""))
    eventually(lambda: b'"new"' in box.get("/v1/models")[1], 30, "the gate knows it")
    assert kinds([clients.ask(box, "new")]) == ["full"]
    pid, core = box.pid("soulstone:new"), box.pid("core")
    up = box.status()["uptime"]
    box.ask(RaiseIn(actor="arbiter"), address="chaos@core")
    eventually(lambda: box.status()["uptime"] < up, 30, "the arbiter and who trusts it are new")
    box.until_open("novelty")
    assert kinds([clients.ask(box, "new")]) == ["full"]
    assert (box.pid("soulstone:new"), box.pid("core")) == (pid, core)


def test_another_command_and_endpoint_are_in_force_once_the_old_ones_have_drained(box, clients):
    """G10: a stream in flight ends in full; who comes meanwhile waits; then the new one serves."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    old = box.pid("soulstone:chat")
    stream = clients.ask(box, "chat", tokens=800)
    box.until_busy("chat", 1)
    moved = replace(CHAT, port=free_port(), tokens_per_second=1000)
    box.stones["chat"] = moved
    box.config.write_text(box.toml(LIVELY, ""))
    box.until_phase("draining")
    waits = clients.ask(box, "chat")
    assert kinds([stream, waits]) == ["full", "full"]
    assert box.until_reborn("soulstone:chat", old)
    assert box.stone("chat")["finished"] >= 1, "the new endpoint has served"
    assert box.written("chat", "stopping")[-1]["in_flight"] == 0
    assert not [alert for alert in box.alerts() if "chat" in alert]
    box.until_open("talk")


def test_another_command_of_an_idle_soulstone_is_in_force_at_once(box, clients):
    """G10: nobody need ask for it first."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    old = box.pid("soulstone:chat")
    box.stones["chat"] = replace(box.stones["chat"], tokens_per_second=500)
    box.config.write_text(box.toml(LIVELY, ""))
    assert box.until_reborn("soulstone:chat", old)
    box.until_open("talk")
    assert kinds([clients.ask(box, "chat")]) == ["full"]
