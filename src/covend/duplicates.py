"""JSON that says one thing twice: which of the two counts is each reader's own choice."""

from __future__ import annotations

import json
from typing import Any, cast


class _Twice:
    """Stands where an object was that has a name twice, here or below, at this path."""

    def __init__(self, path: str) -> None:
        self.path = path


def duplicate(text: bytes | str) -> str | None:
    """Return the path of a member that an object of this JSON has more than once, or None.

    Of many it is any one. Raises ``ValueError`` for what is no JSON and ``RecursionError`` for what
    is nested too deeply. Pure.

    >>> duplicate('{"a": [{}, {"b": 1, "b": 1}]}'), duplicate('{"a": {"a": 1}}')
    ('$.a[1].b', None)
    """
    found = _below(json.loads(text, object_pairs_hook=_members))
    return None if found is None else f"${found}"


def _members(pairs: list[tuple[str, Any]]) -> _Twice | None:
    seen: set[str] = set()
    for name, value in pairs:
        found = "" if name in seen else _below(value)
        if found is not None:
            return _Twice(f".{name}{found}")
        seen.add(name)
    return None


def _below(value: object) -> str | None:
    if isinstance(value, _Twice):
        return value.path
    if isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            found = _below(item)
            if found is not None:
                return f"[{index}]{found}"
    return None
