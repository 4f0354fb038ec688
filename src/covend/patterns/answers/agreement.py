"""When two answers are the same answer (P16).

Equality of canonical JSON, on the fields that ``fold.key`` names. Members whose names begin with
``_`` are notes about the answer and never compared. ``fold.tolerance`` gives the distance within
which two numbers of a field are equal; ``$`` is the answer itself where it is a number. A field
inside another is written ``a.b``.

Similarity of text is not agreement: a contradiction is closer to a text than its paraphrase is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

from covend.patterns.query.spec import Fold
from covend.phylactery.canonical import canonical

MISSING = object()
WHOLE = "$"


def agreement(fold: Fold, one: Any, other: Any) -> float:
    """How far two answers agree, 0 to 1: the share of the compared fields that are equal (P16).

    Objects are compared on ``fold.key``, or on every member that either of them has. Anything
    else agrees or does not.
    """
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return float(_equal(fold, WHOLE, comparable(one), comparable(other)))
    names = fold.key or sorted({*members(cast(Any, one)), *members(cast(Any, other))})
    if not names:
        return 1.0
    equal = sum(_equal(fold, name, field(one, name), field(other, name)) for name in names)
    return equal / len(names)


def same(fold: Fold, one: Any, other: Any) -> bool:
    """Whether two answers are the same answer."""
    return agreement(fold, one, other) == 1.0


def comparable(value: Any) -> Any:
    """An answer without the notes in it, at any depth."""
    match value:
        case dict():
            found = cast("dict[str, Any]", value)
            return {name: comparable(found[name]) for name in members(found)}
        case list() | tuple():
            return [comparable(item) for item in cast("list[Any]", value)]
        case _:
            return value


def members(value: dict[str, Any]) -> Iterable[str]:
    """The names of an object's members that count."""
    return [name for name in value if not name.startswith("_")]


def field(value: Any, path: str) -> Any:
    """A field by its dotted path, without the notes in it; ``MISSING`` where there is none."""
    if not isinstance(value, dict):
        return MISSING
    found = cast("dict[str, Any]", value)
    if path in found:
        return comparable(found[path])
    first, dot, rest = path.partition(".")
    return field(found.get(first), rest) if dot else MISSING


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(fold: Fold, path: str, one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is other
    limit = fold.tolerance.get(path)
    if limit is not None and is_number(one) and is_number(other):
        return math.isclose(one, other, rel_tol=0.0, abs_tol=limit)
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return canonical(cast(object, one)) == canonical(other)
    mine, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
    return mine.keys() == theirs.keys() and all(
        _equal(fold, f"{path}.{name}", mine[name], theirs[name]) for name in mine
    )
