"""The box file is changed under a running box (G10)."""

import pytest
from tools.chaos.box import Stone

from covend.testing import eventually

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
    eventually(box.answers, 15, "a new gate goes by the last good file")
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    assert box.pid("soulstone:chat") == chat
    box.until_alert("the changed configuration is refused")

    stream = clients.ask(box, "chat", tokens=500)
    box.until_busy("chat", 1)
    box.stones["new"] = NEW
    box.config.write_text(box.toml({**LIVELY, "gate": {"waiting_room": 1}}, ""))
    eventually(lambda: len(box.status()["covens"]) == 2, 10, "the new coven is known")
    assert box.pid("soulstone:chat") == chat

    # One may wait now, where a thousand might before.
    eventually(lambda: b'"new"' in box.get("/v1/models")[1], 10, "the gate has read it too")
    waits = clients.ask(box, "chat")
    eventually(lambda: box.status()["queue"], 10, "one waits")
    (refused,) = kinds([clients.ask(box, "chat", stream=False)])
    assert refused.startswith("error: 429: ")
    assert kinds([stream, waits]) == ["full", "full"]
    assert box.pid("soulstone:chat") == chat

    assert kinds([clients.ask(box, "new")]) == ["full"]
    box.until_open("novelty")
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    box.until_open("talk")


def test_what_is_taken_out_of_the_file_goes_and_the_rest_stays(box, clients):
    """G10: a coven that is gone from the file is stopped; its clients are told so."""
    box.stones["new"] = NEW
    box.config.write_text(box.toml(LIVELY, ""))
    eventually(lambda: b'"new"' in box.get("/v1/models")[1], 10, "the gate knows it")
    assert kinds([clients.ask(box, "new")]) == ["full"]
    del box.stones["new"]
    box.config.write_text(box.toml(LIVELY, ""))
    eventually(lambda: b'"new"' not in box.get("/v1/models")[1], 10, "the gate forgot it")
    eventually(lambda: box.pid("soulstone:new") is None, 10, "its soulstone is stopped")
    assert box.request("POST", "/v1/chat/completions", {"model": "new"}, 5.0)[0] == 404
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    box.until_open("talk")
