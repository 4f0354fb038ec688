"""Reading the projections: threads, tasks, open calls and timers as plain data (P4, P6, P18)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covend.phylactery.database import Database, Value
from covend.phylactery.schema import RUN_ACTS

NO_LIMIT = 2**62

_THREAD = ("seq", "id", "intend", "state", "opened", "ended", "parent", "pattern", "know")
_TASK = ("seq", "thread", "slot", "attempt", "did", "state", "due", "opened")
_CALL = ("seq", "thread", "slot", "attempt", "call", "responder", "due", "key")
_TIMER = ("thread", "name", "due")


class Views:
    """What is open, due and asked. Pages go by ``seq``: pass the last one seen as ``after``."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def threads(
        self,
        *,
        state: str | None = None,
        parent: str | None = None,
        after: int = 0,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[dict[str, Any]]:
        """Runs, oldest first: ``id``, ``state`` (``open`` or ``ended``), clocks, ``parent``, …"""
        wanted = {"state": state, "parent": parent}
        if newest_first:
            return self._page("thread", _THREAD, wanted, 0, limit, "seq < ?", after or NO_LIMIT)
        return self._page("thread", _THREAD, wanted, after, limit)

    def unfinished(self, kinds: Sequence[str]) -> list[str]:
        """Open runs whose last record is of one of these kinds, oldest first (P4).

        Of their own records: a join's other members may come after its ``intend``.
        """
        marks, own = (", ".join("?" * len(names)) for names in (kinds, RUN_ACTS))
        rows = self._db.rows(
            "SELECT id FROM thread WHERE state = 'open' AND (SELECT kind FROM record"
            f" WHERE record.thread = thread.id AND record.kind IN ({own})"
            f" ORDER BY seq DESC LIMIT 1) IN ({marks}) ORDER BY seq",
            [*RUN_ACTS, *kinds],
        )
        return [str(row[0]) for row in rows]

    def thread(self, name: str) -> dict[str, Any] | None:
        """One run, or None."""
        found = self._page("thread", _THREAD, {"id": name}, 0, 1)
        return found[0] if found else None

    def family(self, name: str) -> list[str]:
        """A thread and the runs below it, each once, whatever their records say of each other."""
        found = {name: None}
        below = [name]
        while below:
            young = [child["id"] for child in self.threads(parent=below.pop())]
            below += [child for child in young if child not in found]
            found |= dict.fromkeys(young)
        return list(found)

    def tasks(
        self,
        *,
        did: str | None = None,
        state: str | None = None,
        after: int = 0,
        limit: int | None = None,
        thread: str | None = None,
    ) -> list[dict[str, Any]]:
        """The human inbox, oldest first; ``state`` is open, accepted, submitted, declined,
        expired or withdrawn.
        """
        wanted = {"did": did, "state": state, "thread": thread}
        return self._page("task", _TASK, wanted, after, limit)

    def open_calls(
        self, *, thread: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Calls without their answer in runs that go on, oldest first (P4).

        ``call`` is the record's id, ``responder`` the kind that was asked, ``key`` the
        idempotency key, ``due`` the deadline.
        """
        return self._page("attempt", _CALL, {"thread": thread}, after, limit, "open = 1")

    def due(self, now: int, limit: int | None = None) -> list[dict[str, Any]]:
        """Timers whose time has come (microseconds), earliest first."""
        rows = self._db.rows(
            "SELECT thread, name, due FROM timer WHERE due <= ? ORDER BY due, thread, name LIMIT ?",
            (now, _bound(limit)),
        )
        return [dict(zip(_TIMER, row, strict=True)) for row in rows]

    def next_due(self, after: int = 0) -> int | None:
        """When the earliest timer is due that is due after this clock, or None."""
        row = self._db.first("SELECT min(due) FROM timer WHERE due > ?", (after,))
        return row[0] if row else None

    def _page(
        self,
        table: str,
        columns: tuple[str, ...],
        wanted: dict[str, str | None],
        after: int,
        limit: int | None,
        condition: str = "seq > 0",
        before: int | None = None,
    ) -> list[dict[str, Any]]:
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join([condition, "seq > ?", *(f"{column} = ?" for column in given)])
        start: list[Value] = [after] if before is None else [before, after]
        values = [*start, *given.values(), _bound(limit)]
        order = "seq" if before is None else "seq DESC"
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"
        return [dict(zip(columns, row, strict=True)) for row in self._db.rows(sql, values)]


def _bound(limit: int | None) -> int:
    return NO_LIMIT if limit is None else max(0, limit)
