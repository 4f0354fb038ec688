"""The simulated system: one schedule, one history (S18)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covend.runtime import Actor, Deadlock, Livelock, SimSystem
from covend.runtime.errors import ActorError


class Player(Actor):
    """Passes a ball on, asks somebody now and then, ticks in between."""

    def on_start(self) -> None:
        self.seen: list[object] = []
        self.ctx.timer("tick", 0.5, "tick")

    def on_receive(self, message: object) -> object:
        match message:
            case "ball", left:
                self.seen.append(left)
                if left:
                    self.ctx.tell(f"p{left % 4}", ("ball", left - 1))
            case "tick":
                self.seen.append("tick")
            case "ask", other:
                return self.ctx.ask(other, "seen", 5.0)
            case _:
                return list(self.seen)
        return None


def play(schedule: list[int], *, slow: bool = False) -> tuple[list[int], list[tuple]]:
    with SimSystem(schedule, slow_machine=slow) as sim:
        players = [sim.spawn(Player, name=f"p{n}") for n in range(4)]
        for n, player in enumerate(players):
            player.tell(("ball", 5 + n))
        players[0].tell(("ask", "p1"))
        players[2].tell(("ask", "p3"))
        sim.advance(1)
        steps = list(sim.steps)
        return steps, [tuple(record) for record in sim.trace.snapshot()]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=60), st.booleans())
def test_one_schedule_gives_one_trace_and_its_steps_replay_it(
    schedule: list[int], slow: bool
) -> None:
    """S18: byte for byte, the ids and virtual times included."""
    steps, trace = play(schedule, slow=slow)
    assert play(schedule, slow=slow) == (steps, trace)
    assert play(steps, slow=slow) == (steps, trace)


def test_different_schedules_give_different_histories() -> None:
    histories = {repr(play(schedule)[1]) for schedule in ([0] * 40, [1] * 40, [3, 2, 1] * 15)}
    assert len(histories) == 3


class Asker(Actor):
    def on_receive(self, message: object) -> object:
        return self.ctx.ask(str(message), self.ctx.name, 5.0)


def test_actors_that_ask_each_other_are_a_deadlock_with_its_schedule() -> None:
    with SimSystem([1, 0, 1]) as sim:
        a, b = sim.spawn(Asker, name="a"), sim.spawn(Asker, name="b")
        a.tell("b")
        b.tell("a")
        with pytest.raises(Deadlock, match=r"(?s)waits for the next.*schedule=\[.*a waits for b"):
            sim.run_until_idle()


def test_waiting_for_what_can_never_come_is_a_deadlock() -> None:
    with SimSystem() as sim:
        sim.spawn(Asker)
        with pytest.raises(Deadlock, match="no deadline"):
            sim.run(lambda: False)


def test_actors_that_never_let_time_pass_are_a_livelock() -> None:
    class Restless(Actor):
        def on_receive(self, message: object) -> object:
            self.ctx.tell(self.ctx.me, message)
            return None

    with SimSystem(max_steps=500) as sim:
        ref = sim.spawn(Restless)
        ref.tell("on")
        with pytest.raises(Livelock, match=ref.name):
            sim.advance(1)
        ref.stop()


def test_a_callback_cannot_drive_the_simulation_it_runs_in() -> None:
    errors: list[BaseException] = []

    def callback(_: object) -> None:
        try:
            sim.advance(1)
        except ActorError as error:
            errors.append(error)

    class Silent(Actor):
        def on_receive(self, message: object) -> object:
            return self.ctx.later()

    with SimSystem() as sim:
        sim.spawn(Silent).ask_later("x", 1.0).on_done(callback)
        sim.advance(2)
    assert len(errors) == 1


def test_time_stands_still_while_somebody_can_run_and_then_jumps() -> None:
    with SimSystem() as sim:
        sim.spawn(Player, name="p0")
        sim.run_until_idle()
        assert sim.now() == 0.0
        sim.advance(86_400)
        assert sim.now() == 86_400
        assert sim.address("p0").ask("seen", 1.0) == ["tick"]


def test_a_simulation_that_failed_leaves_no_thread_behind() -> None:
    """The leak check of the test run sees the threads if it does."""

    def fail() -> None:
        with SimSystem() as sim:
            a = sim.spawn(Asker, name="a")
            sim.spawn(Asker, name="b")
            a.tell("b")
            raise RuntimeError("the test fails")

    with pytest.raises(RuntimeError, match="the test fails"):
        fail()
