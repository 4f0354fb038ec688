"""Who can be asked: registered over the API, and configured in the file (P8)."""

import msgspec
import pytest
from tests.actors.running import World, query

from covend.actors.messages import NewConfig
from covend.questions import ListResponders, PutResponder, RemoveResponder

ANN = {"id": "ann", "kind": "actor", "did": "did:ann"}


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def shown(core, name):
    return next((r for r in core.ask(ListResponders())["responders"] if r["id"] == name), None)


@pytest.mark.parametrize("name", ["one", "model:a"])
def test_a_responder_of_the_file_is_not_retired_but_in_the_file(world, name):
    """P8, X6: the refusal names the file; it is asked as before, and after a restart."""
    world.scripted("one", "an answer")
    for _ in range(2):
        with world.core() as core:
            refusal = core.refuses(RemoveResponder(name))
            assert (refusal["status"], refusal["code"]) == (409, "configured")
            assert f"'{name}' is " in refusal["message"]
            assert f"configured in {world.box().source}" in refusal["message"]
            assert core.run(query("one"))["answer"] == "an answer"


def test_what_was_registered_over_the_file_goes_and_the_files_is_in_force_again(world):
    world.person("ann", channels=["test://ann"])
    with world.core() as core:
        core.ask(PutResponder({**ANN, "did": "did:other"}))
        assert shown(core, "ann")["did"] == "did:other"
        assert "refused" not in core.ask(RemoveResponder("ann"))
        assert shown(core, "ann")["did"] == "did:ann"
        assert core.refuses(RemoveResponder("ann"))["status"] == 409
    with world.core() as core:
        assert shown(core, "ann")["channels"] == ["test://ann"]


def test_a_retired_one_is_back_when_the_file_says_so(world):
    """P8: a file that names it after it was retired over the API."""
    with world.core() as core:
        core.ask(PutResponder(ANN))
        core.ask(RemoveResponder("ann"))
        assert shown(core, "ann")["status"] == "retired"
        world.person("ann")
        core.system.address("registry").tell(NewConfig(world.box()))
        assert "status" not in shown(core, "ann")


def test_nobody_is_registered_as_retired_over_the_file(world):
    world.person("ann")
    with world.core() as core:
        refusal = core.refuses(PutResponder({**ANN, "status": "retired"}))
        assert refusal["status"] == 409
        assert "status" not in shown(core, "ann")


def test_a_model_that_nobody_here_serves_is_refused_with_what_is_served(world):
    """P8, X6; elsewhere it may be."""
    model = {"id": "m", "kind": "llm", "model": "nobody"}
    with world.core() as core:
        refusal = core.refuses(PutResponder(model))
        assert (refusal["status"], refusal["code"]) == (422, "invalid_responder")
        served = ", ".join(sorted(world.box().serving()))
        assert f"no soulstone of this box serves 'nobody', it serves {served}" in refusal["message"]
        assert shown(core, "m") is None
        there = core.ask(PutResponder({**model, "endpoint": "http://127.0.0.1:1/v1"}))
        assert there["responder"]["model"] == "nobody"
        assert "refused" not in core.ask(PutResponder({**model, "model": "a"}))
        other = msgspec.structs.replace(world.box(), soulstone=(), role=())
        core.system.address("registry").tell(NewConfig(other))
        assert "it serves nothing" in core.refuses(PutResponder({**model, "model": "a"}))["message"]
