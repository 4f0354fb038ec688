"""A run is moved to another box while it is open, and ends there as it would have here (D5)."""

import pytest
from tests.actors.running import World, query

from covend.patterns.nesting import child_thread
from covend.phylactery.store import open_store
from covend.questions import ActOnTask
from covend.testing import eventually

HOUR = 3600


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """Two boxes that have a store each, and the same responders."""
    made = [World(tmp_path / f"{name}.db", monkeypatch) for name in ("here", "there")]
    for world in made:
        world.person("ann", channels=["test://ann"], delegates=["did:bob"], sla_seconds=1000)
        world.person("bob")
    return made


def unsure():
    """A model is asked first, and a person where it is not sure of itself."""
    tiers = [
        {"name": "model", "responders": [{"id": "model:a"}], "expression": "true"},
        {"name": "ann", "responders": [{"id": "ann"}]},
    ]
    return query("model:a", orchestration={"pattern": "escalate", "tiers": tiers})


def move(thread, here, there, children=False):
    """Export and import, as ``covend export`` and ``covend import`` do; returns the lines."""
    store = open_store(here.path, read_only=True)
    lines = list(store.export(thread, children=children))
    store.close()
    store = open_store(there.path)
    assert store.import_(lines) == len(lines) - 1
    assert store.verify() == []
    store.close()
    return lines


def keys(core, thread):
    return [entry["body"]["key"] for entry in core.records(thread, "call")]


def test_a_run_that_waits_for_a_person_goes_on_in_another_box_and_ends_there(boxes):
    """D5, P4: the same task, the same calls under the same keys; nobody is paid again."""
    here, there = boxes
    with here.core() as core:
        thread = core.submit(unsure())["id"]
        task = core.task("did:ann")
        core.parked()
        before, called = core.records(thread), keys(core, thread)
    assert len(here.paid) == 1
    lines = move(thread, here, there)
    with there.core() as core:
        assert core.task("did:ann") == task
        assert core.row(thread)["state"] == "open"
        core.act(task, "submit", value="ann's word")
        know = core.ended(thread)
        core.parked()
        after = core.records(thread)
        assert keys(core, thread) == called
    assert (know["status"], know["answer"]) == ("fulfilled", "ann's word")
    assert [entry["id"] for entry in after[: len(before)]] == [entry["id"] for entry in before]
    assert [entry["kind"] for entry in after[len(before) :]] == ["do", "know"]
    assert there.submitted == [] and there.paid == []
    there_again = open_store(there.path, read_only=True)
    whole = list(there_again.export(thread))
    there_again.close()
    assert whole[: len(lines) - 1] == lines[:-1]


def test_its_end_can_be_brought_back(boxes):
    """D5: what is there already is passed over."""
    here, there = boxes
    with here.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        core.parked()
    move(thread, here, there)
    with there.core() as core:
        core.act(task, "submit", value="yes")
        core.ended(thread)
        core.parked()
    store = open_store(there.path, read_only=True)
    lines = list(store.export(thread))
    store.close()
    store = open_store(here.path)
    assert store.import_(lines) == 2
    assert store.verify() == []
    store.close()
    with here.core() as core:
        assert core.ended(thread)["answer"] == "yes"
        assert core.refuses(ActOnTask(task["id"], "decline", "did:ann"))["status"] == 409


def test_its_timers_go_on_there(boxes):
    """D5, P18, P20: the delegate of a silent person is asked, and the time it has is no longer."""
    here, there = boxes
    with here.core() as core:
        limits = {"side_effects": {"max_latency_secs": HOUR}}
        thread = core.submit(query("ann", **limits))["id"]
        core.task("did:ann")
        core.parked()
        ends = core.ends(thread)
    move(thread, here, there)
    with there.core() as core:
        core.forward(1001)
        assert core.task("did:bob")["thread"] == thread
        assert core.ends(thread) == ends
        core.forward(HOUR - 1001 + 1)
        assert core.ended(thread)["code"] == "latency_timeout"
        core.parked()


def test_a_child_that_waits_for_a_person_is_moved_with_the_run_that_began_it(boxes):
    """D5: its parent has ended, and what it asks refers to that answer."""
    here, there = boxes
    asked = {**query("ann", question="Is that so?"), "input": {"ref": "know.answer"}}
    with here.core() as core:
        thread = core.submit({**query("model:a"), "triggers": [{"name": "next", "query": asked}]})
        child = child_thread(thread["id"], "next")
        task = core.task("did:ann")
        core.parked()
    assert (task["thread"], task["input"]) == (child, "from a")
    move(thread["id"], here, there, children=True)
    with there.core() as core:
        assert core.task("did:ann") == task
        core.act(task, "submit", value="it is")
        assert core.ended(child)["answer"] == "it is"
        assert core.ended(thread["id"])["answer"] == "from a"
        eventually(lambda: not core.executions(), what="both rest")
    assert there.submitted == []
