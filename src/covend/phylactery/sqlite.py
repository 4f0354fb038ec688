"""SQLite as the store's database: one file, write-ahead log, every commit synced (D2)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import apsw

from covend.phylactery.database import Row, Value
from covend.phylactery.errors import StoreCorrupt, StoreError, StoreFull
from covend.runtime.file_lock import FileHeld, FileLock

log = logging.getLogger(__name__)

APPLICATION_ID = 0x436F7645  # "CovE"
FULL_CHECK_BYTES = 64 * 1024 * 1024
"""Files up to this size are checked in full when opened; larger ones only for their structure."""
LOG_PAGES = 8000
"""How long the log may get, 32 MiB, before it is carried over: ids are hashes, so nearly each
record changes a page of its own, and what is carried over rarely is carried over once.
"""
BUSY_MS = 5000
"""How long a statement waits for another program that holds the file."""
LEAVING_SECONDS = 2.0
"""How long a writer that is closing, or was killed, may take to be gone."""

_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
_ERRORS = (apsw.Error, UnicodeError)


def version_problem(version: tuple[int, ...]) -> str | None:
    """What is wrong with this SQLite version, or None.

    3.7.0 to 3.51.2 can corrupt a WAL database when two connections write or checkpoint at the
    same instant as the WAL is reset. One writer with one connection, as here, cannot meet it, and
    a lock keeps every other covend out, so it is a warning; without STRICT tables (before 3.37)
    the store cannot work at all.
    """
    name = ".".join(map(str, version))
    if version < (3, 37, 0):
        raise StoreError(f"SQLite {name} is too old: 3.37 or later is needed")
    if version <= (3, 51, 2):
        return (
            f"SQLite {name} has the WAL-reset bug (fixed in 3.51.3): "
            "let no other program write this database"
        )
    return None


def writers_lock(where: str) -> FileLock:
    """The one writer's lock: a file beside the database, whatever link leads to it (D2).

    Raises ``StoreError`` while another writes there.
    """
    path = Path(f"{os.path.realpath(where)}-lock")
    try:
        return FileLock(path, LEAVING_SECONDS)
    except FileHeld as held:
        raise StoreError(
            f"{where}: another covend (pid {held.holder}) writes here; stop it, or give another "
            "path"
        ) from None
    except OSError as error:
        raise StoreError(f"{where}: unable to open {path}: {error.strerror}") from error


class SqliteDatabase:
    """A SQLite file, or a database in memory if the path is ``:memory:``."""

    def __init__(
        self, path: str | Path, *, max_pages: int | None = None, read_only: bool = False
    ) -> None:
        """Open or create the file; recover what a crash left in its WAL (D2).

        Raises ``StoreCorrupt`` for a file that is no database and ``StoreError`` for one that
        cannot be opened or, unless ``read_only``, that another writes. ``max_pages`` bounds the
        file's size.
        """
        problem = version_problem(tuple(map(int, apsw.sqlite_lib_version().split("."))))
        if problem:
            log.warning(problem)
        self.where = str(path)
        if os.path.isdir(path):
            raise StoreError(
                f"{path} is a folder: give the path of a file; a box's is phylactery.db in its "
                "state_dir"
            )
        durable = not read_only and self.where != ":memory:"
        with ExitStack() as opened:
            if durable:
                opened.callback(writers_lock(self.where).close)
            self._made = durable and not os.path.exists(path)
            self._db = self._connected(read_only)
            opened.callback(self._db.close)
            self._db.set_busy_timeout(BUSY_MS)
            # apsw's own annotation of its bindings is only partly known to the type checker.
            self._execute = cast(
                "Callable[[str, Sequence[Value]], apsw.Cursor]", cast(Any, self._db).execute
            )
            if durable:
                self._make_durable(max_pages)
            self._opened = opened.pop_all()

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """See ``Database``."""
        try:
            yield from self._execute(sql, values)
        except _ERRORS as error:
            raise self._error(error) from error

    def first(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """See ``Database``."""
        try:
            return self._execute(sql, values).fetchone()
        except _ERRORS as error:
            raise self._error(error) from error

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """See ``Database``."""
        try:
            self._execute(sql, values)
        except _ERRORS as error:
            raise self._error(error) from error
        return self._db.changes()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """See ``Database``."""
        self.change("BEGIN IMMEDIATE")
        try:
            yield
            self.change("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                self.change("ROLLBACK")
            raise

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """See ``Database``."""
        self.change("SAVEPOINT batch")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self.change("ROLLBACK TO batch")
                self.change("RELEASE batch")
            raise
        self.change("RELEASE batch")

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """See ``Database``."""
        self.change("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self.change("ROLLBACK")

    def version(self) -> int | None:
        """See ``Database``."""
        if self._one("SELECT count(*) FROM sqlite_schema") == 0:
            return None
        application = self._one("PRAGMA application_id")
        if application != APPLICATION_ID:
            raise StoreError(
                f"{self.where} is an SQLite file but not a covend store (application id "
                f"{application:#x}, not {APPLICATION_ID:#x}): give another path"
            )
        return self._one("PRAGMA user_version")

    def create(self, tables: Mapping[str, str], version: int) -> None:
        """See ``Database``."""
        for statement in tables.values():
            self.change(statement)
        self.change(f"PRAGMA application_id={APPLICATION_ID}")
        self.change(f"PRAGMA user_version={version}")

    def check(self, tables: Mapping[str, str]) -> None:
        """See ``Database``."""
        found = dict(self.rows("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL"))
        if found != tables:
            raise StoreCorrupt(self.where, "its table definitions are not covend's")
        size = Path(self.where).stat().st_size
        check = "integrity_check" if size <= FULL_CHECK_BYTES else "quick_check"
        verdict = self._one(f"PRAGMA {check}(1)")
        if verdict != "ok":
            raise StoreCorrupt(self.where, str(verdict))

    def overwrite(self) -> bool:
        """See ``Database``; who still reads from the log is not waited for."""
        self._db.set_busy_timeout(0)
        try:
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            return False
        except _ERRORS as error:
            raise self._error(error) from error
        finally:
            self._db.set_busy_timeout(BUSY_MS)
        return True

    def close(self) -> None:
        """Checkpoint, close and let others write; safe to call twice."""
        self._opened.close()

    def discard(self) -> None:
        """See ``Database``."""
        self._db.close()
        for ending in ("", "-wal", "-shm") if self._made else ():
            Path(f"{os.path.realpath(self.where)}{ending}").unlink(missing_ok=True)
        self.close()

    def _connected(self, read_only: bool) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        try:
            return apsw.Connection(
                self.where, flags=apsw.SQLITE_OPEN_READONLY if read_only else flags
            )
        except _ERRORS as error:
            raise self._error(error) from error

    def _make_durable(self, max_pages: int | None) -> None:
        self.version()  # a file of somebody else is left alone, its journal mode too
        mode = self._one("PRAGMA journal_mode=WAL")
        if mode != "wal":
            raise StoreError(f"{self.where}: write-ahead logging is not possible here ({mode})")
        self.change("PRAGMA synchronous=FULL")
        self.change(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        self.change("PRAGMA secure_delete=ON")  # what is purged is overwritten, not only let go
        if max_pages is not None:
            self.change(f"PRAGMA max_page_count={int(max_pages)}")

    def _one(self, sql: str) -> Any:
        row = self.first(sql)
        return row[0] if row else None

    def _error(self, error: apsw.Error | UnicodeError) -> StoreError:
        """SQLite's error as ours: damage, a full disk, or anything else, with the file's name."""
        if isinstance(error, UnicodeDecodeError):
            return StoreCorrupt(self.where, f"its text is not UTF-8: {error}")
        if isinstance(error, _DAMAGE):
            return StoreCorrupt(self.where, str(error))
        if isinstance(error, apsw.FullError):
            return StoreFull(f"{self.where}: no room left ({error}): free space on its disk")
        return StoreError(f"{self.where}: {error}")
