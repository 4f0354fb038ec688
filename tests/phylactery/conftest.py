"""A place for a store, on SQLite and on PostgreSQL: the same tests run on both (D3)."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from covend.phylactery.store import Store, open_store
from covend.testing.postgresql import PostgresServer, programs

ENGINES = ["sqlite", "postgresql"] if programs() else ["sqlite"]
"""Without PostgreSQL, test_postgres.py says in the run's summary that it was left out."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where a store is or will be, and a way behind its back."""

    where: str
    engine: str

    def open(self) -> Store:
        return open_store(self.where)

    def read(self) -> Store:
        """A second connection, that only reads."""
        return open_store(self.where, read_only=True)

    def tamper(self, sql: str) -> None:
        """Change the tables as no store would."""
        if self.engine == "sqlite":
            with sqlite3.connect(self.where) as db:
                db.execute(sql)
            db.close()
        else:
            with psycopg.connect(self.where) as connection:
                connection.execute(sql)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests."""
    with PostgresServer("fsync=off", "max_connections=40", "shared_buffers=16MB") as server:
        yield server


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """For the whole session, so that no test is taken for the one that left the server behind."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres_server")
    return request.param


@pytest.fixture
def new_place(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Place]]:
    """Makes places for stores, each empty."""
    schemas: list[str] = []

    def make() -> Place:
        number = next(_numbers)
        if engine == "sqlite":
            return Place(str(tmp_path / f"store{number}.db"), engine)
        server = request.getfixturevalue("postgres_server")
        schemas.append(f"store{number}")
        with psycopg.connect(server.dsn()) as db:
            db.execute(f"CREATE SCHEMA store{number}")
        return Place(server.dsn(schemas[-1]), engine)

    yield make
    if schemas:
        with psycopg.connect(request.getfixturevalue("postgres_server").dsn()) as db:
            for schema in schemas:
                db.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    return new_place()


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = place.open()
    yield opened
    opened.close()
