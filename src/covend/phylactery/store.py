"""The durable store: records appended in atomic batches, with their projections (D1–D5, P3)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from covend.phylactery import check, portable, purge
from covend.phylactery.canonical import NotCanonical
from covend.phylactery.database import Database, Value
from covend.phylactery.errors import Conflict, StoreCorrupt, StoreError
from covend.phylactery.projections import Orphan, project
from covend.phylactery.records import BadRecord, Record
from covend.phylactery.rows import COLUMNS, INSERT, Entry, NewRow, from_row, to_purged_row, to_row
from covend.phylactery.schema import (
    JOB_TABLES,
    PROJECTION_TABLES,
    PURGE_TABLES,
    RECORD_TABLES,
    SCHEMA_VERSION,
    TABLES,
)
from covend.phylactery.sqlite import SqliteDatabase
from covend.phylactery.views import NO_LIMIT, Views

PAGE = 1000
"""Rows read at once where all records are looked through."""

REFUSALS = (Conflict, BadRecord, NotCanonical)
Refusal = Conflict | BadRecord | NotCanonical
Outcome = int | Refusal
"""How many records of a chain were new, or why it was not stored to its end."""
Chain = Sequence[Sequence[Record]]
"""Batches that follow each from the one before: where one is refused, the rest is too."""


def open_store(
    where: str | Path,
    *,
    max_pages: int | None = None,
    read_only: bool = False,
    checked: bool = False,
) -> Store:
    """Open or create the store at a path, or at a ``postgresql://`` address (D3).

    Recovers what a crash left (D2). Raises ``StoreCorrupt`` for a damaged one (never replaced,
    never repaired behind your back) and ``StoreError`` for one that cannot be opened, belongs to
    something else or to a newer covend, or has another writer. Use the store from one thread at a
    time. ``max_pages`` bounds the size of a SQLite file. ``checked``: this
    program opened it just before, so its structure is not looked at once more.
    """
    db = connect(where, max_pages=max_pages, read_only=read_only)
    try:
        if not checked:
            _prepare(db, read_only)
    except BaseException:
        db.discard()
        raise
    return Store(db)


class Store(Views):
    """An open store; get one from ``open_store``."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.where = db.where
        self.commits = 0
        self._log_has_purged = True  # for all that is known: a purge may have been cut short

    def append(self, records: Sequence[Record]) -> int:
        """Store the records in one durable transaction, all or none; returns how many were new.

        A record that is there already is passed over (D1). Raises ``Conflict``, ``BadRecord``,
        ``StoreFull`` or ``StoreError``.
        """
        with self._db.transaction():
            last = self._last()
            new = self._store(records, last) - last
        self.commits += 1
        return new

    def append_all(self, chains: Sequence[Chain]) -> list[Outcome]:
        """Store several chains in one durable transaction; says of each how it went.

        A batch that is refused leaves nothing and harms no other chain. Raises ``StoreFull`` or
        ``StoreError`` where nothing could be stored.
        """
        try:
            outcomes = self._store_all(chains)
        except REFUSALS:  # seldom, and known only now: once more, batch by batch
            outcomes = self._store_apart(chains)
        self.commits += 1
        return outcomes

    def query(
        self,
        *,
        kind: str | None = None,
        thread: str | None = None,
        after: int = 0,
        limit: int | None = None,
        newest_first: bool = True,
        damaged: bool = False,
    ) -> list[dict[str, Any]]:
        """Records as plain dicts, ``seq`` greater than ``after``, at most ``limit`` (None: all).

        A record whose body was purged has ``purged`` and an empty body (D4). One that is not what
        was stored has, if ``damaged`` ones are asked for, its ``seq`` and under ``damaged`` what is
        wrong, and nothing else; if not, ``StoreCorrupt`` is raised.
        """
        where = ["seq > ?"]
        values: list[Value] = [after]
        for column, value in (("kind", kind), ("thread", thread)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        values.append(NO_LIMIT if limit is None else max(0, limit))
        order = "DESC" if newest_first else "ASC"
        which = f"FROM record WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?"
        try:
            return [e.as_dict() for e in self._entries(f"SELECT {COLUMNS} {which}", values)]
        except StoreCorrupt:
            if not damaged:
                raise
        places = list(self._db.rows(f"SELECT seq {which}", values))
        return [told for (seq,) in places for told in self._whole_or_damaged(seq)]

    def latest(self, kind: str, thread: str) -> dict[str, Any] | None:
        """The newest record of this kind in this thread, or None."""
        found = self.query(kind=kind, thread=thread, limit=1)
        return found[0] if found else None

    def find(self, name: str) -> dict[str, Any] | None:
        """The record with this id, or None."""
        sql = f"SELECT {COLUMNS} FROM record WHERE id = ?"
        found = self._entries(sql, [name])
        return found[0].as_dict() if found else None

    def clock_of(self, name: str) -> int | None:
        """The clock of the record with this id, or None if it is not here."""
        row = self._db.first("SELECT clock FROM record WHERE id = ?", (name,))
        return row[0] if row else None

    def entries(self, thread: str | None = None) -> Iterator[Entry]:
        """Every record, of one thread if given, in the order of appending, page by page."""
        after = 0
        which, values = "seq > ?", ()
        if thread is not None:
            # Their places are found first, so that no bodies are put in order.
            which = "seq IN (SELECT seq FROM record WHERE thread = ? AND seq > ?)"
            values = (thread,)
        sql = f"SELECT {COLUMNS} FROM record WHERE {which} ORDER BY seq LIMIT {PAGE}"
        while True:
            page = self._entries(sql, (*values, after))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def intact(self) -> list[Entry]:
        """Every record that can still be read unharmed, from both ends of a damaged file.

        In the order of appending. A purged one is taken at its word, having no body to check.
        """
        found: dict[int, Entry] = {}
        for order in ("ASC", "DESC"):
            sql = f"SELECT {COLUMNS} FROM record ORDER BY seq {order}"
            try:
                for row in self._db.rows(sql):
                    with suppress(ValueError):
                        entry = from_row(row)
                        found[entry.seq] = entry
            except StoreError:
                continue  # this end stops at the damage; the other one may reach further
        return [found[seq] for seq in sorted(found)]

    def verify(self) -> list[str]:
        """Everything that is wrong: hashes, parents, clocks, gaps and projections (D5).

        Reads the whole store, as it is at this moment. An empty list means that all is well.
        """
        with self._db.snapshot():
            return check.problems(self._db, self.entries())

    def rebuild(self) -> None:
        """Write every projection anew from the records, in one transaction (D5)."""
        with self._db.transaction():
            check.rebuild(self._db, self.entries())

    def purge(self, before: int, limit: int = purge.BATCH) -> int:
        """Empty the working records of runs that ended before this clock, and of their jobs (D4).

        Returns how many: one durable transaction of about ``limit``; 0 means that none is left, and
        that what was emptied is overwritten, unless somebody reads meanwhile: then by the next
        purge, or the close.
        """
        if not purge.due(self._db, before, 1):
            self._log_has_purged = self._log_has_purged and not self._db.overwrite()
            return 0
        with self._db.transaction():
            emptied = purge.batch(self._db, before, time.time_ns() // 1000, limit)
        self._log_has_purged = True
        self.commits += 1
        return emptied

    def export(self, thread: str, *, children: bool = False) -> Iterator[str]:
        """A thread as lines of JSON, one a record, with its child threads if asked for (D5).

        Raises ``StoreError`` if there is no such thread. Nothing can be written by this store
        until all lines are read.
        """
        with self._db.snapshot():
            yield from portable.export(self, thread, children=children)

    def import_(self, lines: Iterable[str], *, trust: bool = False) -> int:
        """Store what ``export`` wrote, all or nothing; returns how many records were new (D5).

        Each line is stored before the next one is taken, so that no more than one is held.
        ``trust``: an open run may bring along commands and names of secrets that this box will use.
        Raises ``BadRecord`` naming the line that was changed, that no export of a run has, whose
        parents are missing, or after which the rest was cut off, and ``Conflict`` where the thread
        went on differently here.
        """
        return self._take_over(portable.read(self, lines, trust=trust), orphans=False)

    def restore(self, entries: Sequence[Entry]) -> int:
        """Store records of another store, also where the thread they belong to lost its intend."""
        return self._take_over(entries, orphans=True)

    def close(self) -> None:
        """Close; safe to call twice."""
        self._db.close()

    def discard(self) -> None:
        """Close, and leave no store behind where there was none before it was opened."""
        self._db.discard()

    # ── writing and reading rows ─────────────────────────────────────────────────────────────

    def _store_all(self, chains: Sequence[Chain]) -> list[Outcome]:
        """Store all batches of all chains; the first refusal is raised, and undoes everything."""
        outcomes: list[Outcome] = []
        with self._db.transaction():
            last = self._last()
            for chain in chains:
                before = last
                for batch in chain:
                    last = self._store(batch, last)
                outcomes.append(last - before)
        return outcomes

    def _store_apart(self, chains: Sequence[Chain]) -> list[Outcome]:
        """Store each batch for itself; one that is refused is undone alone, and ends its chain."""
        outcomes: list[Outcome] = []
        with self._db.transaction():
            last = self._last()
            for chain in chains:
                before = last
                try:
                    for batch in chain:
                        with self._db.savepoint():
                            last = self._store(batch, last)
                except REFUSALS as refusal:
                    outcomes.append(refusal)
                else:
                    outcomes.append(last - before)
        return outcomes

    def _last(self) -> int:
        """The ``seq`` of the last record, 0 if there is none."""
        row = self._db.first("SELECT max(seq) FROM record")
        return (row[0] if row else None) or 0

    def _store(self, batch: Sequence[Record], last: int) -> int:
        """Store a batch after the record ``last``; returns which is the last one then."""
        return self._write(
            [(to_row(record), Entry(0, record, False)) for record in batch],
            last,
        )

    def _take_over(self, entries: Iterable[Entry], *, orphans: bool) -> int:
        """Store another store's records as they come, purged ones too, in one transaction."""
        purged: set[str] = set()

        def rows() -> Iterator[tuple[NewRow, Entry]]:
            for entry in entries:
                if entry.purged:
                    purged.add(entry.record.thread)
                yield (to_purged_row if entry.purged else to_row)(entry.record), entry

        with self._db.transaction():
            last = self._last()
            new = self._write(rows(), last, orphans=orphans) - last
            for thread in purged:
                purge.mark(self._db, thread, time.time_ns() // 1000)
        self.commits += 1
        return new

    def _write(
        self, rows: Iterable[tuple[NewRow, Entry]], last: int, *, orphans: bool = False
    ) -> int:
        """Insert the rows that are new and project their records; inside a transaction.

        Returns the ``seq`` of the last record, which was ``last`` before.
        """
        seq = last
        for row, entry in rows:
            if not self._db.change(INSERT, (seq + 1, *row)):
                continue
            seq += 1
            if entry.purged:
                continue
            try:
                project(self._db, seq, entry.record)
            except Orphan:
                if not orphans:
                    raise
        return seq

    def _whole_or_damaged(self, seq: int) -> list[dict[str, Any]]:
        try:
            rows = self._db.rows(f"SELECT {COLUMNS} FROM record WHERE seq = ?", [seq])
            return [from_row(row).as_dict() for row in rows]
        except StoreCorrupt as error:
            return [{"seq": seq, "damaged": error.detail}]
        except ValueError as error:
            return [{"seq": seq, "damaged": str(error)}]

    def _entries(self, sql: str, values: Sequence[Value]) -> list[Entry]:
        """The records of a query, each compared with its id."""
        found: list[Entry] = []
        for row in self._db.rows(sql, values):
            try:
                found.append(from_row(row))
            except ValueError as error:
                raise StoreCorrupt(self.where, f"record {row[0]}: {error}") from error
        return found


def is_dsn(where: str | Path) -> bool:
    """True for a PostgreSQL address, false for a path."""
    return str(where).startswith(("postgresql://", "postgres://"))


def connect(
    where: str | Path, *, max_pages: int | None = None, read_only: bool = False
) -> Database:
    """A connection to what is at this path or address, whatever that is; see ``open_store``."""
    if not is_dsn(where):
        return SqliteDatabase(where, max_pages=max_pages, read_only=read_only)
    try:
        # Only here: psycopg is an extra, and a box on SQLite need not have it.
        from covend.phylactery.postgres import PostgresDatabase
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs psycopg ({error}): pip install '.[postgres]' in covend's source "
            "folder"
        ) from error
    return PostgresDatabase(str(where), read_only=read_only)


def _prepare(db: Database, read_only: bool) -> None:
    """Create the tables of an empty store, check those of another, add what an older one lacks."""
    version = db.version()
    if version not in (None, 1, 2, SCHEMA_VERSION) or (read_only and version != SCHEMA_VERSION):
        held = "no covend store" if version is None else f"store version {version}"
        raise StoreError(f"{db.where} has {held}; this covend knows {SCHEMA_VERSION}")
    if version is None:
        with db.transaction():
            db.create(TABLES, SCHEMA_VERSION)
    elif version == 1:
        db.check(RECORD_TABLES)
        with db.transaction():
            db.create({**PURGE_TABLES, **PROJECTION_TABLES}, SCHEMA_VERSION)
            check.rebuild(db, Store(db).entries())
    elif version == 2:
        db.check({name: table for name, table in TABLES.items() if name not in JOB_TABLES})
        with db.transaction():
            db.create(JOB_TABLES, SCHEMA_VERSION)  # empty: no job of then names its run
    else:
        db.check(TABLES)
