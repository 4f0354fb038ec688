"""Turns a parsed TOML document into the structs, collecting every error instead of the first.

The structs are the one description of the format: this module walks their types. What fails to
convert is reported and left out, so that the checks after it see all that was right.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
import msgspec.inspect as types

from covend.config.errors import Path, did_you_mean, shorten
from covend.config.units import parse_seconds, parse_size

Report = Callable[[Path, str], None]

_BAD = object()
_S = TypeVar("_S", bound=msgspec.Struct)

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "a table"),
)

_PATTERNS = {
    "^/": "a path that begins with /",
    "^[0-9a-f]{64}$": "64 lowercase hex digits; `covend keys hash` prints them",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$": "1 to 48 letters, digits, dots, dashes or underscores, "
    "beginning with a letter or digit",
    r"^[^\s\x00-\x1f]{1,200}$": "1 to 200 characters without spaces",
    r"^[\x21-\x7e]{1,200}$": "1 to 200 ASCII characters without spaces",
    r"^(|([01]\d|2[0-3]):[0-5]\d)$": 'a time of day as "HH:MM"',
}
"""What each pattern of the structs asks for, in words."""

_CLEAR_TEXT_KEYS = {"key", "secret", "token", "value", "api_key", "password"}


def problems_of(kind: type[msgspec.Struct], table: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """What a box file would be refused for that says this in a table of that kind; pure."""
    found: list[tuple[Path, str]] = []
    Converter(lambda path, problem: found.append((path, problem))).struct(kind, table)
    return found


class Converter:
    """One pass over one document.

    `where` has the path of each struct made, by its id; `failed` the paths that did not convert.
    """

    def __init__(self, report: Report) -> None:
        self.tell = report
        self.where: dict[int, Path] = {}
        self.failed: set[Path] = set()

    def report(self, path: Path, message: str) -> None:
        """Tell an error, and remember that nothing is known of what stands there."""
        self.failed.add(path)
        self.tell(path, message)

    def struct(self, kind: type[_S], table: Mapping[str, Any]) -> _S | None:
        """The document as `kind`; None if what is wrong leaves none. Reports every error."""
        made = self._struct(cast(types.StructType, types.type_info(kind)), table, ())
        return None if made is _BAD else cast(_S, made)

    def _value(self, kind: types.Type, value: Any, path: Path, unit: str | None = None) -> Any:
        match kind:
            case types.Metadata():
                return self._value(kind.type, value, path, _extra(kind).get("unit", unit))
            case types.UnionType(types=options):  # always "T or nothing": TOML has no null
                inner = next(t for t in options if not isinstance(t, types.NoneType))
                return self._value(inner, value, path, unit)
            case types.StructType():
                return self._struct(kind, value, path)
            case types.VarTupleType():
                return self._array(kind, value, path)
            case types.DictType():
                return self._table(kind, value, path)
            case types.LiteralType(values=choices):
                return self._choice([str(choice) for choice in choices], value, path)
            case types.BoolType():
                return (
                    value if isinstance(value, bool) else self._wrong(path, "true or false", value)
                )
            case types.IntType() | types.FloatType():
                return self._number(kind, value, path, unit)
            case types.StrType():
                return self._string(kind, value, path)
            case _:
                raise AssertionError(f"no TOML form for {kind}")

    def _struct(self, kind: types.StructType, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "a table", value)
        table = cast(dict[str, Any], value)
        fields = {field.encode_name: field for field in kind.fields if not _computed(field)}
        for key in table.keys() - fields.keys():
            self.report((*path, key), self._unknown(kind, key, fields))
        given: dict[str, Any] = {}
        complete = True
        for key, field in fields.items():
            if key in table:
                made = self._value(field.type, table[key], (*path, key))
                if made is not _BAD:
                    given[field.name] = made
                    continue
            elif field.required:
                self.report(path, f"{key!r} is missing: {_describe(field)}")
            complete = complete and not field.required
        if not complete:
            return _BAD
        made = kind.cls(**given)
        self.where[id(made)] = path
        return made

    def _unknown(self, kind: types.StructType, key: str, fields: Mapping[str, object]) -> str:
        if kind.cls.__name__ == "Key" and key.lower() in _CLEAR_TEXT_KEYS:
            return (
                "keys are never stored in clear text; `covend keys add NAME` makes one and stores "
                "its sha256, `covend keys hash` hashes one you have"
            )
        return f"unknown key {shorten(key)}{did_you_mean(key, fields)}"

    def _array(self, kind: types.VarTupleType, value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            hint = ""
            if isinstance(value, str):
                hint = f"; write {_toml_array(value, path)}"
            elif isinstance(value, dict) and isinstance(_bare(kind.item_type), types.StructType):
                hint = f"; write [[{'.'.join(map(str, path))}]]"
            return self._wrong(path, "an array", value, hint)
        items = cast(list[Any], value)
        if kind.min_length and len(items) < kind.min_length:
            self.report(path, f"must not be empty; name at least {kind.min_length}")
            return _BAD
        made = [
            self._value(kind.item_type, item, (*path, index)) for index, item in enumerate(items)
        ]
        return tuple(item for item in made if item is not _BAD)

    def _table(self, kind: types.DictType, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "a table", value)
        table = cast(dict[str, Any], value)
        made = {
            key: self._value(kind.value_type, item, (*path, key)) for key, item in table.items()
        }
        return {key: item for key, item in made.items() if item is not _BAD}

    def _choice(self, choices: list[str], value: Any, path: Path) -> Any:
        if isinstance(value, str) and value in choices:
            return value
        listed = " or ".join(repr(choice) for choice in choices)
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        return self._wrong(path, listed, value, hint if "did you mean" in hint else "")

    def _number(
        self, kind: types.IntType | types.FloatType, value: Any, path: Path, unit: str | None
    ) -> Any:
        if unit == "size":
            wanted = 'a size such as 1073741824, "300MiB" or "1.5GiB"'
        elif unit == "seconds":
            wanted = 'a duration such as 2.5, "30s" or "15min"'
        else:
            wanted = "a whole number" if isinstance(kind, types.IntType) else "a number"
        number: Any = value
        if unit is not None and isinstance(value, str):
            try:
                number = parse_size(value) if unit == "size" else parse_seconds(value)
            except ValueError:
                return self._wrong(path, wanted, value)
        whole = isinstance(kind, types.IntType)
        if isinstance(number, bool) or not isinstance(number, int if whole else (int, float)):
            return self._wrong(path, wanted, value)
        if kind.ge is not None and number < kind.ge:
            return self._beyond(path, f"at least {kind.ge}", value)
        if kind.gt is not None and number <= kind.gt:
            return self._beyond(path, f"more than {kind.gt}", value)
        if kind.le is not None and number > kind.le:
            return self._beyond(path, f"at most {kind.le}", value)
        if not math.isfinite(number) or abs(number) >= 2**63:
            return self._beyond(path, f"{wanted}, and finite", value)
        return number if whole else float(number)

    def _string(self, kind: types.StrType, value: Any, path: Path) -> Any:
        if not isinstance(value, str):
            return self._wrong(path, "a string", value)
        if "\0" in value:
            return self._wrong(path, "a string without NUL characters", value)
        if kind.min_length and len(value) < kind.min_length:
            return self._wrong(path, "a string that is not empty", value)
        if kind.pattern and not _matches(kind.pattern, value):
            # A clear-text key may have been pasted where its hash belongs: never echo it.
            secret = "hex digits" in _PATTERNS[kind.pattern]
            shown: Any = "something else" if secret else value
            return self._wrong(path, _PATTERNS[kind.pattern], shown)
        return value

    def _beyond(self, path: Path, wanted: str, value: Any) -> object:
        """A value of the right kind beyond its bounds."""
        self.report(path, f"must be {wanted}, not {shorten(value)}")
        return _BAD

    def _wrong(self, path: Path, wanted: str, value: Any, hint: str = "") -> object:
        kind = next((words for kind, words in _KINDS if isinstance(value, kind)), "a date or time")
        shown = "" if isinstance(value, (dict, list)) else f" ({shorten(value)})"
        if isinstance(value, bool):
            shown = f" ({str(value).lower()})"
        self.report(path, f"must be {wanted}, not {kind}{shown}{hint}")
        return _BAD


def _matches(pattern: str, value: str) -> bool:
    """As JSON Schema means it: ``$`` is the end, and not before a line feed that ends the text."""
    whole = pattern.endswith("$")
    return bool(re.search(f"{pattern[:-1]}\\Z" if whole else pattern, value))


def _extra(kind: types.Metadata) -> dict[str, Any]:
    return cast(dict[str, Any], kind.extra or {})  # pyright: ignore[reportUnknownMemberType]


def _computed(field: types.Field) -> bool:
    return isinstance(field.type, types.Metadata) and "computed" in _extra(field.type)


def _bare(kind: types.Type) -> types.Type:
    return kind.type if isinstance(kind, types.Metadata) else kind


def _describe(field: types.Field) -> str:
    assert isinstance(field.type, types.Metadata), "every required field is described"
    schema = cast(
        dict[str, str],
        field.type.extra_json_schema,  # pyright: ignore[reportUnknownMemberType]
    )
    text = schema["description"]
    return text[0].lower() + text[1:].rstrip(".")


def _toml_array(value: str, path: Path) -> str:
    """`value` as the array that was probably meant; a command line is split into its words."""
    try:
        words = shlex.split(value) if path[-1] == "command" else [value]
    except ValueError:  # an unbalanced quote: the shell would refuse it as well
        words = [value]
    return "[" + ", ".join(f'"{word}"' for word in words)[:200] + "]"
