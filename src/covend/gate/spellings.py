"""What to do with a header, looked up by its name however it is spelled."""

from __future__ import annotations

from collections.abc import Mapping

FORWARD = 0
"""The kind of every header that a table does not name: it goes on as it came."""
MAX_SPELLINGS = 2000


class Spellings(dict[bytes, int]):
    """Kinds of headers by the spelling used; one not seen before is lowered once and remembered.

    Clients and servers choose spellings, so no more than ``MAX_SPELLINGS`` are kept.
    """

    def __init__(self, kinds: Mapping[bytes, int]) -> None:
        super().__init__(kinds)
        self._kinds = kinds

    def __missing__(self, name: bytes) -> int:
        kind = self._kinds.get(name.lower(), FORWARD)
        if len(self) < MAX_SPELLINGS:
            self[name] = kind
        return kind
