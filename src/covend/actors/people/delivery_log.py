"""The account of whom new tasks and reminders were told to, kept in records (P4, P18).

A person has to be told of a task from the moment its ``call`` is durable, of a reminder from the
moment its tick is. What becomes of each of them, for each person:

| it is | kept as | becomes |
|---|---|---|
| unheard of | its ``call`` or tick in the store | being told: a notice came, or a look found it |
| being told | ``heard`` | told: a channel took it, or nobody need hear it any more |
| told | ``told``, and ``news`` until a record has it | below the mark: all before it is told, too |
| below the mark | the mark alone, which is a ``seq`` | |

What was being told when a core died, or was told and not recorded, is unheard of for the next one.
So that may tell somebody twice, and never leaves anybody out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from covend.actors.people.inbox import parse_task, task_id
from covend.actors.people.outbox import is_new
from covend.actors.runs.legible import intact, legible
from covend.actors.runs.messages import Happening, Notice
from covend.patterns.rounds import reminder_of
from covend.patterns.state import call_id_of
from covend.phylactery.messages import Append, Query, Tasks
from covend.phylactery.records import record
from covend.questions import WAITING
from covend.resolving import resolved
from covend.runtime import Context, ReplyError

THREAD = "herald"
SOON_SECONDS = 1.0
FEW = 200
LISTED = 500
MARK_EVERY = 10_000
"""So many records after the last mark, one is stored even if nobody was told of anything since: the
next core need not look for ticks among all of these."""

Told: TypeAlias = tuple[str, str]
"""A task, or a reminder of it (``TASK@DUE``), and a person: whom it was told."""


@dataclass(frozen=True, slots=True)
class Look:
    """A timer's message: compare who was told with who should be; a ``whole`` look at all."""

    whole: bool


class Mark(msgspec.Struct, frozen=True):
    """The body of a ``told`` record.

    Every task up to ``seq`` was told and every reminder whose tick is up to ``ticks``, and these
    ``tasks`` and reminders above it.
    """

    seq: int
    ticks: int
    tasks: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """A row of a task that waits, and what nobody heard of it; ``ticks`` as in ``Notice``."""

    row: dict[str, Any]
    happening: Happening
    ticks: tuple[int, ...] = ()


class Account:
    """Who was told of what. Reads through ``ask``, which asks the store; in the herald's thread.

    After ``was_told`` a ``Look`` comes to the actor soon.
    """

    def __init__(self, ctx: Context, ask: Callable[[object], Any]) -> None:
        self.ctx = ctx
        self.ask = ask
        self.marked = 0
        """The ``seq`` up to which every task was told to its person; what follows is above it."""
        self.ticks_marked = 0
        """The same of reminders, by the ``seq`` of their ticks."""
        self.ticks_read = 0
        """The last tick that was looked at."""
        self.reminders: dict[Told, int] = {}
        """The reminders above the mark that were looked at, by the ``seq`` of their ticks."""
        self.heard: set[Told] = set()
        self.told: set[Told] = set()
        self.news: list[Told] = []
        """What is in ``told`` and in no record yet."""

    def is_news(self, did: str, notice: Notice) -> bool:
        """Whether a person has to be told of it; from now on they are being told."""
        new = {(name, did) for name in names_of(notice)} - self.heard - self.told
        self.heard |= new
        return bool(new)

    def was_told(self, did: str, notice: Notice) -> None:
        """Count what a notice is about as told: a channel took it, or nobody need hear it."""
        self.count((notice.task, did))
        for name in names_of(notice):
            self.count((name, did))

    def count(self, whom: Told) -> None:
        """One that was being told is told; any other is left as it is."""
        if whom in self.heard and whom not in self.told:
            self.told.add(whom)
            if not self.news:
                self.ctx.timer("mark", SOON_SECONDS, Look(whole=False))
            self.news.append(whom)

    def recall(self) -> None:
        """Read back who was told; where that cannot be read, who waits is told once more (P18)."""
        newest = self.ask(Query(kind="told", thread=THREAD, limit=1, damaged=True))
        marks = legible(self.ctx, newest, as_mark)
        if newest and not marks:
            every = self.ask(Query(kind="told", thread=THREAD, damaged=True))
            marks = legible(self.ctx, every, as_mark)
        if marks:
            self.marked, self.ticks_marked = marks[0].seq, marks[0].ticks
        self.ticks_read = self.ticks_marked
        after = min(self.marked, self.ticks_marked)
        query = Query(kind="told", thread=THREAD, after=after, damaged=True)
        for mark in legible(self.ctx, self.ask(query), as_mark):
            self.told.update(mark.tasks)

    def look(self, whole: bool) -> list[Missed]:
        """Store who was told; returns the tasks and reminders that are unheard of (P4).

        Raises ``ReplyError`` where the store cannot be read; the next look finds the same.
        """
        upto, told, missed = self.look_at_tasks(whole)
        try:
            ticks, reminded, late = self.look_at_ticks(whole)
        except ReplyError:
            self.ticks_read = self.ticks_marked
            self.reminders.clear()
            raise
        covered = told | reminded
        self.mark(upto, ticks, [whom for whom in self.news if whom not in covered])
        self.told -= covered
        self.heard -= covered
        return missed + late

    def look_at_tasks(self, whole: bool) -> tuple[int, set[Told], list[Missed]]:
        """Up to where every task was told, which these are, and the tasks nobody heard of."""
        rows = self.ask(Tasks(after=self.marked, limit=None if whole else FEW))
        upto = rows[-1]["seq"] if rows else self.marked
        if not whole and len(rows) == FEW:
            upto -= 1  # its record may have made more tasks
        missed: list[Missed] = []
        for row in rows:
            whom = (task_of(row), row["did"])
            if row["state"] == "open" and whom not in self.told:
                upto = min(upto, row["seq"] - 1)
                if whom not in self.heard:
                    happening = "delegated" if self.stands_in(row) else "assigned"
                    missed.append(Missed(row, happening))
        covered = {(task_of(row), row["did"]) for row in rows if row["seq"] <= upto}
        return upto, covered, missed

    def stands_in(self, row: dict[str, Any]) -> bool:
        """Whether somebody was asked before, in whose place this person is."""
        rows = self.ask(Tasks(thread=row["thread"]))
        return any(call_id_of(one) == call_id_of(row) and one["seq"] < row["seq"] for one in rows)

    def look_at_ticks(self, whole: bool) -> tuple[int, set[Told], list[Missed]]:
        """Up to where every reminder was told, which these are, and those nobody heard of (P18)."""
        if whole:
            self.settle_reminders()
        late: list[Missed] = []
        while True:
            query = Query(
                kind="tick", after=self.ticks_read, limit=FEW, newest_first=False, damaged=True
            )
            ticks = self.ask(query)
            for entry in ticks:
                for tick in intact(self.ctx, [entry]):
                    late += self.reminded(tick)
                self.ticks_read = entry["seq"]
            if not whole or len(ticks) < FEW:
                break
        owed = [seq for whom, seq in self.reminders.items() if whom not in self.told]
        upto = min(owed, default=self.ticks_read + 1) - 1
        covered = {whom for whom, seq in self.reminders.items() if seq <= upto}
        for whom in covered:
            del self.reminders[whom]
        return upto, covered, late

    def reminded(self, entry: dict[str, Any]) -> list[Missed]:
        """Note whom a tick reminds, if it is one that does; returns those who never heard of it."""
        call, due = call_reminded(entry["body"])
        late: list[Missed] = []
        for row in self.ask(Tasks(thread=entry["thread"])) if call else ():
            whom = (reminder(task_of(row), due), row["did"])
            if call_id_of(row) != call or row["seq"] > entry["seq"]:
                continue  # who was asked since then was told by that
            if row["state"] not in WAITING:
                self.heard.discard(whom)
                self.told.discard(whom)
                continue
            self.reminders[whom] = entry["seq"]
            if whom not in self.told and whom not in self.heard:
                late.append(Missed(row, "reminder", (due,)))
        return late

    def reminded_since(self, task: str, clock: int) -> bool:
        """Whether a reminder of the task fell due, by the store, at that clock or later."""
        thread, call = parse_task(task) or ("", "")
        ticks = intact(self.ctx, self.ask(Query(kind="tick", thread=thread, damaged=True)))
        return any(
            call_reminded(tick["body"])[0] == call and tick["clock"] >= clock for tick in ticks
        )

    def settle_reminders(self) -> None:
        """Whose task waits no more need not be reminded of it."""
        owed = [whom for whom in self.reminders if whom not in self.told]
        for did in {did for _, did in owed}:
            states = self.states(did)
            for whom in owed:
                if whom[1] == did and task_reminded(whom[0]) not in states:
                    self.count(whom)

    def mark(self, upto: int, ticks: int, above: list[Told]) -> None:
        """Store that all were told up to here, and these above it: the next core tells the others.

        Of many only some at a time, so that no record grows without bound.
        """
        fresh = bool(self.news)
        listed, self.news = above[:LISTED], above[LISTED:]
        if self.news:
            self.ctx.timer("mark", SOON_SECONDS, Look(whole=False))
        if not fresh and upto <= self.marked and ticks < self.ticks_marked + MARK_EVERY:
            return
        self.marked, self.ticks_marked = max(self.marked, upto), max(self.ticks_marked, ticks)
        body = {
            "seq": self.marked,
            "ticks": self.ticks_marked,
            "tasks": [list(whom) for whom in listed],
        }
        entry = record(THREAD, "told", body, actor="herald", act="PUT")
        self.ctx.tell("phylactery", Append([entry]))

    def states(self, did: str) -> dict[str, str]:
        """A person's tasks that wait, and whether they were accepted."""
        rows = [row for state in WAITING for row in self.ask(Tasks(did=did, state=state))]
        return {task_of(row): row["state"] for row in rows}


def as_mark(entry: dict[str, Any]) -> Mark:
    """What a ``told`` record says; raises ``msgspec.ValidationError``.

    One without ``ticks`` was written before reminders were accounted for: those before it count as
    told.
    """
    return msgspec.convert({"ticks": entry["seq"], **entry["body"]}, resolved(Mark))


def task_of(row: dict[str, Any]) -> str:
    """The name of the task in this row of the store."""
    return task_id(row["thread"], call_id_of(row))


def reminder(task: str, due: int) -> str:
    """What a reminder is called in the account of who was told.

    >>> task_reminded(reminder("q-1~primary~0~1", 5))
    'q-1~primary~0~1'
    """
    return f"{task}@{due}"


def task_reminded(name: str) -> str:
    """The task that a reminder is of."""
    return name.rpartition("@")[0]


def call_reminded(body: dict[str, Any]) -> tuple[str, int]:
    """The call whose person a tick reminds, and when it was due; an empty name for any other tick.

    >>> call_reminded({"name": "remind:primary/0#1:50", "due": 7})
    ('primary/0#1', 7)
    """
    name, due = body.get("name"), body.get("due")
    if not isinstance(name, str) or not isinstance(due, int):
        return "", 0
    return reminder_of(name), due


def names_of(notice: Notice) -> list[str]:
    """What a notice is called in the account of who was told: as a new task, as reminders of it."""
    names = [notice.task] if is_new(notice) else []
    return names + [reminder(notice.task, due) for due in notice.ticks]
