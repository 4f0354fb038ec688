"""PostgreSQL as the store's database: one writer by an advisory lock (D2, D3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, LiteralString, cast

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from covend.phylactery.database import Row, Value
from covend.phylactery.errors import InDoubt, StoreCorrupt, StoreError, StoreFull

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
LEAVING_SECONDS = 2.0
"""How long a writer that has closed may take to be gone."""
STATEMENT_TIMEOUT = "SET statement_timeout = '60s'"
"""Past it the server gives a statement up."""
ANSWER_SECONDS = 75.0
"""A server that gives nothing up stands still: it is left, and asked for anew."""
GONE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""A server whose machine is gone is found out within half a minute, unless the address says
otherwise."""

# One lock per schema, so that several boxes can share a database: "CovE" and the schema's number.
_LOCK = (
    "SELECT pg_try_advisory_lock((1131378245::bigint << 32) | oid::bigint)"
    " FROM pg_namespace WHERE nspname = current_schema()"
)
_DAMAGE = (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)


class _Lost(StoreError):
    """The connection broke, and the server with it perhaps."""


class _Connection(psycopg.Connection[Row]):
    """One that waits for the answer to a statement no longer than ``ANSWER_SECONDS``."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, timeout or ANSWER_SECONDS)


class PostgresDatabase:
    """One schema of a PostgreSQL database; the tables are in the first of its search path.

    A connection that broke is opened again by the next statement outside a transaction, and a
    server that was restarted while nothing was under way is noticed by nobody.
    """

    def __init__(self, dsn: str, *, read_only: bool = False) -> None:
        """Connect and, unless ``read_only``, take the writer's lock.

        Raises ``StoreError`` if the server is not there or another writer has the lock.
        """
        self._dsn = dsn
        self._read_only = read_only
        try:
            self.where = _without_password(dsn)
        except psycopg.Error:
            # Without the reason: libpq quotes the whole address in it, password included.
            raise StoreError(
                "the PostgreSQL address cannot be read: give postgresql://USER@HOST:PORT/DATABASE"
            ) from None
        self._inside = False
        self._db = self._connect()

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """See ``Database``; all rows are fetched at once."""
        return iter(self._execute(sql, values).fetchall())

    def first(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """See ``Database``."""
        return self._execute(sql, values).fetchone()

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """See ``Database``."""
        return self._execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Generator[None]:
        """See ``Database``."""
        self.change("BEGIN")
        self._inside = True
        try:
            yield
            self._commit()
        except BaseException:
            if not self._db.closed:
                self.change("ROLLBACK")
            raise
        finally:
            self._inside = False

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """See ``Database``."""
        self.change("SAVEPOINT batch")
        try:
            yield
        except BaseException:
            if not self._db.closed:
                self.change("ROLLBACK TO batch")
                self.change("RELEASE batch")
            raise
        self.change("RELEASE batch")

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """See ``Database``."""
        self.change("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            if not self._db.closed:
                self.change("ROLLBACK")

    def version(self) -> int | None:
        """See ``Database``."""
        names = {row[0] for row in self.rows(_TABLES)}
        if "covend_store" in names:
            row = self.first("SELECT version FROM covend_store")
            return row[0] if row else None
        if "record" in names:
            raise StoreError(
                f"{self.where} has a table 'record' that is not covend's: give another schema "
                "(options=-csearch_path=NAME)"
            )
        return None

    def create(self, tables: Mapping[str, str], version: int) -> None:
        """See ``Database``."""
        for statement in tables.values():
            self.change(_translated(statement))
        self.change("CREATE TABLE IF NOT EXISTS covend_store (version BIGINT NOT NULL)")
        self.change("DELETE FROM covend_store")
        self.change("INSERT INTO covend_store VALUES (?)", (version,))

    def check(self, tables: Mapping[str, str]) -> None:
        """See ``Database``; the server looks after its files itself, so only names are compared."""
        missing = set(tables) - {row[0] for row in self.rows(_TABLES)}
        if missing:
            raise StoreCorrupt(self.where, f"it has no {', '.join(sorted(missing))}")

    def overwrite(self) -> bool:
        """See ``Database``."""
        return True

    def close(self) -> None:
        """See ``Database``."""
        self._db.close()

    def discard(self) -> None:
        """See ``Database``."""
        self.close()

    def _commit(self) -> None:
        try:
            self.change("COMMIT")
        except StoreError as error:
            if self._db.closed:
                raise InDoubt(str(error)) from error
            raise

    def _execute(self, sql: str, values: Sequence[Value]) -> psycopg.Cursor[Row]:
        if self._inside:
            return self._answered(sql, values)
        if not self._db.closed:
            try:
                return self._answered(sql, values)
            except _Lost:
                pass  # since the last statement: nothing was under way, and nothing is lost
        self._db = self._connect()
        return self._answered(sql, values)

    def _answered(self, sql: str, values: Sequence[Value]) -> psycopg.Cursor[Row]:
        """The server's answer; raises ``_Lost`` where the connection is gone."""
        try:
            return self._db.execute(_with_percents(sql), values)
        except UnicodeEncodeError as error:
            raise StoreError(f"{self.where}: {error}") from error
        except psycopg.Error as error:
            if self._db.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self._db.close()
                raise StoreError(
                    f"{self.where}: the server has not answered for {ANSWER_SECONDS:g} s"
                ) from error
            if self._db.closed:
                raise _Lost(f"{self.where}: {str(error).strip()}") from error
            raise self._error(error) from error

    def _connect(self) -> psycopg.Connection[Row]:
        given = conninfo_to_dict(self._dsn)
        ours = {"connect_timeout": CONNECT_SECONDS, **GONE}
        lacking = {name: value for name, value in ours.items() if name not in given}
        try:
            db = _Connection.connect(make_conninfo(self._dsn, **lacking), autocommit=True)
        except psycopg.Error as error:
            raise self._error(error) from error
        try:
            self._prepare(db)
        except psycopg.Error as error:
            db.close()
            raise self._error(error) from error
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: psycopg.Connection[Row]) -> None:
        db.execute(STATEMENT_TIMEOUT)
        if self._read_only:
            db.execute("SET default_transaction_read_only = on")
            return
        db.execute("SET synchronous_commit = on")
        fsync = db.execute("SHOW fsync").fetchone()
        if fsync != ("on",):
            log.warning("%s runs with fsync off: a power cut can lose records", self.where)
        lock = db.execute(_LOCK).fetchone()
        deadline = time.monotonic() + LEAVING_SECONDS
        while lock == (False,) and time.monotonic() < deadline:
            time.sleep(0.05)  # a writer that has just closed: its server process is still leaving
            lock = db.execute(_LOCK).fetchone()
        if lock is None:
            raise StoreError(f"{self.where}: its search path names no schema that exists")
        if not lock[0]:
            raise StoreError(
                f"{self.where}: another covend writes here; stop it, or give another schema "
                "(options=-csearch_path=NAME)"
            )

    def _error(self, error: psycopg.Error) -> StoreError:
        text = str(error).strip()
        if isinstance(error, _DAMAGE):
            return StoreCorrupt(self.where, text)
        if isinstance(error, psycopg.errors.DiskFull):
            return StoreFull(f"{self.where}: no room left ({text}): free space on its disk")
        return StoreError(f"{self.where}: {text}")


_TABLES = """SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = current_schema() AND relkind IN ('r', 'i')"""


def _translated(statement: str) -> str:
    """A table definition of ours in PostgreSQL's words."""
    return (
        statement.replace(", WITHOUT ROWID", "").replace(" STRICT", "").replace("INTEGER", "BIGINT")
    )


@cache
def _with_percents(sql: str) -> LiteralString:
    """Our statement with PostgreSQL's placeholders; all of them are literals of this package."""
    return cast(LiteralString, sql.replace("?", "%s"))


def _without_password(dsn: str) -> str:
    parts: dict[str, Any] = conninfo_to_dict(dsn)
    host, port = parts.get("host", ""), parts.get("port")
    return f"postgresql://{host}{f':{port}' if port else ''}/{parts.get('dbname', '')}"
