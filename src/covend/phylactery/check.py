"""Looking a store through: records against their ids, projections against the records (D5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from covend.phylactery.database import Database
from covend.phylactery.errors import Conflict, StoreCorrupt
from covend.phylactery.projections import Orphan, clear, project
from covend.phylactery.records import BadRecord
from covend.phylactery.rows import Entry
from covend.phylactery.schema import PROJECTION_TABLES, PROJECTIONS, SCHEMA_VERSION
from covend.phylactery.sqlite import SqliteDatabase

MOST_DIFFERENCES = 20
"""Of each projection at most so many rows are reported; more say nothing new."""


def problems(db: Database, entries: Iterable[Entry]) -> list[str]:
    """What is wrong with hashes, parents, clocks, gaps, tombstones and projections (D4, D5).

    The projections are computed anew from the records, in memory, and compared row by row.
    """
    scratch = SqliteDatabase(":memory:")
    found: list[str] = []
    try:
        scratch.create(PROJECTION_TABLES, SCHEMA_VERSION)
        try:
            found += _of_records(db, scratch, entries)
        except StoreCorrupt as error:
            found.append(error.detail)
        else:
            found += _differences(db, scratch)
    except StoreCorrupt as error:
        found.append(error.detail)
    finally:
        scratch.close()
    return found


def rebuild(db: Database, entries: Iterable[Entry]) -> None:
    """Write the projections anew from the records; inside a transaction."""
    clear(db)
    for entry in entries:
        _project(db, entry)


def _project(db: Database, entry: Entry) -> None:
    """As when it was appended; a purged record and one whose thread lost its intend say nothing."""
    if entry.purged:
        return
    try:
        project(db, entry.seq, entry.record)
    except Orphan:
        pass  # only a salvaged store has such records: they are kept, and nothing follows from them


def _of_records(db: Database, scratch: Database, entries: Iterable[Entry]) -> Iterator[str]:
    purged: dict[str, int] = dict(db.rows("SELECT thread, upto FROM purge"))
    clocks: dict[str, int] = {}
    expected = 1
    for entry in entries:
        seq, record = entry.seq, entry.record
        if seq != expected:
            yield f"records {expected} to {seq - 1} are missing"
        expected = seq + 1
        if entry.purged and seq > purged.get(record.thread, 0):
            yield f"record {seq}: its body is gone, and it was not purged"
        clocks[record.id] = record.clock
        for parent in record.parents:
            if parent not in clocks:
                yield f"record {seq}: its parent {parent} is not before it"
            elif clocks[parent] >= record.clock:
                yield f"record {seq}: its clock is not after its parent's"
        try:
            _project(scratch, entry)
        except (Conflict, BadRecord) as error:
            yield f"record {seq}: {error}"


def _differences(db: Database, scratch: Database) -> Iterator[str]:
    for table, columns in PROJECTIONS.items():
        sql = f"SELECT {columns} FROM {table}"
        kept, right = set(db.rows(sql)), set(scratch.rows(sql))
        for row in sorted(kept - right, key=repr)[:MOST_DIFFERENCES]:
            yield f"projection {table}: {row} does not follow from the records"
        for row in sorted(right - kept, key=repr)[:MOST_DIFFERENCES]:
            yield f"projection {table}: {row} is missing"
