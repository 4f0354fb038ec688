"""The timekeeper: looks which timers of the store are due, and says so to the desk, never early.

It looks when the desk says that one is (``next_look``). A timer is told of again until it is gone
from the store: the run that it is for may have died with the message.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from covend.actors.asking_store import ask_store
from covend.actors.runs.messages import Look, Looked, Recover, Ticked
from covend.actors.runs.story import wall_clock
from covend.phylactery.messages import Due, NextDue
from covend.runtime import Actor, MailboxSpec

LONGEST_SECONDS = 30.0
"""The wall clock may be set: however far the next timer is, it is looked at again after this."""
REPEAT_SECONDS = 10.0
PAGE = 500
"""New timers told of at once: the rest of a flood follows, and what stays holds up nothing."""
FLOOD_SECONDS = 0.25
"""After a whole page of them, the next one comes after this."""


class Timekeeper(Actor):
    """Wakes parked runs (P6, P20). It starts last, and tells the desk that all are there."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="reject")

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self.clock = clock
        self.told: dict[tuple[str, str, int], float] = {}
        """Who is told of, and when that was said last (monotonic seconds)."""

    def on_start(self) -> None:
        self.ctx.tell("desk", Recover())
        self.ctx.timer("look", 0.0, Look())

    def on_receive(self, message: object) -> object:
        if isinstance(message, Look):
            self.look()
        return None

    def look(self) -> None:
        """Tell the desk of everything that is due, and when it is to have us look again."""
        now, mono = self.clock(), self.ctx.now()
        self.ctx.timer("look", REPEAT_SECONDS, Look())  # should the store not be readable now
        limit = PAGE + len(self.told)
        due = ask_store(self.ctx, Due(now, limit))
        timers = dict.fromkeys((row["thread"], row["name"], row["due"]) for row in due)
        self.told = {timer: at for timer, at in self.told.items() if timer in timers}
        for timer in timers:
            if mono - self.told.get(timer, -math.inf) >= REPEAT_SECONDS:
                self.told[timer] = mono
                self.ctx.tell("desk", Ticked(*timer))
        following = ask_store(self.ctx, NextDue(after=now))
        if following is not None:
            self.ctx.tell("desk", Looked(following))
        self.ctx.timer("look", self.pause(more=len(due) == limit), Look())

    def pause(self, *, more: bool) -> float:
        """Seconds until it looks of itself: for what was told of, and for ``more`` of a flood."""
        seconds = FLOOD_SECONDS if more else LONGEST_SECONDS
        if self.told:
            repeated = min(self.told.values()) + REPEAT_SECONDS
            seconds = min(seconds, max(0.0, repeated - self.ctx.now()))
        return seconds
