"""What a CEL expression may build and do, told from its compiled form before it is evaluated (P15).

The evaluator bounds how often macros go round, ten thousand times in one evaluation, but neither
how large the values are that they make nor how long one step takes: a few macros that each repeat
what they are given take gigabytes, in a source of 50 bytes. So

- no value may hold something given more than ``MAX_COPIES`` times, nor have more than
  ``MAX_PIECES`` members in lists and maps that the expression makes;
- what ``+`` makes inside macros is freed only when the evaluation ends, so it is added up over all
  rounds, and the sum has the same bounds. Numbers of a known type cost nothing;
- what is compared or searched in each round of a macro must be small, or *go on* with the macro:
  be another part of something in each round, as the macro's own variable is. ``x == y`` costs as
  much as the smaller of the two, so it is enough that one of them goes on with each macro around
  it: in r·s rounds that is √(r·s) times what was given, or less. ``x in list`` and
  ``text.matches(pattern)`` go through all that they search.

The size of a value is counted in copies: of each variable that a macro has bound, or of a member of
it (``i.price``; all members together are no more than the variable), of something given, and of
pieces. Once a macro is measured, its variable is replaced by its range, and what does not depend on
the variable counts once for each round; a list of data has ``ROUNDS`` of them. No evaluation has
more rounds, however macros are nested, so the pieces that a macro has made are not multiplied by
the rounds of those around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from covend.patterns.expressions import cel_ast
from covend.patterns.expressions.cel_ast import Message, message, text

MAX_COPIES = 100
MAX_PIECES = 1_000_000
"""As a result, so many take half a gigabyte."""
ROUNDS = 10_000
"""How often the macros of one evaluation go round at most."""
MAX_CONSTANT = 2048
"""Pieces of a value that is small enough to be compared in each round."""

GIVEN, PIECE, MADE = " given", " piece", " made"
"""Something given; a member of a list or map made here; those made in the rounds of a macro."""
Size = dict[str, int]
"""How many copies a value holds, by what: a bound variable, something given, a piece.

Numbers and constants by themselves count nothing: a list of many has as many pieces.
"""

SMALL = {cel_ast.PRIMITIVE: range(1, 5), cel_ast.WELL_KNOWN: range(2, 4)}
"""Types whose values take next to no room: bool, int, uint, double; timestamp, duration."""

COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
SEARCHES = frozenset({"@in", "matches"})


class Sizes(NamedTuple):
    """The size of a value, and that of the largest that is made on the way to it."""

    value: Size
    peak: Size


class Origin(NamedTuple):
    """Where a macro's variable comes from.

    ``goes_on`` names the macros that it goes on with, by how many others are around each. ``size``
    is what it amounts to over all of their rounds together, in what is given and pieces.
    """

    size: Size
    goes_on: frozenset[int]


Around = tuple[int, ...]
"""The rounds of the macros around a part, the outermost first."""
Bound = Mapping[str, Origin]


class _TooMuch(Exception):
    """The argument says what an expression may not build or do."""


def growth_problem(compiled: bytes) -> str | None:
    """What is wrong with what a serialised expression may build or do, or None."""
    checked = cel_ast.checked(compiled)
    try:
        peak = _Meter(checked).sizes(checked[cel_ast.EXPR][0], {}, ()).peak
    except _TooMuch as failed:
        return str(failed)
    if peak.get(GIVEN, 0) > MAX_COPIES:
        return (
            f"could make something {MAX_COPIES} times as large as what it is given: let macros "
            "gather parts of their own variable, and fewer of them follow or lie in one another"
        )
    if _pieces(peak) > MAX_PIECES:
        return (
            f"could make something of {MAX_PIECES} parts: let fewer macros follow one another or "
            "lie in one another, or write less into their lists and maps"
        )
    return None


class _Meter:
    """Measures the parts of one expression."""

    def __init__(self, checked: Message) -> None:
        kinds = cel_ast.types(checked)
        self.small = {part for part, kind in kinds.items() if _is_small(kind)}
        self.maps = {part for part, kind in kinds.items() if cel_ast.MAP_TYPE in kind}
        self.added: Size = {}

    def sizes(self, data: bytes, bound: Bound, around: Around) -> Sizes:
        """The sizes of one expression."""
        expr = message(data)
        small = cel_ast.id_of(expr) in self.small
        if cel_ast.COMPREHENSION in expr:
            found = self._comprehension(message(expr[cel_ast.COMPREHENSION][0]), bound, around)
        elif cel_ast.IDENT in expr:
            name = text(message(expr[cel_ast.IDENT][0]), 1)
            found = Sizes({name: 1} if name in bound else {GIVEN: 1}, {})
        else:
            found = self._made(expr, bound, around, small)
        return Sizes({}, found.peak) if small else found

    def _made(self, expr: Message, bound: Bound, around: Around, small: bool) -> Sizes:
        """The sizes of what is made of parts: lists and maps hold all, a call gives one of them."""
        parts = cel_ast.parts(expr)
        found = [self.sizes(part, bound, around) for part in parts]
        values = [one.value for one in found]
        adds = cel_ast.LIST in expr or cel_ast.STRUCT in expr
        if adds:
            values.append({PIECE: len(parts) if cel_ast.LIST in expr else len(parts) // 2})
        elif cel_ast.SELECT in expr:
            values = [
                _member(values[0], text(message(expr[cel_ast.SELECT][0]), cel_ast.FIELD), bound)
            ]
        elif cel_ast.CALL in expr:
            call = message(expr[cel_ast.CALL][0])
            function = text(call, cel_ast.FUNCTION)
            adds = function == "_+_"
            if adds and around and not small and not _accumulates(call):
                self._add(values, bound, around)
            elif function in COMPARISONS:
                _compare(values, bound, around)
            elif function in SEARCHES and cel_ast.id_of(message(parts[-1])) not in self.maps:
                _search(values if function == "matches" else values[-1:], bound, around)
        peaks = [one.peak for one in found]
        if not adds:
            return Sizes(_largest(values), _largest(peaks))
        value = _sum(values)
        return Sizes(value, _largest([value, *peaks]))

    def _comprehension(self, macro: Message, bound: Bound, around: Around) -> Sizes:
        """The sizes of a macro: a fold of ``iter_range`` into ``accu_var``."""
        iter_var, accu_var = text(macro, cel_ast.ITER_VAR), text(macro, cel_ast.ACCU_VAR)
        iter_range = self.sizes(macro[cel_ast.ITER_RANGE][0], bound, around)
        accu_init = self.sizes(macro[cel_ast.ACCU_INIT][0], bound, around)
        rounds = _rounds(macro[cel_ast.ITER_RANGE][0])
        over = iter_range.value
        goes_on = _goes_on(over, bound, around) | {len(around)}
        own = Origin(_given_and_pieces(over, bound), goes_on)
        of_result = {**bound, accu_var: Origin({GIVEN: 1}, frozenset())}
        within, inside = {**of_result, iter_var: own}, (*around, rounds)
        loop_condition = self.sizes(macro[cel_ast.LOOP_CONDITION][0], within, inside)
        loop_step = self.sizes(macro[cel_ast.LOOP_STEP][0], within, inside)
        result = self.sizes(macro[cel_ast.RESULT][0], of_result, around)
        step = loop_step.value
        rest = {name: step[name] for name in step if _root(name) not in (iter_var, accu_var)}
        accumulated = _sum(
            [accu_init.value, _times(_held(step, iter_var), over), _all_rounds(rounds, rest)]
        )
        known = {iter_var: over, accu_var: accumulated}
        peaks = [_put(one.peak, known) for one in (loop_condition, loop_step, result)]
        return Sizes(
            _put(result.value, known),
            _largest([iter_range.peak, accu_init.peak, accumulated, *peaks]),
        )

    def _add(self, values: list[Size], bound: Bound, around: Around) -> None:
        """Count what ``+`` makes of these, in all rounds."""
        added = _sum(values)
        for name in {_root(name) for name in added}:
            size, goes_on = _origin(name, bound)
            often = _held(added, name) * _rounds_without(goes_on, around)
            self.added = _sum([self.added, _times(often, size)])
        if self.added.get(GIVEN, 0) > MAX_COPIES or _pieces(self.added) > MAX_PIECES:
            raise _TooMuch(
                "what + makes here could be texts or lists, and more of them than there is memory "
                "for: inside a macro add parts of its own variable, and for numbers write "
                "double(x) + double(y)"
            )


def _compare(values: list[Size], bound: Bound, around: Around) -> None:
    """Refuse comparing the same large things in each round."""
    if any(_is_constant(value, bound) for value in values):
        return
    goes_on = frozenset[int]().union(*(_goes_on(value, bound, around) for value in values))
    if _rounds_without(goes_on, around) > MAX_COPIES:
        raise _TooMuch(
            "compares two things in each round of a macro though neither is a part of the macro's "
            "own variable: compare them outside of it, and for numbers write double(x) == double(y)"
        )


def _search(values: list[Size], bound: Bound, around: Around) -> None:
    """Refuse going through the same large thing in each round."""
    for value in values:
        goes_on = _goes_on(value, bound, around)
        if not _is_constant(value, bound) and _rounds_without(goes_on, around) > MAX_COPIES:
            raise _TooMuch(
                "searches the same thing in each round of a macro: in and matches may search a "
                "literal there, a map or a part of the macro's own variable; for x in LIST write "
                "LIST.exists(y, y == x), whose rounds are counted"
            )


def _member(size: Size, field: str, bound: Bound) -> Size:
    """The size of a member, which is its own only where the value is a variable or in one."""
    names = [name for name in size if _root(name) in bound]
    return {f"{names[0]}.{field}": 1} if names and size == {names[0]: 1} else size


def _origin(name: str, bound: Bound) -> Origin:
    return bound.get(_root(name)) or Origin({name: 1}, frozenset())


def _given_and_pieces(size: Size, bound: Bound) -> Size:
    """A size without variables."""
    return _put(size, {name: origin.size for name, origin in bound.items()})


def _goes_on(size: Size, bound: Bound, around: Around) -> frozenset[int]:
    """The macros around with which everything goes on that a value holds, but for its pieces."""
    held = [_origin(name, bound).goes_on for name in size if name not in (PIECE, MADE)]
    return frozenset(range(len(around))).intersection(*held)


def _rounds_without(goes_on: frozenset[int], around: Around) -> int:
    """How many rounds the macros around have in all, without those that something goes on with."""
    others = [rounds for depth, rounds in enumerate(around) if depth not in goes_on]
    return min(math.prod(others), ROUNDS)


def _is_constant(size: Size, bound: Bound) -> bool:
    """Whether a value is no larger than what a source can write out."""
    known = _given_and_pieces(size, bound)
    return known.get(GIVEN, 0) == 0 and _pieces(known) <= MAX_CONSTANT


def _rounds(data: bytes) -> int:
    """How often a macro goes round this range."""
    expr = message(data)
    return len(cel_ast.parts(expr)) if cel_ast.LIST in expr else ROUNDS


def _all_rounds(rounds: int, size: Size) -> Size:
    """What all rounds together hold of a value that is taken once in each."""
    total = _times(rounds, {name: count for name, count in size.items() if name != MADE})
    if rounds == ROUNDS:
        total[MADE] = total.pop(PIECE, 0)
    return _sum([total, {MADE: size.get(MADE, 0)}])


def _accumulates(call: Message) -> bool:
    """Whether this is a macro's own adding to its ``accu_var``, whose name no source can write."""
    first = message(call[cel_ast.ARGS][0])
    return cel_ast.IDENT in first and text(message(first[cel_ast.IDENT][0]), 1).startswith("@")


def _is_small(kind: Message) -> bool:
    return any(kind[field][0] in values for field, values in SMALL.items() if field in kind)


def _pieces(size: Size) -> int:
    return size.get(PIECE, 0) + size.get(MADE, 0)


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


def _put(size: Size, known: Mapping[str, Size]) -> Size:
    """A size in which each variable that is known is replaced by its size."""
    found = {name: count for name, count in size.items() if _root(name) not in known}
    return _sum([found, *(_times(_held(size, name), known[name]) for name in known)])


def _root(name: str) -> str:
    """The variable that a name of a member begins with."""
    return name.partition(".")[0]


def _held(size: Size, name: str) -> int:
    """How often a value holds a variable or member: itself, or the most often of its members."""
    within = f"{name}."
    members = {
        within + other.removeprefix(within).partition(".")[0]
        for other in size
        if other.startswith(within)
    }
    return size.get(name, 0) + max((_held(size, member) for member in members), default=0)
