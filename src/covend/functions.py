"""Deterministic functions that answer questions: responders of kind ``pattern`` (P8).

A function is named ``NAME`` or ``NAME:ARGUMENT`` and is found by entry point (group
``covend.functions``) or among those here. It is called with what was asked (``question``,
``input``, ``role``, ``show``, ``shape``) and its argument, in a thread of its own unless it is
quick. It returns the answer as JSON data, and raises ``Declined`` where it cannot answer.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.metadata import entry_points
from typing import Any, TypeAlias, cast

import re2  # pyright: ignore[reportMissingTypeStubs]

GROUP = "covend.functions"
MAX_TEXT = 64 * 1024
"""Characters of a text that are looked through."""
MAX_PROGRAM = 10_000
"""Instructions of a compiled regular expression: with them grows the time for each character."""
MAX_GROUPS = 20
"""Of a regular expression; they may have to be copied for each instruction."""
MAX_MATCHER = 1 << 20
"""Bytes that one compiled regular expression may take; re2 keeps the last 128."""
MAX_KEPT = 64
"""Of them are found without asking re2, which takes longer to find one than to run it."""
QUICK_STEPS = 100_000
"""Instructions of a regular expression at all characters together: they take 2 ms at most."""
QUICK_TEXT = 1000
"""Characters that every other function here is done with as soon."""
MAX_EXPRESSION = 1024
"""Characters of arithmetic, or of a number, that is still read."""
MAX_TRIED = 20
MAX_POWER = 256
MAX_BITS = 8192
"""Of a whole number on the way to the result."""

Asked: TypeAlias = Mapping[str, Any]
Function: TypeAlias = Callable[[Asked, str], Any]

_RE2 = cast("Any", re2)  # it has no types of its own


class Declined(Exception):
    """A function has no answer to this question; the text says why."""


class UnknownFunction(ValueError):
    """No function of that name: says which there are."""


def regex(asked: Asked, argument: str) -> Any:
    """The first match of the expression ``argument`` in the input, or else in the question.

    Named groups are answered as an object, else the first group, else the whole match.
    """
    expression = _expression(argument)
    found = texts(asked)
    for text in found:
        if match := expression.search(text[:MAX_TEXT]):
            return match.groupdict() or (match.group(1) if match.groups() else match.group())
    cut = any(len(text) > MAX_TEXT for text in found)
    where = f" in the first {MAX_TEXT} characters, all that is looked through" if cut else ""
    raise Declined(f"nothing matches {quoted(argument)}{where}")


@lru_cache(maxsize=MAX_KEPT)
def _expression(argument: str) -> Any:
    """The compiled expression; raises ``Declined`` where it cannot be had."""
    options = _RE2.Options()
    options.max_mem = MAX_MATCHER
    options.log_errors = False
    try:
        expression = _RE2.compile(argument, options)
    except _RE2.error as error:
        reason = error.args[0].decode(errors="replace")[:200]
    except UnicodeEncodeError:
        reason = "not Unicode text"
    else:
        if expression.programsize <= MAX_PROGRAM and expression.groups <= MAX_GROUPS:
            return expression
        reason = (
            f"{expression.programsize} instructions and {expression.groups} groups, "
            f"where at most {MAX_PROGRAM} and {MAX_GROUPS} may be"
        )
    raise Declined(f"{quoted(argument[:100])} is no regular expression that RE2 can run: {reason}")


def quoted(expression: str) -> str:
    """An expression in quotation marks, its backslashes as it was written with, on one line."""
    return repr(expression).replace("\\\\", "\\")


def lookup(asked: Asked, argument: str) -> Any:
    """What the table ``argument`` (a JSON object) has for the input, or else for the question."""
    known = _table(argument)
    for text in texts(asked):
        if text.strip() in known:
            return known[text.strip()]
    raise Declined("the table has no such entry")


def _table(argument: str) -> dict[str, Any]:
    try:
        table = json.loads(argument)
    except (ValueError, RecursionError) as error:
        raise Declined(f"the table is not JSON: {error}") from None
    if not isinstance(table, dict):
        raise Declined("the table is not a JSON object")
    return cast("dict[str, Any]", table)


def arithmetic(asked: Asked, argument: str) -> Any:
    """What the arithmetic in the input comes to, or else that in the question.

    Asked to judge a shown answer, it says whether that is the result.
    """
    for text in texts(asked):
        if (value := computed(text)) is not None:
            break
    else:
        if any(len(part) > MAX_EXPRESSION for text in texts(asked) for part in calculations(text)):
            raise Declined(f"the arithmetic has more than {MAX_EXPRESSION} characters: too long")
        raise Declined("no arithmetic was found")
    if asked.get("role") in ("audit", "judge"):
        return {"approved": same_number(asked.get("show"), value)}
    return value


BUILT_IN: dict[str, Function] = {"regex": regex, "lookup": lookup, "arithmetic": arithmetic}


@cache
def installed() -> dict[str, Any]:
    """The entry points of the group, by name; read once."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Every function's name."""
    return sorted({*BUILT_IN, *installed()})


def find(name: str) -> tuple[Function, str]:
    """The function that ``NAME:ARGUMENT`` names, and the argument; raises ``UnknownFunction``."""
    bare, _, argument = name.partition(":")
    if bare in installed():
        return installed()[bare].load(), argument
    if bare in BUILT_IN:
        return BUILT_IN[bare], argument
    raise UnknownFunction(f"no function is called {bare!r}: there are {', '.join(names())}")


def is_quick(name: str, asked: Asked) -> bool:
    """Whether a function surely takes hardly longer than to begin a thread for it."""
    bare, _, argument = name.partition(":")
    function = None if bare in installed() else BUILT_IN.get(bare)
    given = [asked.get(member) or "" for member in ("question", "input", "show")]
    if function is None or not all(isinstance(text, str) for text in given):
        return False
    size = sum(map(len, given))
    if function is not regex:
        return function in (lookup, arithmetic) and len(argument) + size <= QUICK_TEXT
    try:
        return _expression(argument).programsize * size <= QUICK_STEPS
    except Declined:
        return True


def problem(name: str) -> str | None:
    """Why nobody could ever be answered by what ``NAME:ARGUMENT`` names, or None; loads nothing."""
    bare, _, argument = name.partition(":")
    if bare in installed():
        return None
    try:
        function, argument = find(name)
        if function is regex:
            _expression(argument)
        elif function is lookup:
            _table(argument)
    except (UnknownFunction, Declined) as error:
        return str(error)
    return None


def texts(asked: Asked) -> list[str]:
    """Where to look: the texts in the input, then the question."""
    given = asked.get("input")
    found = [given] if isinstance(given, str) else []
    if isinstance(given, dict):
        members = cast("dict[str, Any]", given)
        found = [value for _, value in sorted(members.items()) if isinstance(value, str)]
    elif given is not None and not isinstance(given, str):
        found = [json.dumps(given)]
    return [*found, str(asked.get("question", ""))]


# ── arithmetic ───────────────────────────────────────────────────────────────────────────────

_EXPRESSION = re.compile(r"(?<![-+(])[-+(]*+\d[\d\s.+*/()%^-]*")
"""In linear time: what comes before the first digit is gone through once."""
_OPERATION = re.compile(r"\d\s*[-+*/%^]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _power(base: Any, power: Any) -> Any:
    if abs(base) > 10**6 or abs(power) > MAX_POWER:
        raise ValueError("too large")
    return base**power


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda one, other: one / other,
    ast.Mod: operator.mod,
    ast.FloorDiv: lambda one, other: one // other,
    ast.Pow: _power,
}


def computed(text: str) -> float | int | None:
    """The value of the longest arithmetic expression in a text, None where there is none.

    One of more than ``MAX_EXPRESSION`` characters is none, and so is one that comes to more than
    ``MAX_BITS`` anywhere.
    """
    fitting = [part for part in calculations(text) if len(part) <= MAX_EXPRESSION]
    for part in sorted(fitting, key=len, reverse=True)[:MAX_TRIED]:
        try:
            value = _value(ast.parse(part.rstrip(".").replace("^", "**"), mode="eval").body)
        except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
            continue  # MemoryError is what the parser says of too many levels
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return int(value) if whole else value
    return None


def calculations(text: str) -> Iterator[str]:
    """The parts of a text that look like arithmetic, however long."""
    found = (match.group().strip() for match in _EXPRESSION.finditer(text[:MAX_TEXT]))
    return (part for part in found if _OPERATION.search(part))


def same_number(shown: Any, value: float) -> bool:
    """Whether what is shown (itself, its ``answer``, a text's last number) is ``value``."""
    if isinstance(shown, dict):
        return same_number(cast("dict[str, Any]", shown).get("answer"), value)
    if isinstance(shown, str):
        numbers = _NUMBER.findall(shown.replace(",", ""))
        if not numbers or len(numbers[-1]) > 4 * MAX_EXPRESSION:
            return False
        return same_number(float(numbers[-1]) if "." in numbers[-1] else int(numbers[-1]), value)
    if isinstance(shown, bool) or not isinstance(shown, int | float):
        return False
    try:
        return abs(shown - value) <= 1e-9 * max(1.0, abs(value))
    except OverflowError:  # a whole number beyond what a float can be
        return shown == value


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _BINARY:
            return _bounded(_BINARY[type(kind)](_value(left), _value(right)))
        case _:
            raise ValueError("not arithmetic")


def _bounded(value: Any) -> float | int:
    """A result on the way, if it is a number that more can be done with."""
    if isinstance(value, int) and value.bit_length() <= MAX_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError("no number, or too large")
