"""The durable store: one SQLite file of records, appended in atomic batches (D1, D2)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from covend.phylactery.canonical import canonical, parse
from covend.phylactery.records import BadRecord, Record, as_dict, content_id, parse_body

log = logging.getLogger(__name__)

APPLICATION_ID = 0x436F7645  # "CovE"
SCHEMA_VERSION = 1
FULL_CHECK_BYTES = 64 * 1024 * 1024
"""Files up to this size are checked in full when opened; larger ones only for their structure."""

# Invariants of ``record``:
# - a row is never changed or deleted; ``seq`` is the order of appending, without gaps;
# - ``id`` is the sha256 of the row's content without ``seq`` (records.content_id), so a row that
#   was damaged is recognised when it is read;
# - ``body`` is a canonical JSON object, ``parents`` a canonical JSON array of ids.
SCHEMA = {
    "record": """CREATE TABLE record (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  thread TEXT NOT NULL,
  actor TEXT NOT NULL,
  act TEXT NOT NULL,
  kind TEXT NOT NULL,
  clock INTEGER NOT NULL,
  body TEXT NOT NULL,
  parents TEXT NOT NULL
) STRICT""",
    "record_id": "CREATE UNIQUE INDEX record_id ON record (id)",
    "record_thread": "CREATE INDEX record_thread ON record (thread, kind, seq)",
    "record_kind": "CREATE INDEX record_kind ON record (kind, seq)",
}

COLUMNS = "seq, id, thread, actor, act, kind, clock, body, parents"
INSERT = (
    "INSERT INTO record (id, thread, actor, act, kind, clock, body, parents)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)

Row = tuple[int, str, str, str, str, str, int, str, str]


class StoreError(Exception):
    """The store could not do what was asked; nothing of the batch was stored."""


class StoreFull(StoreError):
    """The disk (or the file's page limit) is full; nothing of the batch was stored."""


class StoreCorrupt(StoreError):
    """The file is damaged; it was left untouched, and the message says how to rescue it."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path} is damaged: {detail}. It was left as it is. To copy every intact record into "
            f"a new file: python -m covend.phylactery salvage {path} NEW_FILE"
        )
        self.path = path
        self.detail = detail


def version_problem(version: tuple[int, int, int]) -> str | None:
    """What is wrong with this SQLite version, or None.

    3.7.0 to 3.51.2 can corrupt a WAL database when two connections write or checkpoint at the
    same instant as the WAL is reset. One writer with one connection, as here, cannot meet it, so
    it is a warning; without STRICT tables (before 3.37) the store cannot work at all.
    """
    if version < (3, 37, 0):
        raise StoreError(
            f"SQLite {'.'.join(map(str, version))} is too old: 3.37 or later is needed"
        )
    if version <= (3, 51, 2):
        return (
            f"SQLite {'.'.join(map(str, version))} has the WAL-reset bug (fixed in 3.51.3): "
            "let no other program write this database"
        )
    return None


def open_store(path: str | Path, *, max_pages: int | None = None) -> Store:
    """Open or create the store at ``path``; recover what a crash left in its WAL (D2).

    Raises ``StoreCorrupt`` for a damaged file (never replaced, never repaired behind your back)
    and ``StoreError`` for one that cannot be opened, belongs to something else or to a newer
    covend. Use the store from one thread at a time. ``max_pages`` bounds the file's size.
    """
    problem = version_problem(sqlite3.sqlite_version_info)
    if problem:
        log.warning(problem)
    path = Path(path)
    try:
        # The simulated runtime may run one actor on several threads, one at a time.
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _error(path, error) from error
    try:
        store = Store(path, db)
        store.prepare(max_pages)
    except BaseException:
        db.close()
        raise
    return store


class Store:
    """An open store; get one from ``open_store``."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self.commits = 0
        self._db = db

    def prepare(self, max_pages: int | None = None) -> None:
        """Set the durability pragmas, check the file, create the tables of an empty one."""
        try:
            self._check_owner()
            mode = self._one("PRAGMA journal_mode=WAL")
            if mode != "wal":
                raise StoreError(f"{self.path}: write-ahead logging is not possible here ({mode})")
            self._db.execute("PRAGMA synchronous=FULL")
            if max_pages is not None:
                self._db.execute(f"PRAGMA max_page_count={int(max_pages)}")
            self._check_content()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _error(self.path, error) from error

    def append(self, records: Sequence[Record]) -> int:
        """Store the records in one durable transaction, all or none; returns how many were new.

        A record that is there already is passed over (D1). Raises ``StoreFull`` or ``StoreError``.
        """
        return self.append_all([records])[0]

    def append_all(self, batches: Sequence[Sequence[Record]]) -> list[int]:
        """Store several batches in one durable transaction; returns how many of each were new."""
        rows = [[_to_row(record) for record in batch] for batch in batches]
        new: list[int] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for batch in rows:
                    before = self._db.total_changes
                    self._db.executemany(INSERT, batch)
                    new.append(self._db.total_changes - before)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _error(self.path, error) from error
        self.commits += 1
        return new

    def query(
        self,
        *,
        kind: str | None = None,
        thread: str | None = None,
        after: int = 0,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[dict[str, Any]]:
        """Records as plain dicts, ``seq`` greater than ``after``, at most ``limit`` (None: all).

        Raises ``StoreCorrupt`` if one of them is not what was stored.
        """
        where = ["seq > ?"]
        values: list[object] = [after]
        for column, value in (("kind", kind), ("thread", thread)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        order = "DESC" if newest_first else "ASC"
        sql = (
            f"SELECT {COLUMNS} FROM record WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?"
        )
        return [
            as_dict(record, seq)
            for seq, record in self._rows(sql, (*values, -1 if limit is None else max(0, limit)))
        ]

    def latest(self, kind: str, thread: str) -> dict[str, Any] | None:
        """The newest record of this kind in this thread, or None."""
        found = self.query(kind=kind, thread=thread, limit=1)
        return found[0] if found else None

    def verify(self) -> list[str]:
        """Everything that is wrong with the records: hashes, parents, clocks, gaps (D5).

        Reads the whole store. An empty list means that all is well.
        """
        problems: list[str] = []
        clocks: dict[str, int] = {}
        expected = 1
        try:
            for seq, record in self._rows(f"SELECT {COLUMNS} FROM record ORDER BY seq", ()):
                if seq != expected:
                    problems.append(f"records {expected} to {seq - 1} are missing")
                expected = seq + 1
                clocks[record.id] = record.clock
                for parent in record.parents:
                    if parent not in clocks:
                        problems.append(f"record {seq}: its parent {parent} is not before it")
                    elif clocks[parent] >= record.clock:
                        problems.append(f"record {seq}: its clock is not after its parent's")
        except StoreCorrupt as error:
            problems.append(error.detail)
        return problems

    def intact(self) -> Iterator[Record]:
        """Every record that can still be read unharmed, from both ends of a damaged file."""
        seen: set[str] = set()
        for order in ("ASC", "DESC"):
            rows = self._rows(f"SELECT {COLUMNS} FROM record ORDER BY seq {order}", (), skip=True)
            try:
                for _, record in rows:
                    if record.id not in seen:
                        seen.add(record.id)
                        yield record
            except StoreError:
                continue  # this end stops at the damage; the other one may reach further

    def close(self) -> None:
        """Checkpoint and close; safe to call twice."""
        self._db.close()

    # ── checks when opening ──────────────────────────────────────────────────────────────────

    def _check_owner(self) -> None:
        application = self._one("PRAGMA application_id")
        version = self._one("PRAGMA user_version")
        tables = self._one("SELECT count(*) FROM sqlite_schema")
        if tables == 0:
            return
        if application != APPLICATION_ID:
            raise StoreError(
                f"{self.path} is an SQLite file but not a covend store (application id "
                f"{application:#x}, not {APPLICATION_ID:#x}): give another path"
            )
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has store version {version}; this covend knows {SCHEMA_VERSION}"
            )

    def _check_content(self) -> None:
        schema = dict(self._db.execute("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL"))
        if not schema:
            self._create()
            return
        if schema != SCHEMA:
            raise StoreCorrupt(self.path, "its table definitions are not covend's")
        size = self.path.stat().st_size
        check = "integrity_check" if size <= FULL_CHECK_BYTES else "quick_check"
        verdict = self._one(f"PRAGMA {check}(1)")
        if verdict != "ok":
            raise StoreCorrupt(self.path, str(verdict))

    def _create(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.values():
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def _one(self, sql: str) -> Any:
        return self._db.execute(sql).fetchone()[0]

    def _rows(
        self, sql: str, values: Sequence[object], *, skip: bool = False
    ) -> Iterator[tuple[int, Record]]:
        """The records of a query, each compared with its id; ``skip`` passes over damaged ones."""
        try:
            cursor = self._db.execute(sql, tuple(values))
            while (row := cast("Row | None", cursor.fetchone())) is not None:
                try:
                    yield row[0], _from_row(row)
                except ValueError as error:
                    if not skip:
                        raise StoreCorrupt(self.path, f"record {row[0]}: {error}") from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _error(self.path, error) from error


def salvage(damaged: str | Path, into: str | Path) -> tuple[int, str | None]:
    """Copy every intact record of a damaged store into a new file; the damaged one is only read.

    Returns how many were copied and, if the damaged file could not be read to its end, why.
    Raises ``StoreError`` if ``into`` exists or ``damaged`` is not there.
    """
    source, target = Path(damaged), Path(into)
    if target.exists():
        raise StoreError(f"{target} exists: give the path of a new file")
    if not source.exists():
        raise StoreError(f"{source} does not exist")
    copied = 0
    problem: str | None = None
    db = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        old, new = Store(source, db), open_store(target)
        try:
            copied = new.append(list(old.intact()))
            found = old.verify()
            problem = found[0] if found else None
        finally:
            new.close()
    finally:
        db.close()
    return copied, problem


def _to_row(record: Record) -> tuple[str, str, str, str, str, int, str, str]:
    body = canonical(record.body).decode()
    found = content_id(
        record.thread, record.actor, record.act, record.kind, body, record.clock, record.parents
    )
    if found != record.id:
        raise BadRecord(f"record {record.id!r} is not named by its content ({found}): use record()")
    parents = canonical(record.parents).decode()
    return (
        record.id,
        record.thread,
        record.actor,
        record.act,
        record.kind,
        record.clock,
        body,
        parents,
    )


def _from_row(row: Row) -> Record:
    _, id_, thread, actor, act, kind, clock, body, parents_text = row
    if type(clock) is not int or not all(
        isinstance(cast(object, text), str)
        for text in (id_, thread, actor, act, kind, body, parents_text)
    ):
        raise BadRecord("its columns have the wrong types")
    parents = tuple(cast("list[str]", parse(parents_text)))
    if content_id(thread, actor, act, kind, body, clock, parents) != id_:
        raise BadRecord("its content is not what its id names")
    return Record(
        id=id_,
        thread=thread,
        actor=actor,
        act=cast(Any, act),
        kind=kind,
        body=parse_body(body),
        clock=clock,
        parents=parents,
    )


def _error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """SQLite's error as ours: damage, a full disk, or anything else, with the file's name."""
    if isinstance(error, UnicodeDecodeError):
        return StoreCorrupt(path, f"its text is not UTF-8: {error}")
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
        return StoreCorrupt(path, str(error))
    if primary is None and "decode" in str(error):
        return StoreCorrupt(path, str(error))
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path}: no room left ({error}): free space on its disk")
    return StoreError(f"{path}: {error}")
