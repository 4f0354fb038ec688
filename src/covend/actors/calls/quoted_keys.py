"""A key that a server says back is not told: it is found however JSON text may spell it (P8)."""

from __future__ import annotations

import re
from functools import lru_cache

LEAST_SECRET = 8
"""A key of fewer characters is none: ``none`` and ``x`` are given to servers that want no key."""
LEAST_IN_ANSWER = 16
"""A shorter one, as ``password`` or ``not-needed``, may be a word of an answer, which is left as it
is; of a complaint nothing is lost that anybody needs.
"""
ESCAPES = 7
"""So many backslashes may stand before a character: JSON in JSON in JSON needs that many."""
ASCII_ESCAPED = re.compile(rb"u00[2-7]")
"""The beginning of an escaped character of a key, without its backslash."""


def without(key: str, told: bytes | bytearray, least: int = LEAST_SECRET) -> bytes | bytearray:
    r"""What a server says, with ``***`` for the key in it, if that has ``least`` characters.

    The key is printable ASCII. It is found as it is, and with any of its characters written as in
    JSON text (``\/``, ``\u002f``), also in JSON that is a string of other JSON, as one server
    quotes another. JSON stays JSON, but for a key that ends in a backslash. Takes linear time.
    """
    if len(key) < least or not _perhaps(key, told):
        return told
    return _spellings(key).sub(b"***", told)


def _perhaps(key: str, told: bytes | bytearray) -> bool:
    """Whether the key can be in it: no for nearly all answers, and a hundred times sooner."""
    bare = told.replace(b"\\", b"")
    return key.replace("\\", "").encode() in bare or ASCII_ESCAPED.search(bare) is not None


@lru_cache(maxsize=64)
def _spellings(key: str) -> re.Pattern[bytes]:
    """A key in all its spellings; backslashes are never given back, else there were too many."""
    return re.compile("".join(map(_spelling, re.findall(r"\\+|[^\\]", key))).encode())


def _spelling(part: str) -> str:
    """One character of a key in every way, or all backslashes that follow each other in it."""
    escaped = rf"u00(?i:{ord(part[0]):02x})"
    if part[0] == "\\":
        count = len(part)
        return rf"(?:\\|{escaped}){{{count},{count * (ESCAPES + 1)}}}+"
    either = f"{re.escape(part)}|{escaped}"  # backslashes before it may count for one before it
    return rf"(?:{either}|\\{{1,{ESCAPES}}}+(?:{either}))"
