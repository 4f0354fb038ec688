"""When the timekeeper is to look at the store next, as far as the desk knows (P6, P20)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from covend.actors.runs.messages import Look
from covend.runtime import Context, Message


@dataclass(slots=True)
class NextLook:
    """The earliest of all timers that were told of since it had the timekeeper look.

    Every timer that is stored is told of here, by its run or, where that came before the look, by
    the timekeeper. So none is missed, and the timekeeper is not woken for any that is due later
    than another. In the desk's thread; clocks are microseconds, ``now`` gives the present one.
    """

    ctx: Context
    now: Callable[[], int]
    due: int | None = None

    def heard(self, due: int) -> None:
        """A timer is due at this clock."""
        if self.due is None or due < self.due:
            self.due = due
            self.ctx.timer("due", (due - self.now()) / 1e6, LookNow())

    def begin(self) -> None:
        """Have the timekeeper look: what is still to come it tells of."""
        self.due = None
        self.ctx.tell("timekeeper", Look())


class LookNow(Message, frozen=True):
    """A timer's message: a timer of a run is due."""
