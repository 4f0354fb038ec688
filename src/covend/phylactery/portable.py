"""A thread as lines of JSON, to be moved to another box (D5)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from covend.duplicates import duplicate
from covend.phylactery.canonical import canonical, parse
from covend.phylactery.errors import StoreError
from covend.phylactery.records import Act, BadRecord, Record, is_intact
from covend.phylactery.rows import PURGED_BODY, Entry
from covend.phylactery.schema import is_end, is_working
from covend.resolving import resolved

if TYPE_CHECKING:
    from covend.phylactery.store import Store


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exported record; ``purged`` if its body is gone."""

    id: str
    thread: str
    actor: str
    act: Act
    kind: str
    body: dict[str, Any]
    clock: int
    parents: tuple[str, ...] = ()
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
        if is_end(entry.record.kind, entry.record.act):
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
        given = msgspec.convert(plain, resolved(Line))
    except ValueError as error:
        raise BadRecord(f"not an exported record: {error}") from None
    path = duplicate(line)
    if path is not None:
        raise BadRecord(f"not an exported record: it has {path} more than once")
    record = Record(
        id=given.id,
        thread=given.thread,
        actor=given.actor,
        act=given.act,
        kind=given.kind,
        text=PURGED_BODY if given.purged else canonical(given.body).decode(),
        clock=given.clock,
        parents=given.parents,
    )
    if given.purged:
        if not is_working(record.kind, record.act) or given.body:
            raise BadRecord(f"a {record.kind!r} record with this body cannot have been purged")
    elif not is_intact(record):
        raise BadRecord(f"the content of record {record.id} is not what its id names")
    return Entry(0, record, given.purged)


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
