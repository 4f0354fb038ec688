"""A run's thread as its only writer sees it: which record comes next, after which (P1).

Pure but for the clock it is given. Every record has the one before it as its parent, and a clock
that is never before its parent's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from covend.patterns.step import Draft, Entry
from covend.phylactery.records import Record, record
from covend.phylactery.schema import RUN_ACTS


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Story:
    """The end of one run's thread, and the records that go on from it."""

    def __init__(self, thread: str, clock: Callable[[], int] = wall_clock) -> None:
        self.thread = thread
        self.now = clock
        self.last: str | None = None
        self.clock = 0

    def read(self, records: Iterable[dict[str, Any]]) -> list[Entry]:
        """The run's own records among these, oldest first, for a replay; goes on after the last."""
        found: list[Entry] = []
        for entry in records:
            if entry["kind"] in RUN_ACTS:
                found.append(Entry(entry["kind"], entry["body"], entry["clock"]))
                self.last, self.clock = entry["id"], max(self.clock, entry["clock"])
        return found

    def add(self, kind: str, body: dict[str, Any], at_least: int = 0) -> Record:
        """The next record, with a clock of ``at_least`` this."""
        clock = max(self.now(), self.clock + 1, at_least)
        made = record(
            self.thread,
            kind,
            body,
            actor="execution",
            act=RUN_ACTS[kind],
            clock=clock,
            parents=[self.last] if self.last else [],
        )
        self.last, self.clock = made.id, clock
        return made

    def add_all(self, drafts: Iterable[Draft]) -> list[Record]:
        """The records of these drafts, in their order."""
        return [self.add(draft.kind, draft.body) for draft in drafts]
