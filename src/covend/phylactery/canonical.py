"""Canonical JSON: one byte string for each JSON value, so that a hash names its content (D1).

The form is RFC 8785's: no white space, members sorted by the UTF-16 code units of their names,
strings escaped as little as JSON allows, numbers as ECMAScript prints them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, cast

import msgspec
import rfc8785

MAX_SAFE_INTEGER = 2**53 - 1
"""Larger integers are not the same number in every JSON reader, so they are refused."""

MAX_DEPTH = 100

_LARGE = 1e15
"""Floats from here on are printed by the reference alone."""

# A smaller integer is read alike by every reader. So many digits in a row are found ten times
# faster than an integer is, and most of those that are found are part of a hash, or a clock.
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_SIXTEEN = b"0" * 16
_BEFORE_INTEGER = b":,[- \t\n\r"
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
    simple = value
    if not _is_plain(simple, 0):
        simple = _with_whole_floats_as_integers(value, 0)
        if not _is_plain(simple, 0):
            _check(value, "$", 0)
            return rfc8785.dumps(cast(Any, value))
    try:
        return _encode(simple)
    except UnicodeEncodeError:
        _check(value, "$", 0)  # a lone surrogate: says where
        raise


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

    Text that only looks like one is taken for one.
    """
    data = text.encode()
    zeros = data.translate(_ZEROS)
    at = zeros.find(_SIXTEEN)
    while at >= 0:
        begins = at == 0 or data[at - 1] in _BEFORE_INTEGER
        if begins and (data[at] == ord("9") or zeros[at + 16 : at + 17] == b"0"):
            return True
        at = zeros.find(_SIXTEEN, at + 16)
    return False


def _is_plain(value: Any, depth: int) -> bool:
    """True where msgspec's fast encoder gives RFC 8785's bytes (a test compares the two).

    Names must be ASCII (both sort those alike), floats neither whole nor printed with an exponent.
    """
    kind = _class_of(value)
    if kind is dict:
        for name in value:
            if type(name) is not str or not name.isascii():
                return False
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        return _is_plain_scalar(value)
    if depth > MAX_DEPTH:
        return False
    for item in items:
        kind = _class_of(item)
        # Most are text: a call for each would take half of the time.
        if kind is str or kind is bool or item is None:
            continue
        if not _is_plain(item, depth + 1):
            return False
    return True


def _is_plain_scalar(value: Any) -> bool:
    kind = _class_of(value)
    if kind is int:
        return -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
    if kind is float:
        return 1e-5 <= abs(value) < _LARGE and not value.is_integer()
    return kind is str or kind is bool or value is None


def _with_whole_floats_as_integers(value: Any, depth: int) -> Any:
    """A copy in which 1.0 is 1 and -0.0 is 0: RFC 8785 prints them alike."""
    kind = _class_of(value)
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < _LARGE else value
    if depth > MAX_DEPTH:
        return value
    if kind is dict:
        return {
            name: member
            if type(member) is str
            else _with_whole_floats_as_integers(member, depth + 1)
            for name, member in value.items()
        }
    if kind is list or kind is tuple:
        return [_with_whole_floats_as_integers(item, depth + 1) for item in value]
    return value


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
