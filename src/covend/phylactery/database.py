"""What the store needs from a database; SQLite and PostgreSQL both give it (D3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Value = str | int | None
Row = tuple[Any, ...]


class Database(Protocol):
    """One connection. Its SQL has ``?`` for values; its errors are ``StoreError`` alone.

    Used by one thread at a time.
    """

    where: str
    """Its path or address, for messages; without a password."""

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """The rows of a query; SQLite reads them from the file one by one."""
        ...

    def first(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query that has few."""
        ...

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Carry out a statement; returns how many rows it changed."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Durable when it is left; undone whole when it is left by an exception."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of a transaction that is undone alone when it is left by an exception."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """All reads inside it see the store as it was at the first, whoever writes meanwhile."""
        ...

    def version(self) -> int | None:
        """The schema version of the covend store in it, None if it is empty.

        Raises ``StoreError`` if it belongs to something else.
        """
        ...

    def create(self, tables: Mapping[str, str], version: int) -> None:
        """Create these tables and indexes and note the schema version, inside a transaction."""
        ...

    def check(self, tables: Mapping[str, str]) -> None:
        """Raise ``StoreCorrupt`` if its structure is damaged or its tables are not these."""
        ...

    def overwrite(self) -> bool:
        """Overwrite what was changed and may still stand in a log; False where it is in use.

        Where the server looks after its log, there is nothing to do.
        """
        ...

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        ...

    def discard(self) -> None:
        """Close; the file is gone again if this opening made it, before another may write it."""
        ...
