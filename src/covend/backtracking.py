"""How much a regular expression may make its matcher go back and try again (P8).

The matcher of ``re`` tries one way after the other. Where two repeats in one another can share a
text in many ways, it tries them all before it gives up: twice as many for every further character.
Here a pattern is looked through for the places where the next character does not tell which way to
go on. Within a repeat there must be none; elsewhere each multiplies the steps, so that a text may
be the shorter.

What this does not see: that characters beyond U+07FF are of one class but not named in the pattern
(``PROBES`` are what classes are compared by).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, TypeAlias

MAX_PATTERN = 4096
"""Characters of a pattern."""
MAX_STEPS = 100_000_000
"""Steps of the matcher, about a second, in the worst text of the length it is given."""
MAX_LENGTH = 64 * 1024
MIN_LENGTH = 400
"""Characters of a text; a pattern that could look at fewer is refused."""
MAX_AROUND = 100
"""Characters that a pattern may look ahead or back for."""
UNBOUNDED = 2**32

_parser = import_module("re._parser")  # where the standard library has its parser since 3.11

_BEYOND = [*range(0x2000, 0x2070), 0x3000, 0x4E00, 0x1D7CE, 0x1F600]
PROBES = "".join(map(chr, [*range(0x800), *_BEYOND]))

Chars: TypeAlias = frozenset[str]
Node: TypeAlias = tuple[Any, Any]
"""An operation of a parsed pattern, and what it works with."""
First: TypeAlias = tuple[Chars, bool]
"""With which characters something may begin, and whether it may match none at all."""

NONE: Chars = frozenset()
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_ONE_CHARACTER = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})


class Backtracks(ValueError):
    """A pattern for which no length is short enough; the text says why."""


def longest(pattern: str) -> int:
    """How many characters of a text a pattern may be tried on, at most ``MAX_LENGTH``.

    Raises ``Backtracks``, and whatever ``re.compile`` raises for what is no pattern.
    """
    times, power = growth(pattern)
    length = min(MAX_LENGTH, int((MAX_STEPS / times) ** (1 / power)))
    if length < MIN_LENGTH:
        raise Backtracks(
            "too many of its parts can match the same text: let a character that one of them "
            "cannot match stand between them"
        )
    return length


def growth(pattern: str) -> tuple[float, int]:
    """How the steps grow with the text: so many times a power of its length (P8).

    Raises ``Backtracks`` where it is no power.
    """
    if len(pattern) > MAX_PATTERN:
        raise Backtracks(f"it has {len(pattern)} characters; at most {MAX_PATTERN} are allowed")
    parsed = _parser.parse(pattern)
    ways = _Ways(parsed)
    ways.sequence(list(parsed), NONE, within=None)
    # From each character of the text on, each repeat may end at each.
    return ways.times, 1 + ways.shared + ways.runs


class _Ways:
    """Counts the places of a pattern at which the next character leaves more than one way."""

    def __init__(self, parsed: Any) -> None:
        self.shared = 0
        """Repeats whose end the next character does not tell: each ends anywhere."""
        self.runs = 0
        """1 where yet another repeat comes after the last of those."""
        self.times = 1.0
        """Ways through all other places of that kind."""
        self._alphabet, self._flags = _named(parsed)
        self._classes: dict[str, Chars] = {}
        self._firsts: dict[int, First] = {}

    def sequence(self, nodes: Sequence[Node], after: Chars, within: str | None) -> None:
        """Look through what comes one after the other.

        From its end on: ``after`` is what may come next, ``within`` what it is repeated by.
        """
        follows = after
        for node in reversed(nodes):
            self.one(node, follows, within)
            begins, empty = self.first(node)
            follows = begins | follows if empty else begins

    def one(self, node: Node, after: Chars, within: str | None) -> None:
        """Look through one operation."""
        name, given = str(node[0]), node[1]
        if name in _REPEATS:
            self.repeat(given, after, within)
        elif name in ("ASSERT", "ASSERT_NOT"):
            if given[1].getwidth()[1] > MAX_AROUND:
                raise Backtracks(f"it looks ahead for more than {MAX_AROUND} characters")
            self.sequence(list(given[1]), NONE, "what it looks around for")
        elif name == "GROUPREF":
            self.choice(UNBOUNDED, "a group that is there again", within)
        elif branches := _branches(node):
            self.branch(branches, after, within)
        else:
            self.sequence(_inside(node), after, within)

    def repeat(self, given: tuple[int, Any, Any], after: Chars, within: str | None) -> None:
        """Look through a repeat: does the next character tell whether it goes on?"""
        least, most, body = given[0], int(given[1]), list(given[2])
        begins, empty = self.firsts(body)
        runs = self.runs
        if most == 1 or all(str(name) in _ONE_CHARACTER for name, _ in body):
            self.sequence(body, after, within)
        elif empty:
            raise Backtracks("what is repeated in it can be empty")
        else:
            self.sequence(body, after | begins, "a repeat")
        if least == most:
            return
        if empty or begins & after:
            self.choice(most - least + 1, "a repeat", within)
            self.runs = runs  # what runs within it runs on from where it ends, not anew
        elif most > 1:
            self.runs = self.runs if self.shared else 1

    def branch(self, branches: list[list[Node]], after: Chars, within: str | None) -> None:
        """Look through alternatives: does the next character tell which it is?"""
        seen, overlap = NONE, sum(self.firsts(one)[1] for one in branches) > 1
        for one in branches:
            self.sequence(one, after, within)
            begins, empty = self.firsts(one)
            begins = begins | after if empty else begins
            overlap = overlap or bool(seen & begins)
            seen |= begins
        if overlap:
            self.choice(len(branches), "alternatives", within)

    def choice(self, ways: int, what: str, within: str | None) -> None:
        """Note a place at which there may be more than one way."""
        if within is not None:
            raise Backtracks(
                f"within {within} the next character must tell which way to go on, and at {what} "
                "it does not: for (a+)+ say a+, for (\\w+\\s*)* say [\\w\\s]*"
            )
        if ways > MIN_LENGTH:
            self.shared += 1
        else:
            self.times *= ways

    def firsts(self, nodes: Iterable[Node]) -> First:
        """How what comes one after the other may begin."""
        found = NONE
        for node in nodes:
            begins, empty = self.first(node)
            found |= begins
            if not empty:
                return found, False
        return found, True

    def first(self, node: Node) -> First:
        """How one operation may begin."""
        if id(node) not in self._firsts:
            self._firsts[id(node)] = self._first(node)
        return self._firsts[id(node)]

    def _first(self, node: Node) -> First:
        name, given = str(node[0]), node[1]
        if name in _ONE_CHARACTER:
            return self.characters(_written(name, given)), False
        if name in _REPEATS:
            begins, empty = self.firsts(given[2])
            return begins, empty or given[0] == 0
        if name == "GROUPREF":
            return frozenset(self._alphabet), True
        if branches := _branches(node):
            firsts = [self.firsts(one) for one in branches]
            return NONE.union(*(one for one, _ in firsts)), any(empty for _, empty in firsts)
        return self.firsts(_inside(node))

    def characters(self, written: str) -> Chars:
        """What of the alphabet one character of the pattern may be, under any of its flags."""
        if written not in self._classes:
            matching = (re.findall(written, self._alphabet, flags) for flags in self._flags)
            self._classes[written] = NONE.union(*matching)
        return self._classes[written]


def _branches(node: Node) -> list[list[Node]]:
    """The ways of which an operation takes one."""
    name, given = str(node[0]), node[1]
    if name == "BRANCH":
        return [list(branch) for branch in given[1]]
    if name == "GROUPREF_EXISTS":
        return [list(given[1]), list(given[2] or ())]
    return []


def _inside(node: Node) -> list[Node]:
    """What a group has in it."""
    name, given = str(node[0]), node[1]
    if name == "SUBPATTERN":
        return list(given[3])
    return list(given) if name == "ATOMIC_GROUP" else []


def _written(name: str, given: Any) -> str:
    """A pattern of one character, as it is written."""
    match name:
        case "LITERAL":
            return _character(given)
        case "NOT_LITERAL":
            return f"[^{_character(given)}]"
        case "ANY":
            return "."
        case "RANGE":
            return f"{_character(given[0])}-{_character(given[1])}"
        case "CATEGORY":
            letter = str(given).rpartition("_")[2][0].lower()
            return "\\" + (letter.upper() if "_NOT_" in str(given) else letter)
        case "NEGATE":
            return "^"
        case _:
            return "[" + "".join(_written(str(op), arg) for op, arg in given) + "]"


def _character(code: int) -> str:
    return f"\\U{code:08x}"


def _named(parsed: Any) -> tuple[str, set[int]]:
    """By which characters a pattern's classes are compared, and the flags it sets here or there.

    The characters are all that it names, in both cases, those beside them, and many more.
    """
    codes: set[int] = set()
    added = removed = 0
    parts: list[Any] = [parsed]
    while parts:
        part = parts.pop()
        match part:
            case (name, int() as code) if str(name) in ("LITERAL", "NOT_LITERAL"):
                codes.add(code)
            case (name, (int() as low, int() as high)) if str(name) == "RANGE":
                codes |= {low, high}
            case (name, (_, int() as more, int() as fewer, _)) if str(name) == "SUBPATTERN":
                added, removed = added | more, removed | fewer
                parts += part[1]
            case tuple() | list() | _parser.SubPattern():
                parts += part
            case _:
                pass
    near = {chr(one) for code in codes for one in (code - 1, code, code + 1) if 0 <= one < 0x110000}
    cases = {case for one in near for case in one.swapcase() + one.casefold() + one.upper()}
    flags = parsed.state.flags & ~re.VERBOSE
    variants = {flags, flags | added, flags & ~removed, (flags | added) & ~removed}
    variants = {one & ~re.UNICODE if one & re.ASCII else one for one in variants}
    return PROBES + "".join(sorted((near | cases) - set(PROBES))), variants
