"""Requests as they come off the wire: parsed, bounded, checked (G7).

What the parser refuses by itself: lengths that contradict each other or are no numbers, broken
chunks, folded headers, bare line feeds, spaces before a colon, control characters. What is left is
checked here. After a refusal that leaves the byte stream in doubt nothing more is read: what
follows could be taken for a request that nobody sent (smuggling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools

from covend.gate.errors import Refusal

if TYPE_CHECKING:
    from covend.gate.body import Span
    from covend.gate.client import Client
    from covend.gate.gate import Gate

MAX_HEADERS = 100

FORWARD, DROP, HOST, LENGTH, TYPE, OURS = range(6)
_KINDS = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"content-type": TYPE,
    **dict.fromkeys(
        b"connection keep-alive proxy-connection proxy-authorization te trailer upgrade "
        b"accept-encoding x-covend-request".split(),
        DROP,
    ),
    **dict.fromkeys(
        b"transfer-encoding expect authorization x-api-key x-covend-class x-covend-timeout".split(),
        OURS,
    ),
}
"""What to do with a header; those that are not here go to the soulstone as they came."""
_spelled: dict[bytes, int] = {}
_MAX_SPELLINGS = 2000


def _kind(name: bytes) -> int:
    """The kind of a header in the spelling used; remembered, so that few names are lowered."""
    kind = _KINDS.get(name.lower(), FORWARD)
    if len(_spelled) < _MAX_SPELLINGS:
        _spelled[name] = kind
    return kind


class Request:
    """One request. ``fields`` are the pieces of the header lines that go on to the soulstone;
    ``special`` are the headers for the gate; the rest of the body's meaning is ``span`` (where the
    model's name stands), ``stream``, ``is_form`` and ``anthropic``, found when it is routed."""

    __slots__ = (
        "anthropic", "body", "content_type", "fields", "has_host", "http11", "id", "is_form",
        "keep_alive", "method", "span", "special", "stream", "target",
    )  # fmt: skip

    def __init__(self, id: str) -> None:
        self.id = id
        self.method = self.target = self.content_type = self.body = b""
        self.fields: list[bytes] = []
        self.special: dict[bytes, bytes] = {}
        self.has_host = self.keep_alive = self.is_form = self.anthropic = self.stream = False
        self.http11 = True
        self.span: Span | None = None


class RequestReader:
    """Makes requests of the bytes of one connection and hands each to ``client.take``.

    What is wrong with the bytes ends up in ``refusal``; nothing is handed on after it.
    """

    __slots__ = (
        "client", "gate", "head_bytes", "in_body", "in_message", "parser", "pieces", "received",
        "refusal", "request", "size",
    )  # fmt: skip

    def __init__(self, gate: Gate, client: Client) -> None:
        self.gate = gate
        self.client = client
        self.parser: Any = httptools.HttpRequestParser(self)
        self.request = Request("")
        self.refusal: Refusal | None = None
        self.in_message = False
        self.in_body = False
        self.head_bytes = 0
        self.received = 0
        self.pieces: list[bytes] = []
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Read on. ``in_message`` says afterwards whether part of a request is still to come."""
        self.received = self.head_bytes + len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it was taken as a plain request, and as the last one: see keep_alive
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self._malformed(error)
        if self.in_message and not self.in_body:
            self.head_bytes += len(data)
            if self.head_bytes > self.gate.limits.max_header_bytes and self.refusal is None:
                self.refusal = self._head_too_large()

    def drop(self) -> None:
        """Forget an unfinished body."""
        self.gate.buffered -= self.size
        self.size = 0
        self.pieces = []

    # ── httptools' side ─────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        self.in_message = True
        self.in_body = False
        self.request = Request(self.gate.new_id())

    def on_url(self, url: bytes) -> None:
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_body:
            return  # trailers say nothing that the gate or a soulstone needs
        kind = _spelled.get(name)
        if kind is None:
            kind = _kind(name)
        if kind == FORWARD:
            self.request.fields += (name, b": ", value, b"\r\n")
        elif kind == TYPE:
            request = self.request
            if request.content_type:
                self._twice(name)
            request.content_type = value
            request.fields += (name, b": ", value, b"\r\n")
        elif kind == HOST:
            if self.request.has_host:
                self._twice(name)
            self.request.has_host = True
        elif kind == LENGTH:
            if int(value) > self.gate.limits.max_body_bytes:
                self.refusal = self._body_too_large()
        elif kind == OURS:
            lower = name.lower()
            if lower in self.request.special:
                self._twice(name)
            self.request.special[lower] = value

    def on_headers_complete(self) -> None:
        self.in_body = True
        self.head_bytes = 0
        if self.refusal is None:
            self.refusal = self._check_head(self.request)

    def on_body(self, data: bytes) -> None:
        if self.refusal is not None:
            return
        gate = self.gate
        self.pieces.append(data)
        self.size += len(data)
        gate.buffered += len(data)
        if self.size > gate.limits.max_body_bytes:
            self.refusal = self._body_too_large()
        elif gate.buffered > gate.max_buffered:
            text = "the requests in hand take all the memory that is set aside for them"
            self.refusal = Refusal(503, "memory_full", text, retry_after=5)

    def on_message_complete(self) -> None:
        self.in_message = self.in_body = False
        if self.refusal is not None:
            return
        request = self.request
        parser = self.parser
        request.method = parser.get_method()
        request.keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        pieces = self.pieces
        if pieces:
            request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.pieces = []
            self.size = 0  # counted with the request from here on
        self.client.take(request)

    # ── what is refused ─────────────────────────────────────────────────────────────────────

    def _check_head(self, request: Request) -> Refusal | None:
        """What the parser lets pass and the gate does not: one host, a version, few headers."""
        version = self.parser.get_http_version()
        if version != "1.1":
            request.http11 = False
            if version != "1.0":
                text = f"HTTP/{version} is not spoken here; HTTP/1.1 is right"
                return Refusal(505, "http_version", text, where="request line")
        elif not request.has_host:
            return Refusal(400, "no_host", "HTTP/1.1 needs a Host header", where="Host")
        fields = request.fields
        if len(fields) // 4 + len(request.special) > MAX_HEADERS:
            return self._head_too_large()
        limit = self.gate.limits.max_header_bytes
        if self.received > limit and sum(map(len, fields)) + len(request.target) > limit:
            return self._head_too_large()
        return self._check_special(request) if request.special else None

    def _check_special(self, request: Request) -> Refusal | None:
        encoding = request.special.get(b"transfer-encoding")
        if encoding is not None and (encoding.lower() != b"chunked" or not request.http11):
            return Refusal(
                501, "transfer_encoding",
                "Transfer-Encoding: only chunked, and only in HTTP/1.1, is understood",
                where="Transfer-Encoding",
            )  # fmt: skip
        if request.http11 and request.special.get(b"expect", b"").lower() == b"100-continue":
            self.client.expects_continue()
        return None

    def _twice(self, name: bytes) -> None:
        shown = name.decode("latin-1")
        text = f"the header {shown} comes more than once"
        self.refusal = Refusal(400, "duplicate_header", text, where=shown)

    def _head_too_large(self) -> Refusal:
        limit = self.gate.limits.max_header_bytes
        text = f"the request's head is larger than {limit} bytes or {MAX_HEADERS} headers"
        return Refusal(431, "head_too_large", text, where="headers")

    def _body_too_large(self) -> Refusal:
        text = f"the body is larger than {self.gate.limits.max_body_bytes} bytes"
        return Refusal(413, "body_too_large", text, where="body")

    def _malformed(self, error: Exception) -> None:
        if self.refusal is None:
            begun = self.in_message and self.request.target
            where = "body" if self.in_body else "headers" if begun else "request line"
            text = f"{where}: this is not valid HTTP/1.1: {error}"
            self.refusal = Refusal(400, "malformed_http", text, where=where)
