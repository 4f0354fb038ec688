"""Server-sent events as a query's events: bytes in, typed events out. Pure."""

from __future__ import annotations

import msgspec

from covend.client.models import Event
from covend.resolving import resolved

LAST_KIND = "know"
_decoder = msgspec.json.Decoder(resolved(Event))


class EventReader:
    """Puts the pieces of one stream together; ``after`` is the last event's sequence number.

    ``heard`` says whether this connection brought anything, be it a comment.
    """

    def __init__(self, after: int = 0) -> None:
        self.after = after
        self.ended = False
        self.heard = False
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        self.heard = True
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        found = [event for event in map(_event, blocks) if event is not None]
        for event in found:
            self.after = event.seq
            self.ended = self.ended or event.kind == LAST_KIND
        return found

    def begin_again(self) -> None:
        """Another connection follows: what was left of the last one is void."""
        self.heard = False
        self._rest = b""


def _event(block: bytes) -> Event | None:
    """The event of one block, or None for a comment."""
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line[:5] == b"data:"]
    return _decoder.decode(b"\n".join(lines)) if lines else None
