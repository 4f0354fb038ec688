"""The client's side of HTTP: requests parsed, bounded, checked, taken in order (G7, G8).

What the parser refuses by itself: lengths that contradict each other or are no numbers, broken
chunks, folded headers, bare line feeds, spaces before a colon, control characters. What is left is
checked here. After a refusal that leaves the byte stream in doubt the connection is closed: what
follows could be read as a request that nobody sent (smuggling).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import httptools

from covend.gate.errors import Refusal, as_json, headers
from covend.gate.keys import is_loopback
from covend.gate.relay import Exchange

if TYPE_CHECKING:
    from covend.gate.gate import Gate

MAX_HEADERS = 100
LINGER_SECONDS = 1.0
"""After a refusal the rest of what a client sends is read and dropped for so long, so that it
gets to read the answer before the connection is reset."""

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


NEVER = float("inf")


class Request:
    """One complete request. ``headers`` are the bytes that go on; ``special`` are for the gate."""

    __slots__ = (
        "anthropic", "body", "content_type", "headers", "http11", "id", "is_form", "keep_alive",
        "method", "special", "target",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        method: bytes,
        target: bytes,
        headers: bytes = b"",
        special: dict[bytes, bytes] | None = None,
        content_type: bytes = b"",
        body: bytes = b"",
        http11: bool = True,
        keep_alive: bool = False,
    ) -> None:
        self.id = id
        self.method = method
        self.target = target
        self.headers = headers
        self.special = special or {}
        self.content_type = content_type
        self.body = body
        self.http11 = http11
        self.keep_alive = keep_alive
        self.is_form = False
        self.anthropic = False


class Client(asyncio.Protocol):
    """One connection of a client. Requests are served one at a time, in order."""

    __slots__ = (
        "body", "busy", "closing", "content_type", "deadline", "exchange", "fields", "gate",
        "has_host", "head_bytes", "in_body", "in_message", "loopback", "parser", "pending",
        "read_paused", "received", "refusal", "size", "special", "stuck", "transport", "url",
        "version", "write_paused",
    )  # fmt: skip

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.parser: Any = httptools.HttpRequestParser(self)
        self.exchange: Exchange | None = None
        self.pending: deque[Request] = deque()
        self.busy = False
        self.closing = False
        self.read_paused = False
        self.write_paused = False
        self.stuck = 0
        self.loopback = True
        self.in_message = False
        self.in_body = False
        self.head_bytes = 0
        self.size = 0
        self.refusal: Refusal | None = None
        self.url = b""
        self.fields: list[bytes] = []
        self.special: dict[bytes, bytes] = {}
        self.content_type = b""
        self.has_host = False
        self.version = ""
        self.received = 0
        self.body: list[bytes] = []
        self.deadline = NEVER

    # ── asyncio's side ──────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        limits = self.gate.box.gate
        self.transport.set_write_buffer_limits(high=limits.write_buffer_bytes)
        self.loopback = is_loopback(transport.get_extra_info("peername"))
        self.deadline = monotonic() + limits.header_seconds
        self.gate.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.clients.discard(self)
        self.gate.buffered -= self.size
        self.size = 0
        for request in self.pending:
            self.gate.buffered -= len(request.body)
        self.pending.clear()
        self.closing = True
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self.gate.buffered -= len(exchange.request.body)
            exchange.client_gone()

    def eof_received(self) -> bool:
        return False  # a client that has said its last word has left: close, and free what it held

    def pause_writing(self) -> None:
        self.write_paused = True
        self.deadline = monotonic() + self.gate.box.gate.body_seconds
        self.stuck = self.transport.get_write_buffer_size()
        if self.exchange is not None:
            self.exchange.pause()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.deadline = NEVER if self.busy else monotonic() + self.gate.box.gate.idle_seconds
        if self.exchange is not None:
            self.exchange.resume()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self.received = self.head_bytes + len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self._malformed(error)
        if self.refusal is not None:
            self._refuse_and_close()
            return
        if self.in_message:
            self._unfinished(len(data))
        if self.pending and not self.read_paused and not self.closing:
            self.read_paused = True
            self.transport.pause_reading()

    def _unfinished(self, received: int) -> None:
        """Part of a request is there: bound its head, and the time until the next part."""
        limits = self.gate.box.gate
        if self.in_body:
            if not self.busy:
                self.deadline = monotonic() + limits.body_seconds
            return
        if not self.head_bytes and not self.busy:
            self.deadline = monotonic() + limits.header_seconds
        self.head_bytes += received
        if self.head_bytes > limits.max_header_bytes:
            self.refusal = self._head_too_large()
            self._refuse_and_close()

    def _head_too_large(self) -> Refusal:
        limit = self.gate.box.gate.max_header_bytes
        text = f"the request's head is larger than {limit} bytes or {MAX_HEADERS} headers"
        return Refusal(431, "head_too_large", text, where="headers")

    def _malformed(self, error: Exception) -> None:
        if self.refusal is None:
            where = "body" if self.in_body else "headers" if self.url else "request line"
            text = f"{where}: this is not valid HTTP/1.1: {error}"
            self.refusal = Refusal(400, "malformed_http", text, where=where)

    def _upgrade(self) -> None:
        """The request asked to leave HTTP; it was taken as a plain one, and nothing may follow."""
        if self.busy and self.exchange is not None:
            self.exchange.request.keep_alive = False

    # ── httptools' side ─────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        self.in_message = True
        self.in_body = False
        self.url = b""
        self.fields = []
        self.special = {}
        self.content_type = b""
        self.has_host = False
        self.body = []
        self.size = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_body:
            return  # trailers say nothing that the gate or a soulstone needs
        kind = _spelled.get(name)
        if kind is None:
            kind = _kind(name)
        if kind == FORWARD:
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == TYPE:
            if self.content_type:
                self._twice(name)
            self.content_type = value
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == HOST:
            if self.has_host:
                self._twice(name)
            self.has_host = True
        elif kind == LENGTH:
            if int(value) > self.gate.box.gate.max_body_bytes:
                self.refusal = self._body_too_large()
        elif kind == OURS:
            lower = name.lower()
            if lower in self.special:
                self._twice(name)
            self.special[lower] = value

    def _twice(self, name: bytes) -> None:
        shown = name.decode("latin-1")
        text = f"the header {shown} comes more than once"
        self.refusal = Refusal(400, "duplicate_header", text, where=shown)

    def on_headers_complete(self) -> None:
        self.in_body = True
        self.head_bytes = 0
        if self.refusal is None:
            try:
                self._check_head()
            except Refusal as refusal:
                self.refusal = refusal

    def _check_head(self) -> None:
        version = self.version = self.parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise Refusal(
                    505, "http_version", f"HTTP/{version} is not spoken here; HTTP/1.1 is right",
                    where="request line",
                )  # fmt: skip
        elif not self.has_host:
            raise Refusal(400, "no_host", "HTTP/1.1 needs a Host header", where="Host")
        fields = self.fields
        if len(fields) // 4 + len(self.special) > MAX_HEADERS:
            raise self._head_too_large()
        limit = self.gate.box.gate.max_header_bytes
        if self.received > limit and sum(map(len, fields)) + len(self.url) > limit:
            raise self._head_too_large()
        if self.special:
            self._check_special(version)

    def _check_special(self, version: str) -> None:
        encoding = self.special.get(b"transfer-encoding")
        if encoding is not None and (encoding.lower() != b"chunked" or version == "1.0"):
            raise Refusal(
                501, "transfer_encoding",
                "Transfer-Encoding: only chunked, and only in HTTP/1.1, is understood",
                where="Transfer-Encoding",
            )  # fmt: skip
        expects = self.special.get(b"expect", b"").lower() == b"100-continue" and version == "1.1"
        if expects and not self.busy:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _body_too_large(self) -> Refusal:
        limit = self.gate.box.gate.max_body_bytes
        return Refusal(
            413, "body_too_large", f"the body is larger than {limit} bytes", where="body"
        )

    def on_body(self, data: bytes) -> None:
        if self.refusal is not None:
            return
        self.size += len(data)
        self.gate.buffered += len(data)
        if self.size > self.gate.box.gate.max_body_bytes:
            self.refusal = self._body_too_large()
        elif self.gate.buffered > self.gate.max_buffered:
            text = "the requests in hand take all the memory that is set aside for them"
            self.refusal = Refusal(503, "memory_full", text, retry_after=5)
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.in_message = self.in_body = False
        if self.refusal is not None:
            return
        body = self.body
        request = Request(
            self.gate.new_id(),
            self.parser.get_method(),
            self.url,
            b"".join(self.fields),
            self.special,
            self.content_type,
            body[0] if len(body) == 1 else b"".join(body),
            self.version == "1.1",
            self.parser.should_keep_alive(),
        )
        self.size = 0  # counted with the request from here on
        if self.busy:
            self.pending.append(request)
        else:
            self._serve(request)

    # ── one request ─────────────────────────────────────────────────────────────────────────

    def _serve(self, request: Request) -> None:
        self.busy = True
        self.deadline = NEVER
        try:
            self.gate.handle(self, request)
        except Refusal as refusal:
            self.refuse(request, refusal)

    def write(self, data: bytes) -> None:
        """Send to the client; nothing once it is gone."""
        if not self.closing:
            self.transport.write(data)

    def answer(
        self,
        request: Request,
        status: int,
        body: bytes,
        extra: list[tuple[str, str]] | None = None,
        waited: float = 0.0,
        close: bool = False,
    ) -> None:
        """The gate's own answer, with the headers that every answer carries (G5)."""
        close = close or not request.keep_alive
        lines = [
            self.gate.status_line(status).decode("ascii"),
            "Content-Type: application/json\r\n" if body else "",
            f"Content-Length: {len(body)}\r\n" if status != 204 else "",
            "Connection: close\r\n" if close else "" if request.http11 else
            "Connection: keep-alive\r\n",
            *(f"{name}: {value}\r\n" for name, value in extra or ()),
            f"X-Covend-Request: {request.id}\r\nX-Covend-Soulstone: none\r\n",
            f"X-Covend-Tier: none\r\nX-Covend-Waited: {waited:.3f}\r\n\r\n",
        ]  # fmt: skip
        head = "".join(lines).encode("latin-1", "replace")
        self.write(head if request.method == b"HEAD" else head + body)
        self.finished(request, not close)

    def refuse(self, request: Request, refusal: Refusal, waited: float = 0.0) -> None:
        """Answer with the reason; the connection stays usable, its request was read to the end."""
        body = as_json(refusal, request.anthropic)
        self.answer(request, refusal.status, body, headers(refusal), waited)

    def _refuse_and_close(self) -> None:
        """Answer what cannot be read on from, behind the answers that are still owed."""
        refusal = self.refusal
        if refusal is None or self.closing:
            return
        if self.busy:
            if not self.read_paused:
                self.read_paused = True
                self.transport.pause_reading()
            return
        request = Request(self.gate.new_id(), b"POST", self.url)
        self.busy = True
        self.refuse(request, refusal)

    def finished(self, request: Request, keep: bool) -> None:
        """The answer is written: take the next request, or close."""
        self.exchange = None
        self.gate.buffered -= len(request.body)
        self.busy = False
        if self.closing:
            return
        if not keep or not request.keep_alive or self.gate.stopping:
            self._linger()
            return
        if self.pending:
            self.gate.loop.call_soon(self._next)  # not from within: a burst must not nest
            self.busy = True
            return
        if self.refusal is not None:
            self._refuse_and_close()
            return
        if not self.write_paused:
            self.deadline = monotonic() + self.gate.box.gate.idle_seconds
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _next(self) -> None:
        if not self.closing and self.pending:
            self._serve(self.pending.popleft())

    # ── leaving ─────────────────────────────────────────────────────────────────────────────

    def _linger(self) -> None:
        """Say that nothing more will come, and give the client a moment to read it."""
        self.closing = True
        for request in self.pending:
            self.gate.buffered -= len(request.body)
        self.pending.clear()
        self.gate.buffered -= self.size
        self.size = 0
        if self.refusal is None or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.deadline = monotonic() + LINGER_SECONDS
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.transport.write_eof()

    def cut(self, reset: bool) -> None:
        """End without an end: half an answer must not look like a whole one (G4).

        ``reset`` where only the connection's end marks the answer's: a plain close would be one.
        """
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self.gate.buffered -= len(exchange.request.body)
        self.closing = True
        if reset:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
            return
        self.transport.close()  # what was written is still sent; no final chunk, no full length
        self.deadline = monotonic() + LINGER_SECONDS

    def sweep(self, now: float) -> None:
        """Called a few times a second: bound what is slow (G7)."""
        if now < self.deadline:
            return
        if self.write_paused and not self.closing:
            left = self.transport.get_write_buffer_size()
            if left < self.stuck:
                self.stuck = left
                self.deadline = now + self.gate.box.gate.body_seconds
                return
        if not self.in_message or self.closing or self.write_paused or self.busy:
            self.closing = True
            self.transport.abort()
            return
        limits = self.gate.box.gate
        part, seconds = (
            ("body", limits.body_seconds) if self.in_body else ("head", limits.header_seconds)
        )
        text = f"the request's {part} did not come within {seconds:g} s"
        self.refusal = Refusal(408, "too_slow", text, where=part)
        self._refuse_and_close()
