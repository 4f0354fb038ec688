"""Timers live in the mailbox (S14)."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from covend.runtime import Actor, SimSystem, System
from covend.runtime.timers import Timers


class Clock(Actor):
    """Arms, cancels and enters as told; keeps what arrives and when."""

    def __init__(self) -> None:
        self.rang: list[tuple[object, float]] = []

    def on_receive(self, message: object) -> object:
        match message:
            case "arm", key, seconds:
                self.ctx.timer(key, seconds, ("ring", key))
            case "arm", key, seconds, state:
                self.ctx.timer(key, seconds, ("ring", key), state=state)
            case "cancel", key:
                return self.ctx.cancel(key)
            case "enter", state:
                self.ctx.enter(state)
            case "ring", key:
                self.rang.append((key, self.ctx.now()))
            case _:
                return [key for key, _ in self.rang]
        return None


def test_timers_ring_in_the_order_of_their_deadlines(system: System, until) -> None:
    ref = system.spawn(Clock)
    for key, seconds in (("c", 0.06), ("a", 0.02), ("b", 0.04)):
        ref.tell(("arm", key, seconds))
    until(lambda: len(ref.ask("rang", 1.0)) == 3)
    assert ref.ask("rang", 1.0) == ["a", "b", "c"]


def test_a_timer_rings_while_work_keeps_coming(system: System, until) -> None:
    class Worker(Clock):
        def on_receive(self, message: object) -> object:
            if message == "work" and not self.rang:
                self.ctx.tell(self.ctx.me, "work")
                if isinstance(self.ctx.system, SimSystem):
                    self.ctx.system.answer("a pause", 0.01).wait(0.01)
            return super().on_receive(message)

    ref = system.spawn(Worker)
    ref.tell(("arm", "a", 0.05))
    ref.tell("work")
    until(lambda: ref.ask("rang", 5.0) == ["a"])


def test_a_second_timer_of_a_key_replaces_the_first() -> None:
    with SimSystem() as sim:
        ref = sim.spawn(Clock)
        ref.tell(("arm", "a", 1.0))
        ref.tell(("arm", "a", 3.0))
        sim.advance(2)
        assert ref.ask("rang", 1.0) == []
        sim.advance(2)
        assert ref.ask("rang", 1.0) == ["a"]


def test_entering_a_state_cancels_the_timers_of_every_other() -> None:
    with SimSystem() as sim:
        ref = sim.spawn(Clock)
        ref.tell(("arm", "always", 1.0))
        ref.tell(("arm", "old", 1.0, "draining"))
        ref.tell(("arm", "kept", 1.0, "open"))
        ref.tell(("enter", "open"))
        sim.advance(2)
        assert sorted(ref.ask("rang", 1.0)) == ["always", "kept"]


def test_a_year_of_ticks_an_hour_apart_costs_nothing() -> None:
    """S18."""

    class Hourly(Actor):
        ticks = 0

        def on_start(self) -> None:
            self.ctx.timer("t", 3600, "tick")

        def on_receive(self, message: object) -> object:
            self.ticks += 1
            self.ctx.timer("t", 3600, "tick")
            return self.ticks

    with SimSystem() as sim:
        ref = sim.spawn(Hourly)
        sim.advance(365 * 86_400)
        assert ref.ask("ticks", 1.0) == 365 * 24 + 1


@given(st.lists(st.integers(0, 5), max_size=30))
def test_a_cancelled_timer_never_rings_however_late_the_cancel(schedule: list[int]) -> None:
    """S14: on a slow machine the timer may be due, even queued, before it is cancelled."""
    with SimSystem(schedule, slow_machine=True) as sim:
        ref = sim.spawn(Clock)
        ref.tell(("arm", "a", 0.5))
        ref.tell("work")
        cancelled = ref.ask_later(("cancel", "a"), 50.0)
        sim.run(lambda: cancelled.done)
        rang = ref.ask("rang", 100.0)
        assert (rang == ["a"]) != cancelled.value
        sim.advance(5)
        assert ref.ask("rang", 100.0) == rang


keys = st.integers(0, 3)
moves = st.one_of(
    st.tuples(st.just("arm"), keys, st.integers(0, 20), st.sampled_from([None, "x", "y"])),
    st.tuples(st.just("cancel"), keys),
    st.tuples(st.just("enter"), st.sampled_from(["x", "y"])),
    st.tuples(st.just("pass"), st.integers(0, 8)),
)


@given(st.lists(moves, max_size=60))
def test_the_heap_does_what_a_dict_of_deadlines_does(script: list[tuple]) -> None:
    """S14, against the obvious model."""
    timers, model, now = Timers(), {}, 0
    for serial, move in enumerate(script):
        match move:
            case "arm", key, seconds, state:
                timers.arm(key, now + seconds, serial, state)
                model[key] = (now + seconds, serial, state)
            case "cancel", key:
                assert timers.cancel(key) == (model.pop(key, None) is not None)
            case "enter", state:
                timers.enter(state)
                model = {k: v for k, v in model.items() if v[2] in (None, state)}
            case "pass", seconds:
                now += seconds
                rang = [timers.take(fired) for fired in timers.due(now)]
                due = sorted(v[:2] for v in model.values() if v[0] <= now)
                assert [(t.deadline, t.message) for t in rang if t] == due
                model = {k: v for k, v in model.items() if v[0] > now}
        assert timers.next_deadline() == min((v[0] for v in model.values()), default=None)


def test_a_timer_that_is_armed_anew_for_ever_takes_no_more_room() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.arm("a", float(number), number)
    assert len(timers._heap) < 200


def test_a_mailbox_that_never_rests_knows_when_to_look_for_timers() -> None:
    """S14: the earliest that may be due, whichever was armed last, cancelled or due before."""
    timers = Timers()
    timers.arm("b", 2.0, "ring")
    timers.arm("a", 1.0, "ring")
    timers.arm("c", 3.0, "ring")
    assert timers.look_at == 1.0
    assert [fired.key for fired in timers.due(1.5)] == ["a"] and timers.look_at == 2.0
    timers.cancel("b")
    assert timers.due(2.5) == [] and timers.look_at == 3.0
    assert [fired.key for fired in timers.due(3.0)] == ["c"] and timers.look_at == math.inf
