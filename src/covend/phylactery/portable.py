"""A thread as lines of JSON, to be moved to another box (D5)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from covend.phylactery.canonical import NotCanonical, canonical, parse
from covend.phylactery.errors import StoreError
from covend.phylactery.records import ACTS, BadRecord, Record, is_intact
from covend.phylactery.rows import Entry
from covend.phylactery.schema import WORKING_KINDS

if TYPE_CHECKING:
    from covend.phylactery.store import Store


class Line(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exported record; ``purged`` if its body is gone."""

    purged: bool = False


def export(store: Store, thread: str, *, children: bool) -> Iterator[str]:
    """The records of a thread, and of the threads below it, in the order of appending."""
    names = list(_family(store, thread)) if children else [thread]
    entries = heapq.merge(*(store.entries(name) for name in names), key=lambda entry: entry.seq)
    some = False
    for entry in entries:
        some = True
        yield _line(entry)
    if not some:
        raise StoreError(f"{store.where} has no thread {thread!r}")


def read(store: Store, lines: Iterable[str]) -> list[Entry]:
    """The records of exported lines, each checked; raises ``BadRecord`` naming the line.

    Lines end at a line feed alone: the text in them may hold other characters that break lines.
    """
    found: list[Entry] = []
    clocks: dict[str, int] = {}
    purged: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue  # as after the last line of a file
        try:
            entry = _parsed(line)
            _check_parents(store, entry.record, clocks)
        except ValueError as error:
            raise BadRecord(f"line {number}: {error}") from None
        clocks[entry.record.id] = entry.record.clock
        found.append(entry)
        if entry.purged:
            purged.setdefault(entry.record.thread, number)
    for entry in found:
        if entry.record.kind == "know":
            purged.pop(entry.record.thread, None)
    for thread, number in purged.items():
        raise BadRecord(f"line {number}: a purged record, but {thread!r} has not ended")
    return found


def _family(store: Store, thread: str) -> Iterator[str]:
    yield thread
    for child in store.threads(parent=thread):
        yield from _family(store, child["id"])


def _line(entry: Entry) -> str:
    plain: dict[str, Any] = entry.as_dict()
    del plain["seq"]
    return canonical(plain).decode()


def _parsed(line: str) -> Entry:
    try:
        plain = parse(line)
        given = msgspec.convert(plain, Line)
    except ValueError as error:
        raise BadRecord(f"not an exported record: {error}") from None
    record = Record(
        id=given.id,
        thread=given.thread,
        actor=given.actor,
        act=given.act,
        kind=given.kind,
        body=given.body,
        clock=given.clock,
        parents=given.parents,
    )
    if record.act not in ACTS:
        raise BadRecord(f"act is {record.act!r}")
    if given.purged:
        if record.kind not in WORKING_KINDS or record.body:
            raise BadRecord(f"a {record.kind!r} record with this body cannot have been purged")
    elif not _is_intact(record):
        raise BadRecord(f"the content of record {record.id} is not what its id names")
    return Entry(0, record, given.purged)


def _is_intact(record: Record) -> bool:
    try:
        return is_intact(record)
    except NotCanonical:
        return False


def _check_parents(store: Store, record: Record, clocks: dict[str, int]) -> None:
    for parent in record.parents:
        clock = clocks.get(parent)
        if clock is None:
            clock = store.clock_of(parent)
        if clock is None:
            raise BadRecord(
                f"the parent {parent} of record {record.id} is neither on a line before it nor in "
                "this store: export the thread that it belongs to as well"
            )
        if clock >= record.clock:
            raise BadRecord(f"the clock of record {record.id} is not after its parent's")
