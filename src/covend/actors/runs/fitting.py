"""What of an answer fits into one message of the wire. Pure.

A page ends before the entry that would be too much, and whoever reads goes on after it. What is
too much by itself comes without its largest members: they are null, and ``left_out`` names them by
path. The records keep all of it (``covend export``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from covend.runtime.frames import MAX_BODY

PAGE_BYTES = MAX_BODY // 8
"""Packed bytes of a page, but for its first entry."""
END_BYTES = MAX_BODY // 2
"""Packed bytes of a run's end, which is the same wherever it is shown."""
ENTRY_BYTES = MAX_BODY - 256 * 1024
"""Packed bytes of one entry or one view, which leaves room for what goes around it."""
LAST = "answer"
"""Left out after everything else: it is what was asked for."""

Path: TypeAlias = tuple[str | int, ...]
Paths: TypeAlias = Callable[[Mapping[str, Any]], list[Path]]
"""What of such an entry may be left out."""

_encoder = msgspec.msgpack.Encoder()


class TooLarge(Exception):
    """Something does not fit into a message, whatever is left out of it."""


def page(
    rows: Iterable[Mapping[str, Any]],
    shown: Callable[[Mapping[str, Any]], dict[str, Any] | None],
    paths: Paths,
    limit: int,
) -> tuple[list[dict[str, Any]], int | None]:
    """What is shown of the first ``limit`` rows, and the ``seq`` that the next page comes after.

    Each entry is fitted; a row of which ``shown`` makes None is passed over. The first entry is on
    the page however large it is. No more rows are taken than needed. Raises ``TooLarge``.
    """
    found: list[dict[str, Any]] = []
    size, taken, after = 0, 0, None
    for row in islice(rows, limit):
        entry = shown(row)
        if entry is not None:
            entry, more = _fitted(entry, paths)
            size += more
            if found and size > PAGE_BYTES:
                return found, after
            found.append(entry)
        taken, after = taken + 1, row["seq"]
    return found, after if taken == limit else None


def fitted(found: dict[str, Any], paths: Paths, most: int | None = None) -> dict[str, Any]:
    """What was found, without some members if it has more than ``most`` packed bytes.

    ``most`` is that of an entry unless given. Raises ``TooLarge``.
    """
    return _fitted(found, paths, most)[0]


def _fitted(
    found: dict[str, Any], paths: Paths, most: int | None = None
) -> tuple[dict[str, Any], int]:
    """As ``fitted``, with the packed bytes that it then has, ``left_out`` not counted."""
    most = ENTRY_BYTES if most is None else most
    size = packed(found)
    if size <= most:
        return found, size
    sizes = {path: packed(_at(found, path)) for path in paths(found)}
    left_out: list[str] = []
    for path in sorted(sizes, key=lambda path: (path[-1] == LAST, -sizes[path])):
        found = _without(found, path)
        left_out.append(_text(path))
        size -= sizes[path] - packed(None)
        if size <= most:
            return {**found, "left_out": left_out}, size
    text = f"even without {', '.join(left_out[:10])} it has {size} bytes"
    raise TooLarge(f"{text}: {most} are right; `covend export` reads all of it")


def packed(value: object) -> int:
    """The bytes of this in a message."""
    try:
        return len(_encoder.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0  # such a value is no question of size: the wire says what is wrong with it


# ── what may be left out ─────────────────────────────────────────────────────────────────────


def of_record(entry: Mapping[str, Any]) -> list[Path]:
    """Of a record: any member of its body."""
    return [("body", name) for name in entry["body"]]


def of_task(task: Mapping[str, Any]) -> list[Path]:
    """Of a task: what it is about, and what is to be judged."""
    return [(name,) for name in ("input", "show") if name in task]


def of_line(_: Mapping[str, Any]) -> list[Path]:
    """Of a run in a list: what was asked."""
    return [("question",)]


def of_end(know: Mapping[str, Any]) -> list[Path]:
    """Of a run's end: what the others said, all that its pattern adds, and last the answer."""
    kept = ("partial", "folded", "status", "code", "confidence", "cost")
    return [*_said(know, "partial"), *((name,) for name in know if name not in kept)]


def of_run(view: Mapping[str, Any]) -> list[Path]:
    """Of a run in full: what each call brought, and all of the query but its question."""
    asked = [("query", name) for name in view["query"] or () if name != "question"]
    return [*_said(view, "calls"), *asked]


def _said(found: Mapping[str, Any], member: str) -> list[Path]:
    return [
        (member, place, name)
        for place, one in enumerate(found.get(member) or ())
        for name in ("value", "problem")
        if name in one
    ]


# ── by path ──────────────────────────────────────────────────────────────────────────────────


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _without(value: Any, path: Path) -> Any:
    """A copy of this where null is at the path; others may hold what it is a copy of."""
    if not path:
        return None
    copy: Any = list(value) if isinstance(value, list | tuple) else dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy


def _text(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "$" + "".join(steps)
