"""What waits to be sent to a person through a channel, and the next attempt (P18). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from covend.actors.runs.messages import Notice

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0


@dataclass(slots=True)
class Outbox:
    """One channel of one person: one message is under way at most, what comes meanwhile waits.

    | it is | a notice comes | it was sent | it failed | the pause is over |
    |---|---|---|---|---|
    | idle | sends it | | | |
    | sending | keeps it | sends what it kept | keeps all, pauses | |
    | pausing | keeps it | | | sends all as one |
    """

    waiting: dict[str, Notice] = field(default_factory=dict[str, Notice])
    under_way: dict[str, Notice] = field(default_factory=dict[str, Notice])
    failures: int = 0
    pausing: bool = False

    def put(self, notice: Notice) -> None:
        """Keep a notice; a task that was withdrawn before its person read of it is left out."""
        earlier = self.waiting.pop(notice.task, None)
        if notice.happening == "withdrawn" and is_new(earlier):
            return
        self.waiting[notice.task] = merged(earlier, notice)

    def take(self) -> tuple[Notice, ...]:
        """What is to be sent now: nothing while a message is under way, or in a pause."""
        if self.pausing or self.under_way:
            return ()
        self.waiting, self.under_way = {}, self.waiting
        return tuple(self.under_way.values())

    def sent(self) -> tuple[Notice, ...]:
        """The message under way arrived."""
        sent, self.under_way = tuple(self.under_way.values()), {}
        self.failures = 0
        return sent

    def failed(self) -> float:
        """The channel did not take it: keep it; returns for how many seconds to pause.

        Each time twice as long, up to ``LONGEST_PAUSE_SECONDS``.
        """
        newer, self.waiting, self.under_way = self.waiting, self.under_way, {}
        for notice in newer.values():
            self.put(notice)
        self.pausing = True
        self.failures += 1
        return min(FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)

    def resume(self, still: Callable[[Notice], bool]) -> tuple[Notice, ...]:
        """The pause is over; returns what nobody needs to be told of any more."""
        self.pausing = False
        over = tuple(notice for notice in self.waiting.values() if not still(notice))
        for notice in over:
            del self.waiting[notice.task]
        return over

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self.waiting and not self.under_way


def merged(earlier: Notice | None, later: Notice) -> Notice:
    """One notice for both; a reminder of what a person was not told of yet stays its first news."""
    if earlier is None:
        return later
    unheard = is_new(earlier) and later.happening == "reminder"
    happening = earlier.happening if unheard else later.happening
    return msgspec.structs.replace(later, happening=happening, ticks=(*earlier.ticks, *later.ticks))


def is_new(notice: Notice | None) -> bool:
    """Whether it is the first that its person hears of a task."""
    return notice is not None and notice.happening in ("assigned", "delegated")
