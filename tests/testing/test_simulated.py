"""A simulation's failure says how to make it happen again, and time is virtual."""

import time

import pytest
from hypothesis import given

from covend.runtime import Actor
from covend.testing import schedules, simulated


class Racer(Actor):
    """Writes its name down whenever it is told to."""

    def __init__(self, finish):
        self.finish = finish

    def on_receive(self, message):
        self.finish.append(self.ctx.name)


def race(schedule):
    finish = []
    with simulated(schedule) as system:
        racers = [system.spawn(Racer, finish, name=f"racer {lane}") for lane in range(3)]
        for racer in racers:
            racer.tell("run")
        system.run_until_idle()
        steps = list(system.steps)
    return finish, steps


@given(schedules(30))
def test_the_steps_of_a_run_replay_it(schedule):
    finish, steps = race(schedule)
    assert sorted(finish) == ["racer 0", "racer 1", "racer 2"]
    assert race(steps)[0] == finish


def test_a_year_passes_in_no_time():
    begun = time.monotonic()
    with simulated() as system:
        system.advance(365 * 86400.0)
        assert system.now() == 365 * 86400.0
    assert time.monotonic() - begun < 365 * 86400.0


def test_a_failure_carries_the_schedule_that_replays_it():
    with pytest.raises(ZeroDivisionError) as caught, simulated([2, 1]):
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["to replay it: simulated([])"]
