"""One connection of a client: requests taken in order, answers written, slowness bounded (G7, G8).

Everything runs in the gate's loop.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, cast

from covend.gate.errors import Refusal, as_json, headers
from covend.gate.heads import own_head
from covend.gate.keys import is_loopback
from covend.gate.request import Head, Request, RequestReader

if TYPE_CHECKING:
    from covend.gate.exchange import Exchange
    from covend.gate.gate import Gate
    from covend.gate.relay import Relayed

LINGER_SECONDS = 1.0
"""After a refusal the rest of what a client sends is read and dropped for so long, so that it
gets to read the answer before the connection is reset."""

NEVER = float("inf")


class Client(asyncio.Protocol):
    """One connection of a client. Requests are served one at a time, in order.

    ``deadline`` is when ``sweep`` looks at it; one sweep of all clients stands for their timers.
    """

    __slots__ = (
        "busy", "closing", "deadline", "exchange", "gate", "loopback", "pending", "read_paused",
        "reader", "stuck", "transport", "write_paused",
    )  # fmt: skip

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.reader = RequestReader(gate, self)
        self.exchange: Exchange | Relayed | None = None
        self.pending: deque[Request] = deque()
        self.busy = False
        self.closing = False
        self.read_paused = False
        self.write_paused = False
        self.stuck = 0
        self.loopback = True
        self.deadline = NEVER

    # ── asyncio's side ──────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        limits = self.gate.limits
        self.transport.set_write_buffer_limits(high=limits.write_buffer_bytes)
        self.loopback = is_loopback(transport.get_extra_info("peername"))
        self.deadline = monotonic() + limits.header_seconds
        self.gate.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.clients.discard(self)
        self.closing = True
        self._forget_requests()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self.gate.buffered -= len(exchange.request.body)
            exchange.client_gone()

    def eof_received(self) -> bool:
        return False  # a client that has said its last word has left: close, and free what it held

    def pause_writing(self) -> None:
        self.write_paused = True
        self.deadline = monotonic() + self.gate.limits.body_seconds
        self.stuck = self.transport.get_write_buffer_size()
        if self.exchange is not None:
            self.exchange.pause()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.deadline = NEVER if self.busy else monotonic() + self.gate.limits.idle_seconds
        if self.exchange is not None:
            self.exchange.resume()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        reader = self.reader
        reader.feed(data)
        if reader.refusal is not None:
            self._refuse_and_close()
            return
        if reader.in_message and not self.busy:
            self._unfinished(len(data))
        if self.pending and not self.read_paused and not self.closing:
            self._pause_reading()

    def _unfinished(self, received: int) -> None:
        """Part of a request is there: bound the time of its head, and between parts of its body."""
        limits = self.gate.limits
        if self.reader.in_body:
            self.deadline = monotonic() + limits.body_seconds
        elif self.reader.head_bytes == received:
            self.deadline = monotonic() + limits.header_seconds

    def _pause_reading(self) -> None:
        self.read_paused = True
        self.transport.pause_reading()

    def _resume_reading(self) -> None:
        self.read_paused = False
        self.transport.resume_reading()

    # ── requests ────────────────────────────────────────────────────────────────────────────

    def expects_continue(self) -> None:
        """The client waits to be told that its body is welcome; an answer before it tells it so."""
        if not self.busy:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take(self, request: Request) -> None:
        """Serve a request now, or after those before it."""
        if self.busy:
            self.pending.append(request)
        else:
            self._serve(request)

    def _serve(self, request: Request) -> None:
        self.busy = True
        self.deadline = NEVER
        try:
            self.gate.handle(self, request)
        except Refusal as refusal:
            self.refuse(request, refusal)

    def _next(self) -> None:
        if not self.closing and self.pending:
            self._serve(self.pending.popleft())

    def _forget_requests(self) -> None:
        self.reader.drop()
        for request in self.pending:
            self.gate.buffered -= len(request.body)
        self.pending.clear()

    # ── answers ─────────────────────────────────────────────────────────────────────────────

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
    ) -> None:
        """The gate's own answer, with the headers that every answer carries (G5)."""
        head = own_head(request, status, len(body), extra or [], waited)
        self.write(head if request.head.method == b"HEAD" else head + body)
        self.finished(request, True, monotonic())

    def refuse(self, request: Request, refusal: Refusal, waited: float = 0.0) -> None:
        """Answer with the reason; the connection stays usable, its request was read to the end."""
        body = as_json(refusal, request.head.anthropic)
        self.answer(request, refusal.status, body, headers(refusal), waited)

    def _refuse_and_close(self) -> None:
        """Answer what cannot be read on from, behind the answers that are still owed."""
        refusal = self.reader.refusal
        if refusal is None or self.closing:
            return
        if self.busy:
            if not self.read_paused:
                self._pause_reading()
            return
        self.busy = True
        self.refuse(Request(self.gate.new_id(), Head()), refusal)

    def finished(self, request: Request, keep: bool, now: float) -> None:
        """The answer is written: take the next request, or close if one of the two must."""
        gate = self.gate
        self.exchange = None
        gate.buffered -= len(request.body)
        self.busy = False
        if self.closing:
            return
        if not keep or not request.head.keep_alive or gate.stopping:
            self._linger()
        elif self.pending:
            gate.loop.call_soon(self._next)  # not from within: a burst must not nest
            self.busy = True
        elif self.reader.refusal is not None:
            self._refuse_and_close()
        else:
            if not self.write_paused:
                self.deadline = now + gate.limits.idle_seconds
            if self.read_paused:
                self._resume_reading()

    # ── leaving ─────────────────────────────────────────────────────────────────────────────

    def _linger(self) -> None:
        """Say that nothing more will come, and give the client a moment to read it."""
        self.closing = True
        self._forget_requests()
        if self.reader.refusal is None or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.deadline = monotonic() + LINGER_SECONDS
        if self.read_paused:
            self._resume_reading()
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
        limits = self.gate.limits
        if self.write_paused and not self.closing:
            left = self.transport.get_write_buffer_size()
            if left < self.stuck:
                self.stuck = left
                self.deadline = now + limits.body_seconds
                return
        reader = self.reader
        if not reader.in_message or self.closing or self.write_paused or self.busy:
            self.closing = True
            self.transport.abort()
            return
        part, seconds = (
            ("body", limits.body_seconds) if reader.in_body else ("head", limits.header_seconds)
        )
        text = f"the request's {part} did not come within {seconds:g} s"
        reader.refusal = Refusal(408, "too_slow", text, where=part)
        self._refuse_and_close()
