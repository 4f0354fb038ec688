"""Heads that come again: recognised by their bytes instead of being parsed once more (W8).

On one connection almost every head is the one before it but for the digits of its Content-Length.
Equal bytes have equal meaning, so what the parser and the gate's checks made of them the first time
holds again. Everything else (another byte, no length, chunks, a second message in the same read)
goes to the parser. Pure.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

Head = TypeVar("Head")

MAX_DIGITS = 12
_LENGTH = re.compile(rb"\r\n(?i:content-length):[ \t]*+(\d{1,12})(?=\r\n)")


class Repeat(Generic[Head]):
    """A head's bytes around the digits of its length, and what the head means."""

    __slots__ = ("_after", "_at", "_before", "_last", "head")

    def __init__(self, before: bytes, after: bytes, head: Head) -> None:
        self.head = head
        self._before = before
        self._after = after
        self._at = len(before)
        self._last = self._at + MAX_DIGITS + 1

    def match(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins in ``data`` and how long it is, if ``data`` begins with the head.

        None also where the head is not all there.
        """
        if not data.startswith(self._before):
            return None
        end = data.find(b"\r", self._at, self._last)
        if end < 0:
            return None
        digits = data[self._at : end]
        if not data.startswith(self._after, end) or not digits.isdigit():
            return None
        return end + len(self._after), int(digits)


def learn(data: bytes, head: Head) -> Repeat[Head] | None:
    """What to remember of a parsed head with which ``data`` begins; None without one length."""
    end = data.find(b"\r\n\r\n") + 4
    lengths = [found.span(1) for found in _LENGTH.finditer(data, 0, end)]
    if len(lengths) != 1:
        return None
    ((start, stop),) = lengths
    return Repeat(data[:start], data[stop:end], head)
