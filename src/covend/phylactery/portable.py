"""A thread as lines of JSON, to be moved to another box (D5).

A file may come from anybody, and whoever wrote it can give any content its right id. So it brings
runs alone, nothing of what the box says of itself, and an open run that would have the box run a
command or give away a secret is taken up only where somebody trusts the file.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from covend.duplicates import duplicate
from covend.phylactery.canonical import canonical, parse
from covend.phylactery.errors import StoreError
from covend.phylactery.records import Act, BadRecord, Record, is_intact
from covend.phylactery.rows import PURGED_BODY, Entry
from covend.phylactery.schema import JOB, RUN_ACTS, is_end, is_working
from covend.resolving import resolved

if TYPE_CHECKING:
    from covend.phylactery.store import Store

BESIDE = ("joined", "unjoined", "refused", "quarantine")
"""What others than the run write into its thread."""
JOB_THREADS = "job:"
POWERS = ("command", "api_key_env")
"""The members of a responder that make use of the box: of its user's rights, of its secrets."""
VARIABLE = "{env:"
"""And this anywhere in it: a variable of the box."""
BOM = "\ufeff"
"""What some editors put before the first line."""
LINE_BYTES = 256 * 1024 * 1024
"""No line of an export is longer: a model's answer has 8 MiB at most, a run's end has all of its
answers.
"""
MOST_EMPTY = 1000
"""Empty lines one after the other: more come of no editor, and may go on for ever."""


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


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line: how many records are before it, so that a cut is found."""

    records: int


def export(store: Store, thread: str, *, children: bool) -> Iterator[str]:
    """The records of a thread, and of the threads below it, in the order of appending.

    The last line says how many they are.
    """
    names = store.family(thread) if children else [thread]
    entries = heapq.merge(*(store.entries(name) for name in names), key=lambda entry: entry.seq)
    number = 0
    for number, entry in enumerate(entries, 1):  # noqa: B007 (counted for after the loop)
        yield _line(entry)
    if not number:
        raise StoreError(f"{store.where} has no thread {thread!r}")
    yield _closing(number)


def lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a file, one at a time; raises ``BadRecord`` for one that is too long or no text.

    They end at a line feed alone: the text in them may hold other characters that break lines.
    Raises ``OSError`` as well.
    """
    for number in count(1):
        line = file.readline(LINE_BYTES + 1)
        if not line:
            return
        if len(line) > LINE_BYTES:
            raise BadRecord(
                f"line {number}: it has more than {LINE_BYTES} bytes, the most that a line of an "
                "export has"
            )
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise BadRecord(f"line {number}: no UTF-8: {error}") from None


def read(store: Store, lines: Iterable[str], *, trust: bool) -> Iterator[Entry]:
    """The records of exported lines, each checked; raises ``BadRecord`` naming the line.

    Each is to be stored before the next one is asked for, and what was stored is to be undone where
    this raises: what concerns whole runs is known at the end. So no more than one of them is held.
    Several exports may follow each other. ``trust``: whoever wrote the file may have this box do
    what its open runs bring along.
    """
    runs = _Runs()
    last = since = empty = 0
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(BOM) if number == 1 else line
        if not text.strip():
            empty += 1  # as after the last line of a file
            if empty > MOST_EMPTY:
                raise BadRecord(f"line {number}: more than {MOST_EMPTY} lines in a row are empty")
            continue
        last, empty = number, 0
        try:
            entry = _parsed(text)
            if isinstance(entry, Closing):
                _check_count(entry, since)
                since = 0
                continue
            _check_kind(entry.record)
            _check_parents(store, entry.record)
        except ValueError as error:
            raise BadRecord(f"line {number}: {error}") from None
        runs.see(number, entry)
        if entry.record.kind == "intend" and not (trust or _is_here(store, entry.record)):
            runs.pinned(number, entry.record)
        since += 1
        yield entry
    if since or not last:
        raise BadRecord(
            f"line {last}: the export was cut here: after its last record comes a line that says "
            f"how many there are, such as {_closing(since)}; export it anew"
        )
    runs.check()


class _Runs:
    """What is known of the runs and jobs of a file only at its end: which of them have ended."""

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self._purged: dict[str, int] = {}
        self._going: dict[str, int] = {}
        self._powers: dict[str, tuple[int, str]] = {}

    def see(self, number: int, entry: Entry) -> None:
        """Note the record of a line."""
        record = entry.record
        thread = record.thread
        ends = is_end(record.kind, record.act)
        if ends:
            self._ended.add(thread)
        if entry.purged:
            self._purged.setdefault(thread, number)
        if record.kind == JOB:
            self._going[thread] = number
            if ends:
                del self._going[thread]

    def pinned(self, number: int, intend: Record) -> None:
        """Note whom a run that is new here may ask, and nobody has said is to be trusted."""
        if named := _named_powers(intend):
            self._powers.setdefault(intend.thread, (number, named))

    def check(self) -> None:
        """No run that goes on lacks a body (D4), no job comes to be worked on, and no run that goes
        on says what only the box's own file may say.
        """
        for thread, number in self._purged.items():
            if thread not in self._ended:
                raise BadRecord(f"line {number}: a purged record, but {thread!r} has not ended")
        for thread, number in self._going.items():
            raise BadRecord(f"line {number}: the last record of {thread!r}, which has not ended")
        for thread, (number, named) in self._powers.items():
            if thread not in self._ended:
                raise BadRecord(
                    f"line {number}: run {thread!r} has not ended, and would have this box run a "
                    f"command or give away a variable of its environment for the responders {named}"
                    ": look at this line, and where you trust whoever wrote the file say `covend "
                    "import --trust`"
                )


def _line(entry: Entry) -> str:
    plain: dict[str, Any] = entry.as_dict()
    del plain["seq"]
    return canonical(plain).decode()


def _closing(records: int) -> str:
    return canonical(msgspec.to_builtins(Closing(records))).decode()


def _parsed(line: str) -> Entry | Closing:
    try:
        plain = parse(line)
        if isinstance(plain, dict) and "records" in plain:
            return msgspec.convert(plain, resolved(Closing))
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


def _check_count(closing: Closing, since: int) -> None:
    if not since:
        raise BadRecord("no record is before this line: an export has one at least")
    if closing.records != since:
        raise BadRecord(f"{closing.records} records were exported, {since} are before this line")


def _check_kind(record: Record) -> None:
    """Runs and their jobs alone: what the box says of itself, such as who can be asked, is its."""
    if record.thread.startswith(JOB_THREADS):
        fits = record.kind == JOB
    else:
        fits = record.kind in RUN_ACTS or record.kind in BESIDE
    if not fits:
        raise BadRecord(
            f"a {record.kind!r} record in thread {record.thread!r}: only runs are taken up, and "
            "jobs that have ended"
        )


def _is_here(store: Store, record: Record) -> bool:
    return store.clock_of(record.id) is not None


def _named_powers(intend: Record) -> str:
    """Which of the responders that a run was pinned to make use of the box, and by what."""
    found = [(responder.get("id"), _powers(responder)) for responder in _responders(intend)]
    return ", ".join(f"{name!r} ({', '.join(powers)})" for name, powers in found if powers)


def _responders(intend: Record) -> list[dict[str, Any]]:
    """Who may be asked, as the run was pinned to them; a run that cannot be read asks nobody."""
    pinned: object = intend.body.get("responders")
    everyone = cast("list[object]", pinned) if isinstance(pinned, list) else []
    return [cast("dict[str, Any]", one) for one in everyone if isinstance(one, dict)]


def _powers(responder: Mapping[str, Any]) -> list[str]:
    """The members of a responder that only the box's own file may have."""
    return [
        name
        for name, value in responder.items()
        if value and (name in POWERS or VARIABLE in msgspec.json.encode(value).decode())
    ]


def _check_parents(store: Store, record: Record) -> None:
    for parent in record.parents:
        clock = store.clock_of(parent)
        if clock is None:
            raise BadRecord(
                f"the parent {parent} of record {record.id} is neither on a line before it nor in "
                "this store: export the thread that it belongs to as well"
            )
        if clock >= record.clock:
            raise BadRecord(f"the clock of record {record.id} is not after its parent's")
