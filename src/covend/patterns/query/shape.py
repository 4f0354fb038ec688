"""Whether an answer has the shape that was asked for: text, JSON, or one of some choices (P7, P11).

A JSON Schema stands for itself: references to other documents are errors. Its patterns are matched
in linear time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NoReturn, cast

import jsonschema_rs

from covend.patterns.query.expansion import expansion_problem, is_recursive
from covend.patterns.query.spec import AnswerShape
from covend.phylactery.canonical import canonical, parse

MAX_PROBLEMS = 20
MAX_NESTED = 64
"""Levels of lists and objects in what is asked about and answered; records put more around it."""

MAX_INPUT_BYTES = 4 * 1024 * 1024
MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""Of the canonical JSON of what a run is about, and of an answer: a record holds several."""

MAX_TOLD = 16 * 1024
"""Members and characters of an answer; of a larger one it is not said what is wrong where."""

MAX_SCHEMA_BYTES = 64 * 1024
"""Of the canonical JSON of a schema that is newly admitted; what was admitted stays."""

MAX_KEPT = 32
"""Schemas that are kept ready for use: one full of patterns takes 13 MB."""

Fault = tuple[str, str]
"""Where something is in an answer, as ``path`` writes it, and what is wrong with it."""


def problems(shape: AnswerShape, value: Any, schemas: Mapping[str, Any] | None = None) -> list[str]:
    """``faults`` as texts, each behind its path and a colon."""
    return [told(fault) for fault in faults(shape, value, schemas)]


def problems_told(shape: AnswerShape, value: Any) -> list[str]:
    """``faults_told`` as texts, each behind its path and a colon."""
    return [told(fault) for fault in faults_told(shape, value)]


def told(fault: Fault) -> str:
    """A fault as a record says it."""
    return ": ".join(fault)


def faults(shape: AnswerShape, value: Any, schemas: Mapping[str, Any] | None = None) -> list[Fault]:
    """What is wrong with an answer, in the order of its texts; empty for a valid one.

    ``schemas`` are the named schemas that ``schema_ref`` may refer to.
    """
    match shape.kind:
        case "text":
            return _text(value)
        case "choice":
            return _choice(shape, value)
        case "json":
            missing = _missing(shape, value)
            return missing + _by_schema(shape, value, schemas or {})


def faults_told(shape: AnswerShape, value: Any) -> list[Fault]:
    """``faults`` of what a responder sent, in a time that the responder cannot prolong (P11).

    To find out whether an answer is valid is quick. To say what is wrong with it may not be: every
    reason shows its part of the answer, every item has reasons, and where alternatives of a schema
    refer back to it, each level of the answer multiplies them.
    """
    if shape.kind != "json" or shape.schema is None:
        return faults(shape, value)
    schema = canonical(shape.schema)
    if _valid(schema, value):
        return _missing(shape, value)
    if _is_recursive(schema):
        why = "the schema leads back to itself"
    elif _larger(value, MAX_TOLD):
        why = "the answer is large"
    else:
        return faults(shape, value)
    unplaced = f"does not match its schema; where is not said, as {why}"
    return [*_missing(shape, value), ("$", unplaced)]


def schema_problem(schema: Any) -> str | None:
    """What is wrong with a JSON Schema itself, or None (P7).

    Asked when a schema comes in, not when an answer is checked: what was admitted stays so.
    """
    if not isinstance(schema, dict):
        return f"must be an object, not {_named(schema)}"
    data = canonical(cast("dict[str, Any]", schema))
    if len(data) > MAX_SCHEMA_BYTES:
        return f"has {len(data)} bytes as canonical JSON; at most {MAX_SCHEMA_BYTES} are allowed"
    try:
        _validator(data)
    except _NotValid as failed:
        return str(failed)
    return expansion_problem(cast("dict[str, Any]", parse(data.decode())))


def nested_deeper(value: Any, levels: int) -> bool:
    """Whether a value has more than so many levels of lists and objects in one another."""
    if isinstance(value, dict):
        members: Iterable[Any] = cast("dict[str, Any]", value).values()
    elif isinstance(value, list | tuple):
        members = cast("Sequence[Any]", value)
    else:
        return False
    return levels == 0 or any(nested_deeper(member, levels - 1) for member in members)


def _larger(value: Any, size: int) -> bool:
    """Whether a value has more than so many members and characters, names among them."""
    parts = [value]
    while parts and size >= 0:
        part = parts.pop()
        if not isinstance(part, str | dict | list):
            continue
        size -= len(cast("Sequence[Any]", part))
        if isinstance(part, dict) and size >= 0:
            members = cast("dict[str, Any]", part)
            parts += [*members, *members.values()]
        elif isinstance(part, list) and size >= 0:
            parts += cast("list[Any]", part)
    return size < 0


def schema_of(shape: AnswerShape, schemas: Mapping[str, Any]) -> Any:
    """The schema an answer must meet, or None; raises ``KeyError`` for an unknown name."""
    if shape.schema is not None or shape.schema_ref is None:
        return shape.schema
    return schemas[shape.schema_ref]


def _text(value: Any) -> list[Fault]:
    if not isinstance(value, str):
        return [("$", f"must be text, not {_named(value)}")]
    return [] if value.strip() else [("$", "must not be empty")]


def _choice(shape: AnswerShape, value: Any) -> list[Fault]:
    if value in shape.choices and isinstance(value, str):
        return []
    return [("$", f"must be one of {', '.join(shape.choices)}, not {_shown(value)}")]


def _missing(shape: AnswerShape, value: Any) -> list[Fault]:
    if not shape.required_fields:
        return []
    if not isinstance(value, dict):
        return [("$", f"must be an object, not {_named(value)}")]
    return [(f"$.{name}", "is required") for name in shape.required_fields if name not in value]


def _by_schema(shape: AnswerShape, value: Any, schemas: Mapping[str, Any]) -> list[Fault]:
    try:
        schema = schema_of(shape, schemas)
    except KeyError:
        return [("$", f"there is no schema named {shape.schema_ref}")]
    if schema is None:
        return []
    try:
        validator = _validator(canonical(schema))
    except _NotValid as failed:
        return [("$", f"the schema is not valid: {failed}")]
    if validator.is_valid(value):  # many times faster than to find no error
        return []
    first = islice(validator.iter_errors(value), MAX_PROBLEMS)
    found = {(path(error.instance_path), error.message) for error in first}
    return sorted(found, key=told)


class _NotValid(Exception):
    """A schema is none; the argument says why. Nothing is kept of it."""


@lru_cache(maxsize=MAX_KEPT)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    """A validator by the canonical schema; raises ``_NotValid``."""
    decoded = parse(schema.decode())
    if not isinstance(decoded, dict | bool):
        raise _NotValid(f"must be an object, not {_named(decoded)}")
    try:
        return jsonschema_rs.validator_for(
            cast(Any, decoded),
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as failed:
        message = getattr(failed, "message", None) or str(failed).partition("\n")[0]
        raise _NotValid(message) from None


def _valid(schema: bytes, value: Any) -> bool:
    """Whether a schema is valid and so is the value by it."""
    try:
        return _validator(schema).is_valid(value)
    except _NotValid:
        return False


@lru_cache(maxsize=MAX_KEPT)
def _is_recursive(schema: bytes) -> bool:
    decoded = parse(schema.decode())
    return isinstance(decoded, dict) and is_recursive(cast("dict[str, Any]", decoded))


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is another document; a schema must be complete in itself")


def path(steps: Any) -> str:
    """Where something is in a JSON value: ``$.items[0].name``."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _named(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case dict():
            return "an object"
        case _:
            return "a list"


def _shown(value: Any) -> str:
    text = canonical(value).decode()
    return text if len(text) <= 80 else text[:77] + "…"
