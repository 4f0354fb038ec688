"""Timers while much else goes on: each in its time, and none takes another's place (P6, P20)."""

import pytest
from tests.actors.running import World, query

from covend.actors.runs.messages import Ticked
from covend.phylactery.messages import Due
from covend.questions import ListTasks
from covend.testing import eventually


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def test_a_timer_is_told_of_in_its_time_whatever_was_due_before(world):
    """P20: the earlier one went with its run, which ended, and whoever waited for it looks on."""
    world.scripted("quick", "done")
    world.person("ann")
    with world.core() as core:
        core.run(query("quick", side_effects={"max_latency_secs": 0.8}))
        thread = core.submit(query("ann", side_effects={"max_latency_secs": 1.6}))["id"]
        assert core.ended(thread)["code"] == "latency_timeout"


def test_a_timer_that_was_due_is_no_less_due_when_the_clock_is_set_back(world):
    """P20: its row goes with the tick, so a tick of before its time would leave a run for ever."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann", side_effects={"max_latency_secs": 600.0}))["id"]
        core.parked()
        due = core.ends(thread)
        core.desk.tell(Ticked(thread, "end", due))  # the clock was there, and is not any more
        (tick,) = eventually(lambda: core.records(thread, "tick"), what="the tick")
        assert tick["clock"] >= due > world.clock()
        assert core.ended(thread)["code"] == "latency_timeout"


@pytest.mark.parametrize("times", [1, 2])
def test_a_tick_that_is_said_twice_takes_no_newer_timer_away(world, times):
    """P18, P20: the next delegate of a silent person is asked all the same."""
    for name, more in (("ann", {"delegates": ["did:bob", "did:cy"]}), ("bob", {}), ("cy", {})):
        world.person(name, sla_seconds=100, **more)
    with world.core() as core:
        asked = query("ann", side_effects={"max_latency_secs": 1000.0})
        thread = core.submit(asked)["id"]
        core.parked()
        timers = core.records(thread, "call")[0]["body"]["timers"]
        first = next(timer for timer in timers if timer["name"].startswith("delegate:"))
        core.forward(101)
        core.task("did:bob")
        for _ in range(times - 1):
            core.desk.tell(Ticked(thread, first["name"], first["due"]))
        core.parked()
        left = core.system.address("phylactery").ask(Due(2**52), timeout=5.0)
        assert first["name"] in {row["name"] for row in left}
        core.forward(101)
        core.task("did:cy")


def test_who_promised_and_is_silent_keeps_no_delegate_away(world):
    """P18: he is asked when the promised time is over, in a store that was left alone meanwhile."""
    for name, more in (("ann", {"delegates": ["did:bob"]}), ("bob", {})):
        world.person(name, sla_seconds=100, **more)
    with world.core() as core:
        core.submit(query("ann", side_effects={"max_latency_secs": 1000.0}))
        told = core.act(core.task("did:ann"), "accept", eta_secs=300.0)
        assert told["state"] == "accepted"
        core.parked()
        core.forward(150)
        core.parked()
        assert core.ask(ListTasks("did:bob"))["tasks"] == []
    with world.core() as core:
        core.forward(151)
        assert core.task("did:bob")["did"] == "did:bob"
