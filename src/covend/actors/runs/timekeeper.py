"""The timekeeper: knows when the store's next timer is due, and says so to the desk, never early.

A timer is told of again until it is gone from the store: the run that it is for may have died with
the message.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from covend.actors.asking_store import ask_store
from covend.actors.runs.messages import Recover, Ticked, TimerSet
from covend.actors.runs.story import wall_clock
from covend.phylactery.messages import Due, NextDue
from covend.runtime import Actor, MailboxSpec, Message

LONGEST_SECONDS = 30.0
"""The wall clock may be set: however far the next timer is, it is looked at again after this."""
REPEAT_SECONDS = 10.0
PAGE = 500
"""New timers told of at once: the rest of a flood follows, and what stays holds up nothing."""
FLOOD_SECONDS = 0.25
"""After a whole page of them, the next one comes after this."""


class Look(Message, frozen=True):
    """See what is due now."""


class Timekeeper(Actor):
    """Wakes parked runs (P6, P20). It starts last, and tells the desk that all are there."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="reject")

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self.clock = clock
        self.next: int | None = None
        """When the next timer is due that was not told of."""
        self.told: dict[tuple[str, str, int], float] = {}

    def on_start(self) -> None:
        self.ctx.tell("desk", Recover())
        self.ctx.timer("look", 0.0, Look())

    def on_receive(self, message: object) -> object:
        match message:
            case TimerSet(due=due):
                if self.next is None or due < self.next:
                    self.next = due
                    self.arm()
            case Look():
                self.look()
            case _:
                pass
        return None

    def look(self) -> None:
        """Tell the desk of everything that is due, and wait for the next."""
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
        if len(due) == limit:
            self.next = now + round(FLOOD_SECONDS * 1e6)
        else:
            self.next = ask_store(self.ctx, NextDue(after=now))
        self.arm()

    def arm(self) -> None:
        """Look again when a timer is due, and when one that was told of has to be repeated."""
        seconds = LONGEST_SECONDS
        if self.next is not None:
            seconds = min(seconds, max(0.0, (self.next - self.clock()) / 1e6))
        if self.told:
            repeated = min(self.told.values()) + REPEAT_SECONDS
            seconds = min(seconds, max(0.0, repeated - self.ctx.now()))
        self.ctx.timer("look", seconds, Look())
