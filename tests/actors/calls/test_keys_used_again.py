"""What a key was used for is known as long as its run's first record is there."""

import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down

from covend.actors.runs.execution import Execution
from covend.phylactery.messages import Purge
from covend.questions import CancelQuery, SubmitQuery


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


ANOTHER = SubmitQuery(query("one", question="Another?"), "k")


def test_a_key_of_a_purged_run_is_still_one_query(world):
    """P7, D4: the same query has ended, and another one does not get its answer."""
    world.scripted("one", "an answer")
    with world.core() as core:
        core.run(query("one"), "k")
        core.parked()
        before = world.clock() + 10**9
        assert core.system.address("phylactery").ask(Purge(before), timeout=5.0)
        told = core.submit(query("one"), "k")
        assert told["state"] == "ended"
        core.parked()
        assert core.refuses(ANOTHER)["code"] == "key_reused"
        core.parked()
        assert core.records(told["id"], "intend")[0]["body"]["query"]["question"] == "What is it?"
    assert len(world.called) == 1


def test_a_query_submitted_again_wakes_none_of_the_runs_that_its_end_began(world, monkeypatch):
    """P6, P7: what has ended stays at rest, however many follow from one another."""
    world.scripted("one", "an answer")
    asked = query("one", triggers=[{"name": "next", "query": query("one")}])
    woken, start = [], Execution.on_start

    def on_start(self):
        woken.append(self.ctx.name)
        start(self)

    with world.core() as core:
        thread = core.submit(asked, "k")["id"]
        core.ended(thread)
        core.ended(core.records(thread, "trigger")[0]["body"]["child"])
        core.parked()
        monkeypatch.setattr(Execution, "on_start", on_start)
        assert core.submit(asked, "k") == {"id": thread, "state": "ended"}
        core.parked()
    assert woken == [thread]


def test_a_key_of_a_run_that_was_set_aside_is_still_one_query(world):
    """P2, P7: a query that cannot go on has its key nevertheless."""
    world.person("ann")
    world.scripted("one", "an answer")
    with world.core() as core:
        thread = core.submit(query("ann"), "k")["id"]
        core.task("did:ann")
        core.parked()
        intend, call = core.records(thread)
    forged = {**call, "body": {**call["body"], "role": "audit"}}
    world.path = world.path.with_name("forged.db")
    lay_down(world.path, [intend, forged])
    with world.core() as core:
        assert core.refuses(CancelQuery(thread))["code"] == "set_aside"
        core.parked()
        assert core.submit(query("ann"), "k") == {"id": thread, "state": "open"}
        core.parked()
        assert core.refuses(ANOTHER)["code"] == "key_reused"
