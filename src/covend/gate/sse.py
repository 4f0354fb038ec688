"""Server-sent events on their way through: whole events only, so that an end is never a tear.

``Events`` passes a stream on; ``Answer`` makes events of an answer that is none. Both are fed what
comes, give back what goes on, and say the rest at the end.
"""

from __future__ import annotations

from covend.gate.errors import Refusal, as_event

COMMENT = b": waiting\n\n"
"""Ignored by every client and enough to keep a connection alive (G2)."""

MAX_PARTIAL = 1 << 20
"""A longer unfinished event is passed on in parts (G8)."""

MAX_ANSWER = 1 << 20
"""Bytes of an answer kept to be turned into an event."""

_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n")


class Events:
    """Passes on complete events and keeps the unfinished rest until it is complete (G4).

    ``count`` is how many were passed on. If the source dies, what is kept is dropped and the
    client's next event is not glued to half of one.
    """

    __slots__ = ("count", "kept", "torn")

    def __init__(self) -> None:
        self.kept = b""
        self.count = 0
        self.torn = False

    def feed(self, data: bytes) -> bytes:
        """The complete events in what came so far and was not yet passed on."""
        if not self.kept and data.endswith(b"\n\n"):
            self.torn = False
            self.count += data.count(b"\n\n")
            return data
        if self.kept:
            data = self.kept + data
        cut = 0
        for end in _ENDS:
            found = data.rfind(end)
            if found >= 0:
                cut = max(cut, found + len(end))
        if cut:
            self.torn = False
            self.count += data.count(b"\n\n", 0, cut) or 1
        elif len(data) > MAX_PARTIAL:
            self.torn, cut = True, len(data)
        self.kept = data[cut:]
        return data[:cut]

    def rest(self) -> bytes:
        """What the source said after its last complete event, at its proper end."""
        rest, self.kept = self.kept, b""
        return rest

    def separator(self) -> bytes:
        """What must precede an event of our own: an end for one that is half out."""
        return b"\n\n" if self.torn else b""


class Answer:
    """Keeps an answer that is no event stream, and tells it as one event of the stream (G2)."""

    __slots__ = ("anthropic", "count", "kept", "status")

    def __init__(self, status: int, anthropic: bool) -> None:
        self.status = status
        self.anthropic = anthropic
        self.kept = b""
        self.count = 0

    def feed(self, data: bytes) -> bytes:
        """Nothing yet."""
        if len(self.kept) < MAX_ANSWER:
            self.kept += data
        return b""

    def rest(self) -> bytes:
        """The whole answer: as data, or as the error that it is."""
        body, self.kept = self.kept.strip(), b""
        if self.status == 200 or body.startswith(b'{"error"'):
            return b"".join(b"data: " + line + b"\n" for line in body.splitlines()) + b"\n"
        shown = body[:2000].decode("utf-8", "replace")
        text = f"the soulstone answered {self.status}: {shown}"
        return as_event(Refusal(502, "upstream_error", text), self.anthropic)

    def separator(self) -> bytes:
        """What must precede an event of our own: nothing, for nothing is out."""
        return b""
