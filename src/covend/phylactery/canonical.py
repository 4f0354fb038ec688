"""Canonical JSON: one byte string for each JSON value, so that a hash names its content (D1).

The form is RFC 8785's: no white space, members sorted by the UTF-16 code units of their names,
strings escaped as little as JSON allows, numbers as ECMAScript prints them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, cast

import msgspec
import rfc8785

MAX_SAFE_INTEGER = 2**53 - 1
"""Larger integers are not the same number in every JSON reader, so they are refused."""

MAX_DEPTH = 100

_LARGE = 1e15
"""Floats from here on are printed by the reference alone."""

# A smaller integer is read alike by every reader. So many digits in a row are found faster than an
# integer is, once every digit is a 0 and whatever an integer comes after is a colon.
_DIGITS = bytes.maketrans(b"123456789,[- \t\n\r", b"000000000:::::::")
_SEVENTEEN = b":" + b"0" * 17
_SIXTEEN = re.compile(rb"9(?<![\d.]9)\d{15}")
_class_of: Callable[[Any], object] = type
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode


class NotCanonical(ValueError):
    """A value that has no canonical JSON; says where it is and what would be right."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def canonical(value: object) -> bytes:
    """The canonical JSON of ``value`` (None, bool, int, float, str, list, tuple, dict).

    Raises ``NotCanonical`` for anything else, for NaN and infinities, for integers beyond ±(2⁵³-1)
    and for text that is not Unicode (lone surrogates).
    """
    try:
        return _encode(_plain(value, 0))
    except (_NotPlain, UnicodeEncodeError):
        _check(value, "$", 0)
        return rfc8785.dumps(cast(Any, value))


def parse(text: str) -> object:
    """Read JSON so that ``canonical`` gives the same text again if it was canonical.

    Integers beyond ±(2⁵³-1) become floats, as in ECMAScript. Raises ``ValueError`` for no JSON.
    """
    try:
        if _may_have_large_integer(text):
            return cast(object, json.loads(text, parse_int=_integer, parse_constant=_refuse))
        return _decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _may_have_large_integer(text: str) -> bool:
    """True if an integer in the text has 17 digits or more, or 16 of which the first is a 9.

    Text that only looks like one is taken for one; what follows a point is the rest of a float.
    """
    data = b":" + text.encode()
    return _SEVENTEEN in data.translate(_DIGITS) or _SIXTEEN.search(data) is not None


class _NotPlain(Exception):
    """Only the reference knows the bytes of this value, if it has any."""


def _plain(value: Any, depth: int) -> Any:
    """What msgspec's fast encoder gives RFC 8785's bytes for (a test compares the two).

    That is the value itself, unless it holds whole floats: 1.0 is printed as 1, and -0.0 as 0.
    Names must be ASCII (both sort those alike), other floats must not be printed with an exponent.
    """
    kind = _class_of(value)
    if kind is dict:
        items = value.items()
        for name in value:
            if type(name) is not str or not name.isascii():
                raise _NotPlain
    elif kind is list or kind is tuple:
        items = enumerate(value)
    else:
        return _plain_scalar(value)
    if depth > MAX_DEPTH:
        raise _NotPlain
    changed: Any = None
    for place, item in items:
        kind = _class_of(item)
        # Most are text: a call for each would take half of the time.
        if kind is str or kind is bool or item is None:
            continue
        plain = _plain(item, depth + 1)
        if plain is not item:
            if changed is None:
                changed = dict(value) if _class_of(value) is dict else list(value)
            changed[place] = plain
    return value if changed is None else changed


def _plain_scalar(value: Any) -> Any:
    kind = _class_of(value)
    if kind is int:
        if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            return value
    elif kind is float:
        if value.is_integer():
            if abs(value) < _LARGE:
                return int(value)
        elif 1e-5 <= abs(value) < _LARGE:
            return value
    elif kind is str or kind is bool or value is None:
        return value
    raise _NotPlain


def _check(value: object, path: str, depth: int) -> None:
    """Raise ``NotCanonical`` with the path of the first thing in ``value`` that is not JSON."""
    if depth > MAX_DEPTH:
        raise NotCanonical(path, f"nested deeper than {MAX_DEPTH}")
    match value:
        case None | bool():
            pass
        case str():
            _check_text(value, path)
        case int():
            if abs(value) > MAX_SAFE_INTEGER:
                raise NotCanonical(path, f"{value} is beyond ±(2^53-1); write it as a string")
        case float():
            if not math.isfinite(value):
                raise NotCanonical(path, f"{value} is not a JSON number")
        case list() | tuple():
            for index, item in enumerate(cast("list[object]", value)):
                _check(item, f"{path}[{index}]", depth + 1)
        case dict():
            for name, member in cast("dict[object, object]", value).items():
                if not isinstance(name, str):
                    raise NotCanonical(path, f"the member name {name!r} is not text")
                _check_text(name, f"{path}.{name}")
                _check(member, f"{path}.{name}", depth + 1)
        case _:
            raise NotCanonical(path, f"a {type(value).__name__} is not a JSON value")


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotCanonical(path.encode(errors="replace").decode(), "not Unicode text") from None


def _integer(digits: str) -> int | float:
    exact = len(digits) <= len(str(-MAX_SAFE_INTEGER)) and abs(int(digits)) <= MAX_SAFE_INTEGER
    return int(digits) if exact else float(digits)


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
