"""How much one API key is in use, over all gates of the box (G7).

A row of counters per gate, in memory that all gates map; each writes its own and reads them all.
Who counts itself in before it looks at the sum can never be one too many: two gates that take the
last place at once both step back. A gate that dies leaves its row to the one that follows it.
"""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path

SECONDS = 61
"""Begun seconds that a minute can touch."""
_ROW = 1 + 2 * SECONDS


class Tally:
    """One key's counters, for the gate of this number; ``None`` for a path keeps them to itself."""

    def __init__(self, path: Path | None, gates: int = 1, number: int = 0) -> None:
        size = gates * _ROW * 8
        if path is None:
            memory = mmap.mmap(-1, size)
        else:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, size)
                memory = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        cells = memoryview(memory).cast("q")
        self._rows = [cells[start : start + _ROW] for start in range(0, gates * _ROW, _ROW)]
        self._own = self._rows[number]

    @property
    def active(self) -> int:
        """Requests in hand, of all gates."""
        return sum(row[0] for row in self._rows)

    def enter(self) -> None:
        """One more is in hand here."""
        self._own[0] += 1

    def leave(self) -> None:
        """One less is in hand here."""
        self._own[0] -= 1

    def restart(self) -> None:
        """Nothing is in hand here: a gate that begins has no connection yet."""
        self._own[0] = 0

    def note(self, now: float, by: int = 1) -> None:
        """A request was made at ``now``; with ``by`` -1 it was not."""
        second = math.ceil(now)
        cell = 1 + 2 * (second % SECONDS)
        if self._own[cell] != second:
            self._own[cell + 1] = 0
            self._own[cell] = second
        self._own[cell + 1] += by

    def minute(self, now: float) -> tuple[int, float]:
        """Requests made within the last minute, and in how many seconds the first will be older."""
        seen = [
            (row[cell], row[cell + 1])
            for row in self._rows
            for cell in range(1, _ROW, 2)
            if now - 60 < row[cell] <= now + 1 and row[cell + 1]
        ]
        return sum(count for _, count in seen), 60 + min((at for at, _ in seen), default=now) - now
