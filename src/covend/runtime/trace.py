"""The trace ring: the last things that happened in this process, always on (X1).

A message is one entry, its envelope, which notes when it was sent, received and done: so tracing
costs less than sending. Reading the ring makes a record of each event. Payloads are left out unless
asked for; then they are cut short, and no field whose name speaks of a secret, token or key is ever
written.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, cast

import msgspec

from covend.runtime.envelope import Envelope, Origin

if TYPE_CHECKING:
    from covend.runtime.answer import Answer

Kind = Literal["send", "receive", "done", "drop", "spawn", "exit", "down", "restart", "timer"]

_SECRET = re.compile(r"secret|token|key|password|passwd|authorization|credential|cookie", re.I)
_TEXT = 64
_ITEMS = 8
_DEPTH = 3

_NOT_KEPT = -(1 << 62)
"""``Envelope.kept`` of a message that the ring takes in when it is received."""
_NEVER_KEPT = 1 << 62
"""``Envelope.kept`` of a message whose trace is not recorded."""


class Send(Protocol):
    """What makes the envelope of a message and records that it is sent."""

    def __call__(
        self,
        message: object,
        answer: Answer | None,
        sender: str,
        target: str,
        msg_id: int,
        cause_id: int,
        trace_id: int,
        /,
    ) -> Envelope: ...


class TraceRecord(NamedTuple):
    """One thing that happened; ids are 0 where there are none, time is monotonic nanoseconds."""

    seq: int
    time_ns: int
    kind: str
    actor: str
    other: str
    message: str
    msg_id: int
    cause_id: int
    trace_id: int
    detail: str


def render(value: object, depth: int = _DEPTH) -> str:
    """Return a short text of a payload: structs and plain data only, secrets left out."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= _TEXT else value[:_TEXT] + "…")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if depth == 0:
        return "…"
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return f"{type(value).__name__}({_pairs(fields, depth)})"
    if isinstance(value, Mapping):
        return "{" + _pairs(cast("Mapping[object, object]", value), depth) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        items = list(cast("Sequence[object]", value))
        shown = [render(item, depth - 1) for item in items[:_ITEMS]]
        return "[" + ", ".join(shown + ["…"] * (len(items) > _ITEMS)) + "]"
    return f"<{type(value).__name__}>"


def _pairs(fields: Mapping[Any, object], depth: int) -> str:
    shown = [
        f"{name}=" + ("(not written)" if _SECRET.search(str(name)) else render(value, depth - 1))
        for name, value in list(fields.items())[:_ITEMS]
    ]
    return ", ".join(shown + ["…"] * (len(fields) > _ITEMS))


class TraceRing:
    """The last ``size`` entries. Any thread may add, none waits for another.

    ``every=n`` keeps one trace in ``n``, the same ones in every process; records that belong to no
    message are always kept. ``payloads=True`` writes what messages say, cut short.
    """

    __slots__ = (
        "_clock", "_entries", "_every", "_next", "_payloads", "done", "node", "received", "send",
        "wall_ns",
    )  # fmt: skip

    def __init__(
        self,
        size: int = 25_000,
        *,
        node: str = "",
        every: int = 1,
        payloads: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        wall_ns: int | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"a trace ring must have room for one entry at least, not {size}")
        if every < 1:
            raise ValueError(f"a trace keeps one in `every` >= 1 traces, not {every}")
        self.node = node
        self.wall_ns = time.time_ns() - clock() if wall_ns is None else wall_ns
        self._clock = clock
        self._next = count()
        self._every = every
        self._payloads = payloads
        self._entries: deque[_Entry] = deque(maxlen=size)
        self.send: Send = self._sender()
        """Make the envelope of a message and record that it is sent. Any thread."""
        self.received, self.done = self._noters(size)
        """Note in an envelope that its message is received, or done and how. Actor's thread."""

    def _sender(self) -> Send:
        """Make ``send``: a closure, because every message passes it."""
        append, following, clock = self._entries.append, self._next, self._clock
        every, payloads = self._every, self._payloads

        def send(
            message: object,
            answer: Answer | None,
            sender: str,
            target: str,
            msg_id: int,
            cause_id: int,
            trace_id: int,
        ) -> Envelope:
            number = next(following)
            envelope = Envelope(
                message, answer, type(message), sender, target,
                msg_id, cause_id, trace_id, number, number, clock(),
            )  # fmt: skip
            append(envelope)
            return envelope

        def send_some(
            message: object,
            answer: Answer | None,
            sender: str,
            target: str,
            msg_id: int,
            cause_id: int,
            trace_id: int,
        ) -> Envelope:
            if trace_id % every:
                origin = Origin(sender, msg_id, cause_id, trace_id)
                return self.enclose(message, answer, target, origin)
            envelope = send(message, answer, sender, target, msg_id, cause_id, trace_id)
            envelope.payload = render(message) if payloads else ""
            return envelope

        return send if every == 1 and not payloads else send_some

    def _noters(
        self, size: int
    ) -> tuple[Callable[[Envelope], None], Callable[[Envelope, str], None]]:
        """Make ``received`` and ``done``: closures too."""
        append, following, clock = self._entries.append, self._next, self._clock

        def received(envelope: Envelope) -> None:
            envelope.received_ns = clock()
            envelope.received = number = next(following)
            if number - envelope.kept >= size:  # the ring may have dropped it by now
                envelope.kept = number
                append(envelope)

        def done(envelope: Envelope, outcome: str) -> None:
            if outcome:
                envelope.outcome = outcome
            envelope.done_ns = clock()
            envelope.done = number = next(following)
            if number - envelope.kept >= size:
                envelope.kept = number
                append(envelope)

        return received, done

    def enclose(
        self, message: object, answer: Answer | None, target: str, origin: Origin
    ) -> Envelope:
        """Return the envelope of a message that was not sent here; traced when it is received."""
        traced = origin.trace_id % self._every == 0
        return Envelope(
            message,
            answer,
            type(message),
            origin.sender,
            target,
            *origin[1:],
            _NOT_KEPT if traced else _NEVER_KEPT,
            payload=render(message) if traced and self._payloads else "",
        )

    def add(
        self,
        kind: Kind,
        actor: str,
        other: str,
        message: object,
        msg_id: int,
        cause_id: int,
        trace_id: int,
        detail: str = "",
    ) -> None:
        """Record another thing that happened to a message. Any thread."""
        if trace_id % self._every == 0:
            detail = detail or (render(message) if self._payloads else "")
            what = type(message).__name__
            number, now = next(self._next), self._clock()
            self._entries.append(
                TraceRecord(
                    number, now, kind, actor, other, what, msg_id, cause_id, trace_id, detail
                )
            )

    def note(self, kind: Kind, actor: str, other: str = "", /, **detail: object) -> None:
        """Record something that is no message: a spawn, an exit, a restart, …"""
        self._entries.append(Note(next(self._next), self._clock(), kind, actor, other, detail))

    def snapshot(self, after: int = -1) -> list[TraceRecord]:
        """Return the records that the ring holds with a ``seq`` above ``after``, oldest first."""
        # By identity: what took long to be received or done may have been taken in twice.
        fresh = {id(entry): entry for entry in self._entries.copy() if _newest(entry) > after}
        records = chain.from_iterable(map(_records, fresh.values()))
        return sorted(record for record in records if record.seq > after)

    def newest(self) -> int:
        """Return the ``seq`` of the last record; -1 if there is none."""
        return max(map(_newest, self._entries.copy()), default=-1)

    def dump(self, path: Path) -> int:
        """Write the ring to ``path`` (whole or not at all) and return how many records.

        A stream of msgpack values: a map that says what follows, then one array per record.
        """
        records = self.snapshot()
        head = {
            "covend": "trace",
            "version": 1,
            "node": self.node,
            "wall_ns": self.wall_ns,
            "fields": TraceRecord._fields,
        }
        encode = msgspec.msgpack.Encoder().encode
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with fresh.open("wb") as file:
            for value in (head, *records):
                data = encode(value)
                file.write(len(data).to_bytes(4, "big") + data)
        fresh.replace(path)
        return len(records)

    def dump_on_crash(self, path: Path) -> Callable[[], None]:
        """Dump to ``path`` when an exception ends the process or a thread of it.

        Returns a function that takes the hooks out again.
        """
        before, before_thread = sys.excepthook, threading.excepthook

        def crashed(kind: Any, error: Any, traceback: Any) -> None:
            self.note("exit", "(process)", error=kind.__name__)
            self.dump(path)
            before(kind, error, traceback)

        def thread_crashed(args: threading.ExceptHookArgs) -> None:
            self.note("exit", "(thread)", error=args.exc_type.__name__)
            self.dump(path)
            before_thread(args)

        sys.excepthook, threading.excepthook = crashed, thread_crashed

        def remove() -> None:
            sys.excepthook, threading.excepthook = before, before_thread

        return remove


class Note(NamedTuple):
    """Something that is no message, put into words when it is looked at."""

    seq: int
    time_ns: int
    kind: Kind
    actor: str
    other: str
    detail: dict[str, object]


_Entry: TypeAlias = TraceRecord | Note | Envelope


def _newest(entry: _Entry) -> int:
    """The number of the last event in an entry."""
    if isinstance(entry, TraceRecord | Note):
        return entry.seq
    return max(entry.sent, entry.received, entry.done)


def _records(entry: _Entry) -> Iterator[TraceRecord]:
    """What an entry of the ring says happened, as one record for each event."""
    if isinstance(entry, TraceRecord):
        yield entry
        return
    if isinstance(entry, Note):
        n = entry
        detail = _pairs(n.detail, _DEPTH)
        yield TraceRecord(n.seq, n.time_ns, n.kind, n.actor, n.other, "", 0, 0, 0, detail)
        return
    e = entry
    what, ids = e.kind.__name__, (e.msg_id, e.cause_id, e.trace_id)
    here, there = (e.target, e.sender), (e.sender, e.target)
    if e.sent >= 0:
        yield TraceRecord(e.sent, e.sent_ns, "send", *there, what, *ids, e.payload)
    if e.received >= 0:
        yield TraceRecord(e.received, e.received_ns, "receive", *here, what, *ids, e.payload)
    if e.done >= 0:
        detail = e.outcome or e.payload
        yield TraceRecord(e.done, e.done_ns, "done", *here, what, *ids, detail)


def load(path: Path) -> tuple[dict[str, Any], list[TraceRecord]]:
    """Read what ``TraceRing.dump`` wrote. Raises ``ValueError`` for a file that is no such dump."""
    data = memoryview(path.read_bytes())
    values: list[Any] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if at + size > len(data):
            raise ValueError(f"{path}: cut short at byte {at}; a whole dump ends with a record")
        try:
            values.append(msgspec.msgpack.decode(data[at : at + size]))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: no trace dump ({error} at byte {at})") from error
        at += size
    match values:
        case [{"covend": "trace", "version": 1} as head, *rows]:
            return head, [TraceRecord(*row) for row in rows]
        case _:
            raise ValueError(f"{path}: no trace dump of version 1")
