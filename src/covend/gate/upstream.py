"""Connections to soulstones: one pool each, kept alive, and the response side of HTTP.

Everything runs in the gate's loop. A connection serves one exchange at a time; what it reads goes
to that exchange in one call per read.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

import httptools

from covend.gate.repeats import Repeat, learn
from covend.gate.routes import Target
from covend.gate.spellings import FORWARD, Spellings

CONNECT_SECONDS = 5.0
MAX_HEAD = 1 << 18
"""A response head beyond this many bytes is no response."""

DROP, LENGTH, ENCODING, TYPE = range(1, 5)
_KINDS = Spellings(
    {
        b"content-length": LENGTH,
        b"transfer-encoding": ENCODING,
        b"content-type": TYPE,
        **dict.fromkeys(
            b"connection keep-alive proxy-authenticate proxy-connection te trailer upgrade "
            b"x-covend-request x-covend-soulstone x-covend-tier x-covend-waited".split(),
            DROP,
        ),
    }
)
_OK = b"HTTP/1.1 200 "


class ResponseHead:
    """The head of a response; ``lines`` go on to the client. Responses may share one."""

    __slots__ = ("chunked", "content_type", "length", "lines", "status")

    def __init__(self) -> None:
        self.status = 0
        self.lines = self.content_type = b""
        self.length: bytes | None = None
        self.chunked = False


class Receiver(Protocol):
    """What a connection tells the exchange that uses it."""

    @property
    def head_only(self) -> bool:
        """Whether the response has no body, whatever its head says."""
        ...

    def on_head(self, head: ResponseHead, length: bytes | None) -> None:
        """Status and headers are there; ``length`` is that of the body where it was stated."""
        ...

    def on_data(self, pieces: list[bytes], complete: bool) -> None:
        """What one read brought of the body; ``complete`` with the last of it."""
        ...

    def on_died(self, upstream: Upstream, reason: str) -> None:
        """The connection is gone before the response was complete."""
        ...


class Upstream(asyncio.Protocol):
    """One connection to a soulstone."""

    __slots__ = (
        "chunked", "complete", "extra", "fields", "got", "head", "head_bytes", "head_done",
        "keep_alive", "parser", "paused", "pieces", "pool", "receiver", "repeat", "reused",
        "transport", "until_close",
    )  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.parser: Any = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.receiver: Receiver | None = None
        self.reused = False
        self.paused = False
        self.extra = False
        self.keep_alive = False
        self.until_close = False
        self.head_bytes = 0
        self.repeat: Repeat[ResponseHead] | None = None
        self._clear()

    def _clear(self) -> None:
        """Forget the last response; what is not named here the next one sets itself."""
        self.pieces: list[bytes] = []
        self.got = self.head_done = self.complete = False
        self._clear_head()

    def _clear_head(self) -> None:
        self.head = ResponseHead()
        self.fields: list[bytes] = []

    def send(self, receiver: Receiver, request: bytes) -> None:
        """Begin an exchange: write a whole request."""
        assert self.transport is not None
        self.receiver = receiver
        self.transport.write(request)

    def pause(self) -> None:
        """Read no more until ``resume``: the client is slower than the soulstone (G8)."""
        if not self.paused and self.transport is not None:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.paused and self.transport is not None:
            self.paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Leave the exchange and the soulstone at once; nobody is told."""
        self.receiver = None
        if self.transport is not None:
            self.transport.abort()

    # ── asyncio's side ──────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.pool.all.add(self)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self.abort()  # nobody asked: whatever this is, it answers no request of ours
            return
        if self.repeat is not None and not self.got and self._again(self.repeat, receiver, data):
            return
        self.got = True
        begins = not self.head_done
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                self._died(f"sent what is not HTTP: {error}")
                return
            self.extra = True
        if begins:
            if not self.head_done:
                self._more_head(len(data))
                return
            self.head_bytes = 0
            receiver.on_head(self.head, self.head.length)
            if self.complete and data.startswith(_OK):
                self.repeat = learn(data, self.head)
        pieces = self.pieces
        if self.complete:
            self._completed(receiver, pieces)
        elif pieces or begins:
            self.pieces = []
            receiver.on_data(pieces, False)

    def _again(self, repeat: Repeat[ResponseHead], receiver: Receiver, data: bytes) -> bool:
        """Pass on a whole response whose head is that of the last one; False where it is not."""
        found = repeat.match(data)
        if found is None or receiver.head_only:
            return False
        start, length = found
        if len(data) - start != length:
            return False
        receiver.on_head(repeat.head, b"%d" % length)
        self._free()
        receiver.on_data([data[start:]], True)
        return True

    def _more_head(self, received: int) -> None:
        self.head_bytes += received
        if self.head_bytes > MAX_HEAD:
            self._died(f"sent a response head of more than {MAX_HEAD} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self.pool.forget(self)
        receiver = self.receiver
        if receiver is None:
            return
        if self.until_close and exc is None:
            self.receiver = None
            receiver.on_data([], True)
        else:
            self._died("closed the connection" if exc is None else f"cut the connection: {exc}")

    def _completed(self, receiver: Receiver, pieces: list[bytes]) -> None:
        """Free the connection first, so that whoever gets the slot finds it."""
        if self.keep_alive and not self.extra:
            self._clear()
            self._free()
        else:
            self.receiver = None
            if self.transport is not None:
                self.transport.close()
        receiver.on_data(pieces, True)

    def _free(self) -> None:
        self.receiver = None
        self.reused = True
        self.resume()
        self.pool.put(self)

    def _died(self, reason: str) -> None:
        receiver, self.receiver = self.receiver, None
        self.pool.forget(self)
        if self.transport is not None:
            self.transport.abort()
        if receiver is not None:
            receiver.on_died(self, reason)

    # ── httptools' side ─────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        if self.complete:
            self.extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_done:
            return  # a trailer, or a response nobody asked for
        kind = _KINDS[name]
        if kind == FORWARD:
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == TYPE:
            self.head.content_type = value
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == LENGTH:
            self.head.length = value
        elif kind == ENCODING:
            self.head.chunked = True

    def on_headers_complete(self) -> None:
        if self.head_done:
            return
        status: int = self.parser.get_status_code()
        if status < 200:
            self._clear_head()  # an interim response: the real one follows
            return
        receiver = self.receiver
        assert receiver is not None
        head = self.head
        head.status = status
        head.lines = b"".join(self.fields)
        self.head_done = True
        self.keep_alive = False
        if receiver.head_only:
            self.complete = self.extra = True  # the parser waits for a body: the end of this one
        framed = head.chunked or head.length is not None or status in (204, 304)
        self.until_close = not (framed or receiver.head_only)

    def on_body(self, data: bytes) -> None:
        if not self.extra:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        if self.head_done:
            self.complete = True
            self.keep_alive = self.parser.should_keep_alive()  # unknown once this returns


class Pool:
    """The connections to one soulstone; the one that was used last is used first."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.idle: list[Upstream] = []
        self.all: set[Upstream] = set()
        self.closed = False

    def take(self) -> Upstream | None:
        """An idle connection, or None where one must be made."""
        idle = self.idle
        while idle:
            upstream = idle.pop()
            if upstream.transport is not None and not upstream.transport.is_closing():
                return upstream
        return None

    async def connect(self) -> Upstream:
        """A new connection; raises ``OSError`` (``TimeoutError`` after 5 s)."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, upstream = await loop.create_connection(
                lambda: Upstream(self), self.target.host, self.target.port
            )
        return upstream

    def put(self, upstream: Upstream) -> None:
        """Keep a connection for the next request."""
        if self.closed or upstream.transport is None:
            upstream.abort()
        else:
            self.idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        self.all.discard(upstream)
        if upstream in self.idle:
            self.idle.remove(upstream)

    def close_idle(self) -> None:
        """Close what nobody uses: the soulstone is about to stop."""
        idle, self.idle = self.idle, []
        for upstream in idle:
            upstream.abort()

    def close(self) -> None:
        """Close what nobody uses, and the rest once it is done."""
        self.closed = True
        self.close_idle()
