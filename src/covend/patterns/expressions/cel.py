"""CEL, the expression language of predicates, weights and thresholds, behind one adapter (P15).

What an expression may do: the operators, macros and functions of the CEL language definition,
over values that are JSON. It ends soon: the source is at most 2 KB, nested at most 32 deep, and
an evaluation takes at most about ten thousand steps of its macros; ``matches`` is linear in time.
What its macros could build is bounded when it is checked, see ``cel_growth``; over a map they go
in the order of its keys, see ``cel_macros``.

What this does not do: no extension libraries (``math``, ``strings``, ``optional``, ``cel.bind``),
no protocol buffers, no clock and no functions of our own. Canonical JSON cannot tell 1.0 from 1,
so whole numbers are ``int`` here and others ``double``; comparing and ``==`` work across the two,
and arithmetic that may meet both takes ``double(x)``. ``confidence`` and ``trust`` are always
``double``. Bytes, timestamps, durations and types may be used inside an expression and cannot be
its result.

Everything here is pure and may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NoReturn, cast

from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

from covend.patterns.expressions.cel_growth import growth_problem
from covend.patterns.expressions.cel_macros import IN_ORDER, rewritten
from covend.patterns.expressions.cel_members import unknown_member

MAX_SOURCE = 2048
"""Bytes of UTF-8 in one expression (P15)."""

VOCABULARY: Final[Mapping[str, str]] = {
    "answer": "dyn",
    "confidence": "double",
    "input": "dyn",
    "know": "map(string, dyn)",
    "responder": "map(string, dyn)",
    "response": "map(string, dyn)",
    "responses": "list(map(string, dyn))",
}
"""The types of the names that expressions meet; any other name is ``dyn``."""

MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "know": frozenset(
        {"status", "answer", "confidence", "code", "reason", "folded", "partial", "cost"}
        | {"advisory", "attempts", "audit", "disagreement", "obligations", "stage", "tier"}
    ),
    "responder": frozenset(
        {"id", "kind", "model", "alias_of", "endpoint", "api_key_env", "function", "command"}
        | {"url", "schema", "did", "channels", "delegates", "sla_secs", "domains", "capabilities"}
        | {"trust", "seen", "available", "hours", "typical_delay_secs", "cost", "idempotent"}
        | {"status"}
    ),
    "response": frozenset({"answer", "confidence", "trust", "responder", "rationale"}),
}
"""All that these may hold; some of it only at times, for which there is ``has``."""

ALWAYS_DOUBLE = frozenset({"confidence", "trust"})

Gives = Literal["bool", "number", "any"]

_GIVES: Mapping[str, frozenset[str]] = {
    "bool": frozenset({"BOOL", "DYN"}),
    "number": frozenset({"INT", "UINT", "DOUBLE", "DYN"}),
}

_UNDECLARED = "undeclared reference to "
_COMPILE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


@dataclass(frozen=True, slots=True)
class CelError:
    """What an expression gave that could not be evaluated; neither true nor false (P15).

    Test the type: asking for its truth raises ``TypeError``.
    """

    message: str

    def __bool__(self) -> NoReturn:
        raise TypeError("a CelError is neither true nor false; test for its type")


def check(source: str, names: Mapping[str, str], gives: Gives = "bool") -> str | None:
    """What is wrong with an expression, or None.

    ``names`` maps each name that is there to its CEL type (``double``, ``list(string)``, ``dyn``).
    A dotted name (``answer.total``) declares a member of a map. ``gives`` is what must come out.
    """
    declared = tuple(sorted(names.items()))
    program = _compiled(source, declared)
    if isinstance(program, CelError):
        return _with_names(program.message, names)
    result = program.return_type().name().partition("<")[0]
    if gives in _GIVES and result not in _GIVES[gives]:
        return f"gives {result.lower()}; it must give {gives}"
    known = {name: MEMBERS[name] for name in names if name in MEMBERS}
    if known and (problem := unknown_member(program.serialize(), known)):
        return problem
    return _problem(source, declared)


def evaluate(source: str, values: Mapping[str, Any]) -> Any | CelError:
    """The JSON value an expression has over ``values``, or the ``CelError`` it ends in.

    Raises nothing but ``MemoryError``, and that deliberately: how much memory there is depends on
    the process, and a ``CelError`` for it would be recorded where a replay finds a value (P2).
    """
    program = _program(source, _declared(tuple(values)))
    if isinstance(program, CelError):
        return program
    try:
        given = {name: _given(name, value) for name, value in values.items()}
        found = program.eval(data=given)
        kind = found.type()
        if kind == cel.Type.BOOL:  # as most are, and it takes a while to tell the others apart
            return found.value()
        # Errors come back as values, and truthy ones: only their type tells.
        if kind in (cel.Type.ERROR, cel.Type.UNKNOWN):
            return CelError(str(found.value()))
        return _json(found)
    except (RuntimeError, ValueError, TypeError, OverflowError, RecursionError) as failed:
        return CelError(str(failed))


def holds(source: str, values: Mapping[str, Any]) -> bool | CelError:
    """Whether a condition is met; a result that is no bool is an error."""
    found = evaluate(source, values)
    if isinstance(found, bool | CelError):
        return found
    return CelError(f"gives {found!r}, which is neither true nor false")


@lru_cache(maxsize=256)
def _declared(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """These names with their types, in the one order that a compiled expression is kept under."""
    return tuple(sorted((name, VOCABULARY.get(name, "dyn")) for name in names))


def _program(source: str, names: tuple[tuple[str, str], ...]) -> cel.Expression | CelError:
    """The program that is evaluated, with its macros rewritten where that is possible.

    Where it is not, the expression was admitted before macros were rewritten, and stays so (P5).
    """
    program = _rewritten(source, names)
    return _compiled(source, names) if program is None else program


@lru_cache(maxsize=1024)
def _problem(source: str, names: tuple[tuple[str, str], ...]) -> str | None:
    """What is wrong with what an expression may do."""
    program = _compiled(source, names)
    if isinstance(program, CelError):
        return program.message
    if _rewritten(source, names) is None:
        return "is nested too deep for what its macros go over: nest less"
    return growth_problem(program.serialize())


@lru_cache(maxsize=1024)
def _compiled(source: str, names: tuple[tuple[str, str], ...]) -> cel.Expression | CelError:
    """What the compiler makes of a source."""
    size = len(source.encode(errors="replace"))
    if size > MAX_SOURCE:
        return CelError(f"{size} bytes long; at most {MAX_SOURCE} are allowed")
    try:
        return _environment(names, changed=False).compile(source)
    except (RuntimeError, ValueError) as failed:
        return CelError(_readable(str(failed)))


@lru_cache(maxsize=1024)
def _rewritten(source: str, names: tuple[tuple[str, str], ...]) -> cel.Expression | CelError | None:
    """The program whose macros go round as ``cel_macros`` says, or None.

    The evaluator reads no compiled expression that is nested as deep as what it compiles itself.
    """
    program = _compiled(source, names)
    if isinstance(program, CelError):
        return program
    changed = rewritten(program.serialize())
    if changed is None:
        return program
    try:
        return _environment(names, changed=True).deserialize(changed)
    except RuntimeError:
        return None


@lru_cache(maxsize=256)
def _environment(names: tuple[tuple[str, str], ...], *, changed: bool) -> cel.Env:
    variables = {name: _type(written) for name, written in names}
    return cel.NewEnv(variables=variables, functions=[IN_ORDER] if changed else [])


def _type(written: str) -> cel.Type:
    return cel.Type(written.replace("(", "<").replace(")", ">"))


def _readable(failed: str) -> str:
    """The compiler's complaints as ``LINE:COLUMN: what``, without its drawing of the source."""
    found = _COMPILE_ERROR.findall(failed)
    if not found:
        return failed.partition("\n")[0]
    return "; ".join(
        what if line == "-1" else f"{line}:{column}: {what}" for line, column, what in found
    )


def _with_names(problem: str, names: Mapping[str, str]) -> str:
    """A complaint about a name that is not there, with those that are."""
    if _UNDECLARED not in problem:
        return problem
    return f"{problem}; there are: {', '.join(sorted(names)) or 'none'}"


def _given(name: str, value: Any) -> Any:
    """A value as the evaluator takes it: lists for tuples, and numbers by the rule above."""
    match value:
        case str() | bool() | None:
            return value
        case int() | float() if name in ALWAYS_DOUBLE:
            return float(value)
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case dict():
            members = cast("dict[str, Any]", value)
            return {key: _given(key, member) for key, member in members.items()}
        case list() | tuple():
            return [_given("", item) for item in cast("list[Any]", value)]
        case _:
            return value


def _json(found: cel.Value) -> Any | CelError:
    """The result, if it is JSON.

    It is taken apart here: where a null is made a Python value by the evaluator, ``None`` loses a
    reference that it never had, and without any the process dies (Python before 3.12).
    """
    if found.type() == cel.Type.NULL:
        return None
    value = found.value()
    match value:
        case bool() | int() | float() | str():
            return value
        case list():
            items = [_json(item) for item in cast("list[cel.Value]", value)]
            return next((item for item in items if isinstance(item, CelError)), items)
        case dict():
            members: dict[str, Any] = {}
            # The evaluator's own order is another in each process, and so was the first error.
            entries = cast("dict[object, cel.Value]", value)
            for key, member in sorted(entries.items(), key=lambda entry: str(entry[0])):
                item = _json(member)
                if isinstance(item, CelError) or not isinstance(key, str):
                    return item if isinstance(item, CelError) else CelError(_not_json(key))
                members[key] = item
            return members
        case _:
            return CelError(_not_json(value))


def _not_json(value: object) -> str:
    return f"gives {value!r} ({type(value).__name__}), which is no JSON"
