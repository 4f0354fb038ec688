"""What one asks of a supervisor, what it reports, how it waits (S3, S7, S8, S15)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervised_world import World

from covend.runtime import (
    KILLED,
    Actor,
    ActorRef,
    Down,
    MonitorId,
    ReplyError,
    SimSystem,
    System,
    ThreadSystem,
)
from covend.supervisors import (
    Backoff,
    ChildSpec,
    CountChildren,
    Counts,
    DeleteChild,
    FindChild,
    Report,
    RestartChild,
    StartChild,
    Supervisor,
    SupervisorSpec,
    TerminateChild,
    WhichChildren,
)
from covend.supervisors.base import BaseSupervisor
from covend.supervisors.messages import ProcessExited, Retry


def one(world: World, **options: Any) -> SupervisorSpec:
    return SupervisorSpec("top", children=[world.worker("a", **options)])


@pytest.mark.parametrize("hook", ["_watched", "_died", "_restart"])
def test_a_supervisor_that_lacks_what_only_it_can_know_is_never_made(hook: str) -> None:
    """It would be found out at a child's first death, and die of it."""
    members = {name: None for name in ("_watched", "_died", "_restart") if name != hook}
    unfinished = type("Unfinished", (BaseSupervisor,), members)
    with pytest.raises(TypeError, match=f"abstract method '?{hook}"):
        unfinished(SupervisorSpec("top"))


def test_children_are_listed_as_they_are(world: World) -> None:
    inner = SupervisorSpec("inner", children=[world.worker("x")])
    top = world.supervise(SupervisorSpec("top", children=[world.worker("a"), world.inner(inner)]))
    top.ask(TerminateChild("a"), timeout=10)
    a, b = top.ask(WhichChildren(), timeout=10)
    assert (a.id, a.name, a.kind, a.state, a.ref, a.mailbox) == (
        "a",
        "a",
        "worker",
        "stopped",
        None,
        None,
    )
    assert (b.id, b.kind, b.state, b.incarnation, b.mailbox) == (
        "inner",
        "supervisor",
        "running",
        1,
        0,
    )
    assert [c.id for c in b.ref.ask(WhichChildren(), timeout=10)] == ["x"]
    assert top.ask(CountChildren(), timeout=10) == Counts(2, 1, 1, 1, 0)
    assert top.ask(FindChild("nobody"), timeout=10) is None


def test_a_child_added_by_request_is_supervised_on_the_right(world: World) -> None:
    spec = SupervisorSpec("top", "rest_for_one", [world.worker("a")])
    top = world.supervise(spec)
    assert top.ask(StartChild(world.worker("b")), timeout=10).state == "running"
    world.system.address("a").tell("crash")
    world.settle(top, 6)
    assert world.diary == ["+a", "+b", "-a failed", "restart a", "-b shutdown", "+a", "+b"]


def test_requests_that_cannot_be_met_are_refused_and_harm_nobody(world: World) -> None:
    top = world.supervise(one(world))
    world.failing["bad"] = 1
    for request, says in [
        (StartChild(world.worker("a")), "has a child 'a' already, it is running"),
        (StartChild(world.worker("slow", shutdown=60.0)), "less than"),
        (StartChild(world.worker("bad")), "child 'bad' failed to start: Boom: bad cannot start"),
        (RestartChild("a"), "is running: terminate it first"),
        (DeleteChild("a"), "is running: terminate it first"),
        (TerminateChild("nobody"), "top has no child 'nobody'; it has: a"),
        ("what?", "no answer to a str"),
    ]:
        with pytest.raises(ReplyError, match=says):
            top.ask(request, timeout=10)
    assert [child.id for child in top.ask(WhichChildren(), timeout=10)] == ["a"]
    top.ask(TerminateChild("a"), timeout=10)
    assert top.ask(DeleteChild("a"), timeout=10) is True
    assert top.ask(WhichChildren(), timeout=10) == []


def test_an_address_survives_restarts(world: World) -> None:
    """S13: the name is the spec's, whichever incarnation has it."""
    top = world.supervise(one(world, name="known"))
    address = world.system.address("known")
    assert address.ask("echo", timeout=10) == "echo"
    address.tell("crash")
    world.settle(top, 4)
    assert address.ask("echo", timeout=10) == "echo"
    assert top.ask(FindChild("a"), timeout=10).restarts == 1


def test_a_child_may_be_started_by_a_function(world: World) -> None:
    class Echo(Actor):
        def on_receive(self, message: object) -> object:
            return message

    def start(system: System, name: str) -> ActorRef:
        return system.spawn(Echo, name=name)

    world.supervise(SupervisorSpec("top", children=[ChildSpec("e", start)]))
    assert world.system.address("e").ask(7, timeout=10) == 7


def test_every_decision_is_one_record_in_the_trace_and_for_the_listener(world: World) -> None:
    """X1: child, incarnation, reason and decision in one structured record."""
    top = world.supervise(one(world))
    world.system.address("a").tell("crash")
    world.settle(top, 4)
    decisions = [(r.child, r.incarnation, r.decision, r.recent) for r in world.reports]
    assert decisions == [("a", 1, "started", 0), ("a", 1, "restart", 1), ("a", 2, "started", 1)]
    assert str(world.reports[1].reason) == "failed(Boom: a)"
    assert world.reports[1].group == ("a",)
    traced = [r for r in world.system.trace.snapshot() if r.kind == "restart"]
    assert [(r.actor, r.other) for r in traced] == [("top", "a")] * 3
    assert "decision='restart'" in traced[1].detail and "Boom: a" in traced[1].detail


class Listener(Actor):
    def __init__(self) -> None:
        self.heard: list[Report] = []

    def on_receive(self, message: object) -> object:
        if isinstance(message, Report):
            self.heard.append(message)
        return [report.decision for report in self.heard]


def test_a_listener_may_be_an_actor_or_one_that_fails(world: World) -> None:
    """A listener's fault is never the supervisor's."""
    listener = world.system.spawn(Listener, name="listener")
    spec = SupervisorSpec("told", children=[world.worker("a")])
    world.system.spawn(Supervisor, spec, world.system.address("listener"), name="told")
    assert listener.ask("what?", timeout=10) == ["started"]
    bad = SupervisorSpec("bad", children=[world.worker("b")])
    ref = world.system.spawn(Supervisor, bad, lambda _report: 1 // 0, name="bad")
    assert ref.ask(CountChildren(), timeout=10).active == 1


@pytest.mark.parametrize(
    "message",
    [
        ProcessExited("a", 1, -9),
        ProcessExited("nobody", 1, 0),
        Retry("a", 1),
        Retry("a", 2),
        Down(MonitorId(10**9), "a", KILLED),
    ],
    ids=str,
)
def test_a_stale_death_or_timer_is_reported_and_changes_nothing(
    world: World, message: object
) -> None:
    """S8: a death is keyed on child and incarnation; the child lives its second life here."""
    top = world.supervise(one(world))
    world.system.address("a").tell("crash")
    world.settle(top, 4)
    top.tell(message)
    info = top.ask(FindChild("a"), timeout=10)
    assert (info.state, info.incarnation) == ("running", 2)
    # An unknown monitor's Down does not even reach the supervisor.
    assert world.reports[-1].decision == ("started" if isinstance(message, Down) else "stale")
    assert world.diary == ["+a", "-a failed", "restart a", "+a"]


def test_a_timer_of_a_former_wait_is_stale(sim: World) -> None:
    """S8: only the wait of the present incarnation ends by a timer."""
    top = sim.supervise(one(sim, backoff=BACKOFF))
    for _ in range(2):
        sim.system.address("a").tell("crash")
        sim.system.advance(1.5)
    assert top.ask(FindChild("a"), timeout=0.1).state == "waiting"
    top.tell(Retry("a", 1))
    assert top.ask(FindChild("a"), timeout=0.1).state == "waiting"
    assert sim.reports[-1].decision == "stale"


def test_terminating_a_stubborn_child_fences_reports_and_escalates(world: World) -> None:
    """S15: a thread cannot be killed."""
    spec = SupervisorSpec("top", children=[world.worker("a", "stubborn", shutdown=0.05)])
    top = world.supervise(spec)
    with pytest.raises(ReplyError, match="zombie now"):
        top.ask(TerminateChild("a"), timeout=10)
    world.until(lambda: world.ends)
    assert str(world.ends["top"]) == "escalated(zombie)"
    assert world.diary == ["+a", "zombie a", "escalate a"]
    assert world.system.find("a") is None, "its name is free"
    assert "a" in world.system.zombies


# ── backoff, in virtual time ─────────────────────────────────────────────────────────────────

BACKOFF = Backoff(base=1.0, maximum=5.0, jitter=0.0, stable_for=20.0)


def test_restarts_back_off_and_a_stable_life_resets_them(sim: World) -> None:
    """S7: 1, 2, 4, 5 seconds, and 1 again after 20 s of life."""
    spec = SupervisorSpec(
        "top", children=[sim.worker("a", backoff=BACKOFF)], period=60.0, intensity=9
    )
    sim.supervise(spec)
    for wait in (1.0, 2.0, 4.0, 5.0):
        sim.system.address("a").tell("crash")
        sim.system.advance(wait)
    assert sim.starts() == [0.0, 1.0, 3.0, 7.0, 12.0]
    sim.system.advance(20.0)
    sim.system.address("a").tell("crash")
    sim.system.advance(30.0)
    assert sim.starts()[-1] == 33.0


def test_jitter_is_drawn_within_its_share_and_replays() -> None:
    """S7, S18."""
    waits: list[float] = []
    for _ in range(2):
        with SimSystem() as system:
            world = World(system)
            backoff = Backoff(base=1.0, maximum=60.0, jitter=0.5)
            world.supervise(one(world, backoff=backoff))
            system.address("a").tell("crash")
            system.advance(2.0)
            waits.append(world.starts()[1])
    assert 1.0 <= waits[0] <= 1.5 and waits[0] == waits[1]


def test_a_child_that_waits_for_its_restart_can_be_terminated(sim: World) -> None:
    """S7."""
    top = sim.supervise(one(sim, backoff=BACKOFF))
    sim.system.address("a").tell("crash")
    sim.system.run_until_idle()
    assert top.ask(FindChild("a"), timeout=1).state == "waiting"
    with pytest.raises(ReplyError, match="is waiting: terminate it first"):
        top.ask(RestartChild("a"), timeout=1)
    assert top.ask(TerminateChild("a"), timeout=1)
    sim.system.advance(60.0)
    assert sim.starts() == [0.0]
    assert sim.reports[-1].decision == "stopped", "its timer is gone"
    assert top.ask(RestartChild("a"), timeout=1).state == "running"


def test_a_siblings_restart_takes_one_that_waits_along(sim: World) -> None:
    """S8: it is started with the others, and its own timer does nothing any more."""
    children = [sim.worker("a", backoff=BACKOFF), sim.worker("b")]
    top = sim.supervise(SupervisorSpec("top", "one_for_all", children))
    sim.system.address("a").tell("crash")
    sim.system.run_until_idle()
    sim.system.address("b").tell("crash")
    sim.system.advance(60.0)
    assert sim.diary == ["+a", "+b", "-a failed", "-b failed", "restart b", "+a", "+b"]
    assert top.ask(FindChild("a"), timeout=1).incarnation == 2


def test_a_supervisor_that_stops_forgets_who_waits(sim: World) -> None:
    top = sim.supervise(one(sim, backoff=BACKOFF))
    sim.system.address("a").tell("crash")
    sim.system.run_until_idle()
    top.stop()
    sim.system.advance(60.0)
    assert str(sim.ends["top"]) == "shutdown"
    assert sim.diary == ["+a", "-a failed"]


def test_restarts_far_enough_apart_go_on_for_a_year(sim: World) -> None:
    """S3, S18: the log slides, and a year of virtual time costs nothing."""
    sim.supervise(one(sim))
    for _ in range(365):
        sim.system.address("a").tell("crash")
        sim.system.advance(86_400.0)
    assert len(sim.starts()) == 366 and not sim.ends


# ── drawn schedules ──────────────────────────────────────────────────────────────────────────


@given(
    schedule=st.lists(st.integers(0, 5), max_size=60),
    strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    deaths=st.lists(st.sampled_from("abc"), min_size=2, max_size=3, unique=True),
)
def test_two_deaths_at_once_on_any_schedule(
    schedule: list[int], strategy: Any, deaths: list[str]
) -> None:
    """S8: every death is acted on once, by its incarnation; one_for_all restarts once."""
    with SimSystem(schedule) as system:
        world = World(system)
        top = world.supervise(SupervisorSpec("top", strategy, [world.worker(id) for id in "abc"]))
        for id in deaths:
            system.find(id).tell("crash")
        system.run_until_idle()
        children = top.ask(WhichChildren(), timeout=1)
        restarts = [report for report in world.reports if report.decision == "restart"]
        assert [child.state for child in children] == ["running"] * 3
        assert len({(r.child, r.incarnation) for r in restarts}) == len(restarts)
        if strategy == "one_for_one":
            assert {r.child for r in restarts} == set(deaths)
        if strategy == "one_for_all":
            assert len(restarts) == 1
        for child in children:
            covered = sum(child.id in r.group for r in restarts)
            assert child.incarnation == 1 + covered, str(system)
            assert world.diary.count(f"+{child.id}") == child.incarnation
            assert system.find(child.id) is not None


def test_a_whole_system_that_shuts_down_lets_supervisors_stop_their_children() -> None:
    """Nothing is restarted on the way out."""
    system = ThreadSystem("test")
    world = World(system)
    world.supervise(SupervisorSpec("top", children=[world.worker("a"), world.worker("b")]))
    assert system.shutdown() == []
    assert world.diary == ["+a", "+b", "-b shutdown", "-a shutdown"]
