"""The dynamic supervisor: many of one kind, found by name, stopped together (S2)."""

from __future__ import annotations

from typing import Any

import pytest
from supervised_world import World

from covend.runtime import ReplyError
from covend.supervisors import (
    Backoff,
    ChildSpec,
    CountChildren,
    DynamicSpec,
    FindChild,
    StartMember,
    Supervisor,
    SupervisorSpec,
    TerminateChild,
    WhichChildren,
)


def many(world: World, kind: str = "worker", **options: Any) -> DynamicSpec:
    """A template whose children get their own name as argument."""
    limits = {key: options.pop(key) for key in ("intensity", "max_children") if key in options}
    actor, args = world.worker("template", kind).start
    return DynamicSpec("many", ChildSpec("template", (actor, args[:1]), **options), **limits)


def add(top: Any, *ids: str) -> None:
    for id in ids:
        assert top.ask(StartMember(id, (id,)), timeout=10).state == "running"


def test_children_are_added_found_by_name_and_terminated(world: World) -> None:
    top = world.supervise(many(world))
    assert top.ask(WhichChildren(), timeout=10) == []
    add(top, "a", "coven/b")
    assert world.system.address("coven/b").ask("echo", timeout=10) == "echo"
    assert top.ask(FindChild("coven/b"), timeout=10).ref is world.system.find("coven/b")
    assert top.ask(TerminateChild("a"), timeout=10) is True
    assert top.ask(FindChild("a"), timeout=10) is None
    assert [child.id for child in top.ask(WhichChildren(), timeout=10)] == ["coven/b"]
    assert world.diary == ["+a", "+coven/b", "-a shutdown"]


def test_a_dead_child_is_restarted_alone_with_its_own_arguments(world: World) -> None:
    top = world.supervise(many(world))
    add(top, "a", "b")
    for life in (2, 3):
        world.system.address("b").tell("crash")
        world.settle(top, 2 + 3 * (life - 1))
        assert top.ask(FindChild("b"), timeout=10).incarnation == life
    assert world.diary == ["+a", "+b", *["-b failed", "restart b", "+b"] * 2]


@pytest.mark.parametrize(
    ("restart", "end", "left"),
    [
        ("permanent", "finish", 1),
        ("transient", "finish", 0),
        ("transient", "leave", 0),
        ("transient", "crash", 1),
        ("temporary", "crash", 0),
    ],
)
def test_the_restart_type_decides(world: World, restart: Any, end: str, left: int) -> None:
    """S5; a child that is not restarted is forgotten."""
    top = world.supervise(many(world, restart=restart))
    add(top, "a")
    world.system.address("a").tell(end)
    world.settle(top, 3 + left)
    assert top.ask(CountChildren(), timeout=10).specs == left
    assert world.diary[2] == ("restart a" if left else "drop a")


def test_too_many_restarts_end_it_with_all_children(world: World) -> None:
    """S3, S6."""
    top = world.supervise(many(world, intensity=1))
    add(top, "a", "b")
    world.system.address("a").tell("crash")
    world.settle(top, 5)
    world.system.address("b").tell("crash")
    world.until(lambda: world.ends)
    assert str(world.ends["many"]) == "escalated(failed(Boom: b))"
    assert world.diary[-3:] == ["-b failed", "escalate b", "-a shutdown"]
    assert world.system.actors() == []


def test_requests_that_cannot_be_met_are_refused(world: World) -> None:
    top = world.supervise(many(world, max_children=1))
    world.failing["bad"] = 1
    with pytest.raises(ReplyError, match="child 'bad' failed to start: Boom"):
        top.ask(StartMember("bad", ("bad",)), timeout=10)
    add(top, "a")
    for request, says in [
        (StartMember("a", ("a",)), "has a child 'a' already"),
        (StartMember("b", ("b",)), "may have no more"),
        (StartMember("", ("b",)), "without an id"),
        (TerminateChild("b"), "has no child 'b'"),
        ("what?", "no answer to a str"),
    ]:
        with pytest.raises(ReplyError, match=says):
            top.ask(request, timeout=10)
    assert top.ask(CountChildren(), timeout=10).active == 1


def test_children_are_stopped_together(sim: World) -> None:
    """S2: eight children that take half a second each are gone in half a second."""
    top = sim.supervise(many(sim, "slow"))
    add(top, *"abcdefgh")
    before = sim.system.now()
    top.stop()
    sim.until(lambda: sim.ends)
    assert sim.system.now() - before == 0.5
    assert sim.system.actors() == []


def test_a_plain_supervisor_stops_one_after_the_other(sim: World) -> None:
    """S4, for contrast."""
    top = sim.supervise(SupervisorSpec("top", children=[sim.worker(id, "slow") for id in "abcd"]))
    top.stop()
    sim.until(lambda: sim.ends)
    assert sim.system.now() == 2.0


def test_stubborn_children_share_one_patience(sim: World) -> None:
    """S15: all zombies, in the time of one."""
    top = sim.supervise(many(sim, "stubborn"))
    add(top, *"abcd")
    top.stop()
    sim.until(lambda: sim.ends)
    assert sim.system.now() == 1.0
    assert sim.diary[4:] == ["zombie a", "zombie b", "zombie c", "zombie d"]


def test_terminating_a_stubborn_child_escalates(world: World) -> None:
    """S15."""
    top = world.supervise(many(world, "stubborn", shutdown=0.05))
    add(top, "a")
    with pytest.raises(ReplyError, match="zombie now"):
        top.ask(TerminateChild("a"), timeout=10)
    world.until(lambda: world.ends)
    assert str(world.ends["many"]) == "escalated(zombie)"


def test_a_waiting_child_can_be_terminated(sim: World) -> None:
    """S7."""
    top = sim.supervise(many(sim, backoff=Backoff(base=1.0, jitter=0.0)))
    add(top, "a")
    sim.system.address("a").tell("crash")
    sim.system.run_until_idle()
    assert top.ask(FindChild("a"), timeout=1).state == "waiting"
    assert top.ask(TerminateChild("a"), timeout=1)
    sim.system.advance(10.0)
    assert sim.diary == ["+a", "-a failed"]


def test_each_child_may_be_a_supervisor_of_its_own(world: World) -> None:
    """As the core's covens are: a small tree for each."""
    template = ChildSpec("trees", (Supervisor, ()), kind="supervisor")
    top = world.supervise(DynamicSpec("many", template))
    for name in ("x", "y"):
        tree = SupervisorSpec(f"tree/{name}", children=[world.worker(name)])
        top.ask(StartMember(f"tree/{name}", (tree, world.hear)), timeout=10)
    world.system.address("x").tell("crash")
    world.settle(top, 5)
    assert world.diary == ["+x", "+y", "-x failed", "restart x", "+x"]
    top.stop()
    world.until(lambda: world.ends)
    assert world.system.actors() == []
