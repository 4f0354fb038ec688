"""What people are written about their tasks, and what waits to be sent through a channel (P18).

Pure: the herald sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from covend.actors.run_messages import Notice

MAX_LISTED = 20
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0

TITLES = {
    "assigned": "A question for you",
    "reminder": "A question still waits for you",
    "delegated": "A question was passed on to you",
    "withdrawn": "A question needs no answer any more",
}


def title(notices: Sequence[Notice]) -> str:
    """One title for one notice or many."""
    if len(notices) == 1:
        return TITLES[notices[0].happening]
    waiting = sum(notice.happening != "withdrawn" for notice in notices)
    if not waiting:
        return f"{len(notices)} questions need no answer any more"
    return f"{waiting} questions wait for you" if waiting > 1 else "A question waits for you"


def text(
    notices: Sequence[Notice], inbox_url: str | None, question_of: Callable[[Notice], str]
) -> str:
    """What a person reads: each question, until when, and where to answer."""
    if len(notices) == 1:
        return line(notices[0], inbox_url, question_of)
    lines: list[str] = []
    for notice in notices[:MAX_LISTED]:
        over = "needs no answer any more: " if notice.happening == "withdrawn" else ""
        lines.append(f"- {over}{line(notice, inbox_url, question_of)}")
    if len(notices) > MAX_LISTED:
        lines.append(f"and {len(notices) - MAX_LISTED} more")
    return "\n".join(lines)


def line(notice: Notice, inbox_url: str | None, question_of: Callable[[Notice], str]) -> str:
    """One task in a line."""
    due = datetime.fromtimestamp(notice.due / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
    where = f"(task {notice.task})" if not inbox_url else f"{inbox_url.rstrip('/')}#{notice.task}"
    return f"{question_of(notice)} — until {due} {where}"


@dataclass(slots=True)
class Letterbox:
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
        """Nobody took it: keep it; returns the seconds to pause, twice as long each time."""
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
    """One message for both: who is reminded of what they have not heard of hears of it first."""
    if earlier is None:
        return later
    unheard = is_new(earlier) and later.happening == "reminder"
    happening = earlier.happening if unheard else later.happening
    return replace(later, happening=happening, ticks=(*earlier.ticks, *later.ticks))


def is_new(notice: Notice | None) -> bool:
    """Whether it is the first that its person hears of a task."""
    return notice is not None and notice.happening in ("assigned", "delegated")
