"""The trace ring: the last things that happened in this process, always on (X1).

A record is one tuple in a ring, so that tracing a message costs less than sending
it. Payloads are left out unless asked for; then they are cut short, and no field whose name
speaks of a secret, token or key is ever written.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import msgspec

Kind = Literal["send", "receive", "done", "drop", "spawn", "exit", "down", "restart", "timer"]

_SECRET = re.compile(r"secret|token|key|password|passwd|authorization|credential|cookie", re.I)
_TEXT = 64
_ITEMS = 8
_DEPTH = 3


class Add(Protocol):
    """What records one thing that happened to a message."""

    def __call__(
        self,
        kind: str,
        actor: str,
        other: str,
        message: object,
        msg_id: int,
        cause_id: int,
        trace_id: int,
        detail: str = "",
        /,
    ) -> None: ...


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
    """The last ``size`` records. Any thread may add, none waits for another.

    ``every=n`` keeps one trace in ``n``, the same ones in every process; records that belong to no
    message are always kept. ``payloads=True`` writes what messages say, cut short.
    """

    __slots__ = ("_clock", "_next", "_records", "add", "node", "wall_ns")

    def __init__(
        self,
        size: int = 65_536,
        *,
        node: str = "",
        every: int = 1,
        payloads: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        wall_ns: int | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"a trace ring must have room for one record at least, not {size}")
        if every < 1:
            raise ValueError(f"a trace keeps one in `every` >= 1 traces, not {every}")
        self.node = node
        self.wall_ns = time.time_ns() - clock() if wall_ns is None else wall_ns
        self._clock = clock
        self._next = count()
        self._records: deque[tuple[int, int, str, str, str, str, int, int, int, str]]
        self._records = deque(maxlen=size)
        self.add: Add = self._adder(every, payloads)
        """Record one thing that happened to a message. Any thread."""

    def _adder(self, every: int, payloads: bool) -> Add:
        """Make ``add``: a closure, because every message passes it three times."""
        append, following, clock = self._records.append, self._next, self._clock

        def add(
            kind: str,
            actor: str,
            other: str,
            message: object,
            msg_id: int,
            cause_id: int,
            trace_id: int,
            detail: str = "",
        ) -> None:
            append(
                (
                    next(following), clock(), kind, actor, other, type(message).__name__,
                    msg_id, cause_id, trace_id, detail,
                )
            )  # fmt: skip

        def add_some(
            kind: str,
            actor: str,
            other: str,
            message: object,
            msg_id: int,
            cause_id: int,
            trace_id: int,
            detail: str = "",
        ) -> None:
            if trace_id % every == 0:
                detail = detail or (render(message) if payloads else "")
                add(kind, actor, other, message, msg_id, cause_id, trace_id, detail)

        return add if every == 1 and not payloads else add_some

    def note(self, kind: str, actor: str, other: str = "", /, **detail: object) -> None:
        """Record something that is no message: a spawn, an exit, a restart, …"""
        text = _pairs(detail, _DEPTH)
        self._records.append(
            (next(self._next), self._clock(), kind, actor, other, "", 0, 0, 0, text)
        )

    def snapshot(self) -> list[TraceRecord]:
        """Return what the ring holds, oldest first."""
        return [TraceRecord(*record) for record in sorted(self._records.copy())]

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
