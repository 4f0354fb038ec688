"""The store on a real PostgreSQL server that is killed under it (D2, D3).

Everything else about it runs in tests/phylactery, on SQLite and PostgreSQL alike.
"""

from __future__ import annotations

import pytest

from covend.phylactery.errors import StoreError
from covend.phylactery.records import Record, record
from covend.phylactery.store import Store, open_store
from covend.testing import eventually
from covend.testing.postgresql import PostgresServer, programs

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        programs() is None,
        reason="LEFT OUT: PostgreSQL is not installed (make test-real installs it)",
    ),
]

BATCH = 5


def batch(start: int) -> list[Record]:
    return [
        record("t", "k", {"n": start + n, "pad": "z" * 700}, actor="a", clock=start + n + 1)
        for n in range(BATCH)
    ]


def numbers(store: Store) -> list[int]:
    return [row["body"]["n"] for row in store.query(newest_first=False)]


def test_a_server_that_crashes_loses_nothing_acknowledged_and_keeps_no_half_batch() -> None:
    """D2: with fsync on, the server ended at once six times while the same store stays open."""
    with PostgresServer() as server:
        store = open_store(server.dsn())
        acknowledged = 0
        for life in range(6):
            for _ in range(1 + 5 * life):
                store.append(batch(acknowledged))
                acknowledged += BATCH
            server.crash()
            with pytest.raises(StoreError):
                store.append(batch(acknowledged))
            server.start()
            eventually(lambda: readable(store), 10.0, "the store is back")
            assert numbers(store) == list(range(acknowledged))
            assert store.verify() == []
        store.close()


def readable(store: Store) -> bool:
    try:
        store.next_due()
    except StoreError:
        return False
    return True
