"""Actors in virtual time, one at a time, under a schedule that can be drawn and replayed (S18)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from covend.runtime import SimSystem

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@contextmanager
def simulated(schedule: Sequence[int] = (), **options: Any) -> Generator[SimSystem]:
    """A simulated system for the length of a ``with`` block, whose failures can be replayed.

    Takes the options of ``SimSystem``. Its clock is virtual: ``advance`` moves it, nothing else
    does. An exception that leaves the block carries the schedule that makes it happen again.

    >>> from covend.runtime import Actor
    >>> class Alarm(Actor):
    ...     def on_start(self):
    ...         self.ctx.timer("alarm", 3600.0, "wake up")
    ...     def on_receive(self, message):
    ...         print(message, "at", self.ctx.now())
    >>> with simulated() as system:
    ...     alarm = system.spawn(Alarm, name="alarm")
    ...     system.advance(7200.0)
    wake up at 3600.0
    """
    with SimSystem(schedule, **options) as system:
        try:
            yield system
        except BaseException as error:
            error.add_note(f"to replay it: simulated({system.steps})")
            raise


def schedules(longest: int = 200) -> SearchStrategy[list[int]]:
    """A Hypothesis strategy of schedules; it shrinks towards taking turns."""
    from hypothesis import strategies

    return strategies.lists(strategies.integers(0, 11), max_size=longest)
