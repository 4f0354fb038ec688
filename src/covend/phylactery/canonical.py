"""Canonical JSON: one byte string for each JSON value, so that a hash names its content (D1).

The form is RFC 8785's: no white space, members sorted by the UTF-16 code units of their names,
strings escaped as little as JSON allows, numbers as ECMAScript prints them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import cast

MAX_SAFE_INTEGER = 2**53 - 1
"""Larger integers are not the same number in every JSON reader, so they are refused."""

MAX_DEPTH = 100


class NotCanonical(ValueError):
    """A value that has no canonical JSON; says where it is and what would be right."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def canonical(value: object) -> bytes:
    """The canonical JSON of ``value`` (None, bool, int, float, str, list, tuple, mapping).

    Raises ``NotCanonical`` for anything else, for NaN and infinities, for integers beyond ±(2⁵³-1)
    and for text that is not Unicode (lone surrogates).
    """
    return "".join(_parts(value, "$", 0)).encode()


def parse(text: str | bytes) -> object:
    """Read JSON so that ``canonical`` gives the same text again if it was canonical.

    Integers beyond ±(2⁵³-1) become floats, as in ECMAScript. Raises ``ValueError`` for no JSON.
    """
    return cast(object, json.loads(text, parse_int=_integer, parse_constant=_refuse))


def number(value: float) -> str:
    """A finite float as ECMAScript's ``Number::toString`` prints it.

    Python's ``repr`` finds the same shortest digits; only where the point stands differs.
    """
    if value == 0:
        return "0"  # also for minus zero
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + cast(int, exponent)  # the value is 0.TEXT × 10^point
    if len(text) <= point <= 21:
        out = text + "0" * (point - len(text))
    elif 0 < point <= 21:
        out = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        out = "0." + "0" * -point + text
    else:
        mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
        out = f"{mantissa}e{point - 1:+d}"
    return f"-{out}" if sign else out


def _integer(digits: str) -> int | float:
    exact = len(digits) <= len(str(-MAX_SAFE_INTEGER)) and abs(int(digits)) <= MAX_SAFE_INTEGER
    return int(digits) if exact else float(digits)


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _parts(value: object, path: str, depth: int) -> list[str]:
    if depth > MAX_DEPTH:
        raise NotCanonical(path, f"nested deeper than {MAX_DEPTH}")
    if value is None:
        return ["null"]
    if value is True:
        return ["true"]
    if value is False:
        return ["false"]
    if isinstance(value, str):
        return [_string(value, path)]
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise NotCanonical(path, f"{value} is beyond ±(2^53-1); write it as a string")
        return [str(int(value))]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotCanonical(path, f"{value} is not a JSON number")
        return [number(value)]
    if isinstance(value, (list, tuple)):
        items = cast("list[object]", value)
        out = ["["]
        for index, item in enumerate(items):
            out += [","] if index else []
            out += _parts(item, f"{path}[{index}]", depth + 1)
        return [*out, "]"]
    if isinstance(value, Mapping):
        return _object(cast("Mapping[object, object]", value), path, depth)
    raise NotCanonical(path, f"a {type(value).__name__} is not a JSON value")


def _object(members: Mapping[object, object], path: str, depth: int) -> list[str]:
    names: list[tuple[bytes, str]] = []
    for name in members:
        if not isinstance(name, str):
            raise NotCanonical(path, f"the member name {name!r} is not text")
        names.append((name.encode("utf-16-be", "surrogatepass"), name))
    out = ["{"]
    for index, (_, name) in enumerate(sorted(names)):
        where = f"{path}.{name}"
        out += [",", _string(name, where)] if index else [_string(name, where)]
        out += [":", *_parts(members[name], where, depth + 1)]
    return [*out, "}"]


def _string(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotCanonical(path.encode(errors="replace").decode(), "not Unicode text") from None
    return encode_basestring(text)
