"""What a CEL expression may build, told from its compiled form before it is ever evaluated (P15).

The evaluator bounds how often macros go round, not how large the values are that they make: a few
macros in a row that each repeat what they are given take gigabytes, in a source of 200 bytes. So

- inside a macro ``+`` adds numbers (nothing that it makes there is freed before the end), and
- nothing may come to hold what it was given more than ``MAX_COPIES`` times.

The size of a value is a sum: so many times each variable that a macro has bound, and so many times
something given (under the name ``GIVEN``). A macro puts its range in for its variable and takes
what does not depend on that once a round; how many rounds a list of data has is not known here,
and counts ``ROUNDS``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

MAX_COPIES = 100_000
ROUNDS = 100

GIVEN = ""
Size = dict[str, int]
"""How often a value holds each variable that is bound around it, and things given."""

ONE: Size = {GIVEN: 1}

# Fields of cel.expr.CheckedExpr and of what is in it.
TYPES, EXPR = 3, 4
PRIMITIVE, WELL_KNOWN = 3, 5
ID, IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 2, 4, 5, 6, 7, 8, 9
TARGET, FUNCTION, ARGUMENTS = 1, 2, 3

SMALL = {PRIMITIVE: range(1, 5), WELL_KNOWN: range(2, 4)}
"""Types whose values take no room: bool, int, uint, double; timestamp, duration."""

Message = dict[int, list[Any]]


class Sizes(NamedTuple):
    """Of a value, and of the largest that was there on the way to it."""

    value: Size
    peak: Size


class _TooMuch(Exception):
    """The argument says what an expression may not build."""


def growth_problem(compiled: bytes) -> str | None:
    """What is wrong with what a serialised expression may build, or None."""
    checked = _message(_message(compiled)[2][0])
    try:
        copies = _Meter(checked).sizes(checked[EXPR][0], frozenset(), inside=False).peak[GIVEN]
    except _TooMuch as failed:
        return str(failed)
    if copies <= MAX_COPIES:
        return None
    return (
        f"could make something {MAX_COPIES} times as large as what it is given: let fewer macros "
        "follow one another or lie in one another, or repeat less in their lists and maps"
    )


class _Meter:
    """Measures the parts of one expression."""

    def __init__(self, checked: Message) -> None:
        entries = [_message(entry) for entry in checked.get(TYPES, [])]
        self.small = {entry[1][0] for entry in entries if _is_small(_message(entry[2][0]))}

    def sizes(self, data: bytes, bound: frozenset[str], *, inside: bool) -> Sizes:
        """Of one expression; ``inside`` tells whether a macro goes round it."""
        expr = _message(data)
        small = expr.get(ID, [0])[0] in self.small
        if LOOP in expr:
            found = self._loop(_message(expr[LOOP][0]), bound, inside)
        elif IDENT in expr:
            name = _text(_message(expr[IDENT][0]), 1)
            found = Sizes({name: 1}, {name: 1}) if name in bound else Sizes(ONE, ONE)
        else:
            found = self._made(expr, bound, inside, small)
        if small:
            return Sizes(ONE, _largest([found.peak, ONE]))
        return Sizes(found.value, _largest([found.peak, found.value, ONE]))

    def _made(self, expr: Message, bound: frozenset[str], inside: bool, small: bool) -> Sizes:
        """Of what is made of parts: lists and maps hold all of them, a call gives one of them."""
        adds = LIST in expr or STRUCT in expr
        if CALL in expr and not small:
            call = _message(expr[CALL][0])
            adds = _text(call, FUNCTION) == "_+_"
            if inside and adds and not _is_gathering(call):
                raise _TooMuch(
                    "inside a macro + may only add numbers, and these could be texts or lists; "
                    "for numbers write double(x) + double(y)"
                )
        parts = [self.sizes(part, bound, inside=inside) for part in _parts(expr)]
        values = [part.value for part in parts] or [ONE]
        return Sizes(
            _sum(values) if adds else _largest(values),
            _largest(part.peak for part in parts),
        )

    def _loop(self, loop: Message, bound: frozenset[str], inside: bool) -> Sizes:
        """Of a macro: a fold over its range, into what it gathers."""
        item, gathered = _text(loop, 1), _text(loop, 3)
        around = self.sizes(loop[2][0], bound, inside=inside)
        begun = self.sizes(loop[4][0], bound, inside=inside)
        within = bound | {item, gathered}
        goes_on = self.sizes(loop[5][0], within, inside=True)
        step = self.sizes(loop[6][0], within, inside=True)
        result = self.sizes(loop[7][0], bound | {gathered}, inside=inside)
        rest = {name: count for name, count in step.value.items() if name not in (item, gathered)}
        total = _sum(
            [
                begun.value,
                _times(step.value.get(item, 0), around.value),
                _times(_rounds(loop[2][0]), rest),
            ]
        )
        known = {item: around.value, gathered: total}
        peaks = [_put(one.peak, known) for one in (goes_on, step, result)]
        return Sizes(_put(result.value, known), _largest([around.peak, begun.peak, total, *peaks]))


def _rounds(data: bytes) -> int:
    """How often a macro goes round this range."""
    expr = _message(data)
    return len(_message(expr[LIST][0]).get(1, [])) if LIST in expr else ROUNDS


def _parts(expr: Message) -> list[bytes]:
    """The expressions directly in one that is no macro."""
    if SELECT in expr:
        return _message(expr[SELECT][0])[1]
    if CALL in expr:
        call = _message(expr[CALL][0])
        return [*call.get(TARGET, []), *call.get(ARGUMENTS, [])]
    if LIST in expr:
        return _message(expr[LIST][0]).get(1, [])
    if STRUCT in expr:
        entries = [_message(entry) for entry in _message(expr[STRUCT][0]).get(2, [])]
        return [part for entry in entries for part in (*entry.get(3, []), *entry.get(4, []))]
    return []


def _is_gathering(call: Message) -> bool:
    """Whether this is a macro's own adding to what it gathers, which no source can name."""
    first = _message(call[ARGUMENTS][0])
    return IDENT in first and _text(_message(first[IDENT][0]), 1).startswith("@")


def _is_small(kind: Message) -> bool:
    return any(kind[field][0] in values for field, values in SMALL.items() if field in kind)


def _sum(sizes: Iterable[Size]) -> Size:
    total: Size = {}
    for size in sizes:
        for name, count in size.items():
            total[name] = total.get(name, 0) + count
    return total


def _largest(sizes: Iterable[Size]) -> Size:
    found: Size = {}
    for size in sizes:
        for name, count in size.items():
            found[name] = max(found.get(name, 0), count)
    return found


def _times(factor: int, size: Size) -> Size:
    return {name: factor * count for name, count in size.items()}


def _put(size: Size, known: dict[str, Size]) -> Size:
    """A size with what is known put in for the variables in it."""
    return _sum(_times(count, known.get(name, {name: 1})) for name, count in size.items())


def _text(message: Message, field: int) -> str:
    found: bytes = message.get(field, [b""])[0]
    return found.decode()


def _message(data: bytes) -> Message:
    """The fields of one protocol buffer message: numbers as int, all else as bytes."""
    found: Message = {}
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        match key & 7:
            case 0:
                value, at = _number(data, at)
            case 2:
                length, at = _number(data, at)
                value, at = data[at : at + length], at + length
            case wire:
                length = 8 if wire == 1 else 4
                value, at = data[at : at + length], at + length
        found.setdefault(key >> 3, []).append(value)
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins here, and where it ends."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1
