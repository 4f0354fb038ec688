"""One request from its arrival to its last byte: waiting, sending, relaying, ending (G2–G6, G8).

An exchange is a ticket that knows its client and its upstream connection. Each of the things that
can end it (last byte, refusal, death of the soulstone, disconnect, deadline) goes through
``_leave``, which frees the slot exactly once (G6). Everything runs in the gate's loop.
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from covend.gate import sse
from covend.gate.admission import DONE, HOLDING, WAITING, Stone, Ticket
from covend.gate.body import Span, splice
from covend.gate.errors import Refusal, as_event
from covend.gate.routes import Target
from covend.gate.upstream import Pool, Upstream
from covend.protocol import Served

if TYPE_CHECKING:
    from covend.gate.gate import Gate
    from covend.gate.keys import Account
    from covend.gate.server import Client, Request

BYTES_PER_TOKEN = 4
"""For estimates of live context (W10)."""

MAX_CONVERTED = 1 << 20
"""Bytes of an answer kept to be turned into an event."""

_USAGE = re.compile(rb'"(prompt|input|completion|output)_tokens"\s*:\s*(\d{1,9})')


class Framing(Enum):
    """How the client is told where the body ends."""

    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3


class Exchange(Ticket):
    """One request to a soulstone and its response."""

    __slots__ = (
        "account", "attempts", "begun", "client", "comment_timer", "converting", "events",
        "framing", "gate", "head", "head_only", "path", "pool", "request", "span", "status",
        "stream", "tail", "timeout", "timer", "upstream", "waited",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        client: Client,
        request: Request,
        capability: str,
        klass: str,
        now: float,
        path: bytes,
        span: Span | None,
        stream: bool,
        account: Account | None,
        timeout: float,
    ) -> None:
        super().__init__(request.id, capability, klass, now)
        self.gate = gate
        self.client = client
        self.request = request
        self.path = path
        self.span = span
        self.stream = stream
        self.account = account
        self.timeout = timeout
        self.tokens = len(request.body) // BYTES_PER_TOKEN
        self.head_only = request.method == b"HEAD"
        self.upstream: Upstream | None = None
        self.pool: Pool | None = None
        self.attempts = 0
        self.status = 0
        self.waited = 0.0
        self.begun = False
        self.converting: list[bytes] | None = None
        self.head: bytes | None = None
        self.tail = b""
        self.framing = Framing.LENGTH
        self.events: sse.Events | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.comment_timer: asyncio.TimerHandle | None = None

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def wait(self) -> None:
        """No slot was free: set the deadline, and keep a streaming client company (G2)."""
        loop = self.gate.loop
        left = self.arrived + self.timeout - monotonic()
        self.timer = loop.call_later(max(0.0, left), self._expired)
        if self.stream:
            pause = self.gate.box.gate.keepalive_comment_seconds
            self.comment_timer = loop.call_later(pause, self._comment)

    def _expired(self) -> None:
        if self.state == WAITING:
            self.refuse(
                Refusal(
                    504,
                    "deadline_exceeded",
                    f"{self.capability!r} did not become available within {self.timeout:g} s; a "
                    "larger X-Covend-Timeout waits longer",
                    where="X-Covend-Timeout",
                    retry_after=self.gate.eta.get(self.capability),
                )
            )

    def _comment(self) -> None:
        if self.state != WAITING:
            return
        if not self.begun:
            self.begun = True
            self.framing = Framing.CHUNKED if self.request.http11 else Framing.CLOSE
            transfer = (
                b"Transfer-Encoding: chunked\r\n"
                if self.framing is Framing.CHUNKED
                else b"Connection: close\r\n"
            )
            self.client.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                + transfer
                + b"X-Covend-Request: %b\r\nX-Covend-Soulstone: pending\r\n" % self.id.encode()
                + b"X-Covend-Tier: pending\r\nX-Covend-Waited: pending\r\n\r\n"
            )
        self.client.write(self._framed(sse.COMMENT))
        pause = self.gate.box.gate.keepalive_comment_seconds
        self.comment_timer = self.gate.loop.call_later(pause, self._comment)

    def _cancel_timers(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.comment_timer is not None:
            self.comment_timer.cancel()
            self.comment_timer = None

    # ── sending ─────────────────────────────────────────────────────────────────────────────

    def granted(self, stone: Stone) -> None:
        """Send the request to the soulstone, over a connection that is there if there is one."""
        if self.timer is not None:
            self._cancel_timers()
        self.waited = self.taken - self.arrived
        pool = self.pool = self.gate.pools[stone.name]
        upstream = pool.take()
        if upstream is None:
            self.gate.spawn(self._connect(pool, self.taken))
        else:
            self._send(upstream, pool.target)

    async def _connect(self, pool: Pool, taken: float) -> None:
        try:
            upstream = await pool.connect()
        except OSError as error:
            if self.state == HOLDING and self.taken == taken:
                reason = f"refused a connection: {error or type(error).__name__}"
                self.gate.broke(pool.target.name, reason)
                self._wait_again()
            return
        if self.state == HOLDING and self.taken == taken and self.upstream is None:
            self._send(upstream, pool.target)
        else:
            pool.put(upstream)  # the client left meanwhile

    def _send(self, upstream: Upstream, target: Target) -> None:
        request = self.request
        body = request.body
        if self.span is not None and target.model != self.capability:
            body = splice(body, self.span, target.spelled[request.is_form])
        self.upstream = upstream
        if self.client.write_paused:
            upstream.pause()
        length = b""
        if body or request.method not in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            length = b"Content-Length: %d\r\n" % len(body)
        upstream.send(
            self,
            b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n%b"
            % (
                request.method,
                target.prefix,
                self.path,
                target.authority,
                request.headers,
                length,
                body,
            ),
        )

    # ── relaying ────────────────────────────────────────────────────────────────────────────

    def on_head(self, upstream: Upstream) -> None:
        """Make the client's head from the soulstone's: nearly raw, with ours behind it (G5)."""
        status = self.status = upstream.status
        stone = self.stone
        assert stone is not None
        stone.last_byte = monotonic()
        if stone.failures:
            stone.failures = 0
        events = upstream.content_type[:17].lower() == b"text/event-stream"
        if self.begun:
            if events and status == 200:
                self.events = sse.Events()
            else:
                self.converting = []
            tier = self.gate.tier(self.capability, stone.name)
            note = f": soulstone={stone.name} tier={tier} waited={self.waited:.3f}\n\n"
            self.head = self._framed(note.encode())
            return
        request = self.request
        if upstream.length is not None and not events:
            self.framing = Framing.LENGTH
            framing = b"Content-Length: %b\r\n" % upstream.length
        elif status in (204, 304) or self.head_only:
            self.framing = Framing.LENGTH
            framing = b""
        elif request.http11:
            self.framing = Framing.CHUNKED
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self.framing = Framing.CLOSE
            framing = b""
        if events:
            self.events = sse.Events()
        if not request.keep_alive or self.framing is Framing.CLOSE:
            framing += b"Connection: close\r\n"
        elif not request.http11:
            framing += b"Connection: keep-alive\r\n"
        self.head = b"%b%b%bX-Covend-Request: %b\r\n%b%.3f\r\n\r\n" % (
            self.gate.statuses.get(status) or self.gate.status_line(status),
            b"".join(upstream.headers),
            framing,
            self.id.encode(),
            self.gate.marked.get((self.capability, stone.name))
            or self.gate.marks(self.capability, stone.name),
            self.waited,
        )

    def on_data(self, pieces: list[bytes], complete: bool) -> None:
        """Pass on what one read brought, in one write; end with the last of it."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        stone = self.stone
        assert stone is not None
        stone.last_byte = monotonic()
        if self.converting is not None:
            if sum(map(len, self.converting)) < MAX_CONVERTED:
                self.converting.append(data)
            data = self._converted() if complete else b""
        elif self.events is not None:
            before = self.events.count
            data = self.events.feed(data)
            if complete:
                data += self.events.rest()
            grown = self.events.count - before
            self.tokens += grown
            stone.tokens += grown
        if data:
            self.tail = data
            if self.framing is Framing.CHUNKED:
                data = b"%x\r\n%b\r\n" % (len(data), data)
        if complete and self.framing is Framing.CHUNKED:
            data += b"0\r\n\r\n"
        if self.head is not None:
            data = self.head + data
            self.head = None
            self.begun = True
        if data:
            self.client.write(data)
        if complete:
            self.upstream = None
            self._ended(stone, ok=self.status < 400)

    def _converted(self) -> bytes:
        """An answer that is no event stream, as one event of the stream that has begun."""
        body = b"".join(self.converting or ()).strip()
        self.converting = None
        if self.status == 200 or body.startswith(b'{"error"'):
            return b"".join(b"data: " + line + b"\n" for line in body.splitlines()) + b"\n"
        shown = body[:2000].decode("utf-8", "replace")
        return as_event(
            Refusal(502, "upstream_error", f"the soulstone answered {self.status}: {shown}"),
            self.request.anthropic,
        )

    def _framed(self, data: bytes) -> bytes:
        if self.framing is Framing.CHUNKED:
            return b"%x\r\n%b\r\n" % (len(data), data)
        return data

    # ── ending ──────────────────────────────────────────────────────────────────────────────

    def _ended(self, stone: Stone, ok: bool) -> None:
        """The last byte is on its way: say what it took, free the slot, go on with the client."""
        ended = monotonic()
        self.gate.report.served(
            stone.name, self.capability, self.klass, self.waited, ended - self.taken, ok, self.tail
        )
        self._leave(ended)
        self.client.finished(self.request, self.framing is not Framing.CLOSE)

    def _leave(self, now: float) -> bool:
        if self.timer is not None:
            self._cancel_timers()
        if not self.gate.desk.leave(self, now):
            return False
        if self.account is not None:
            self.account.end()
        self.gate.exchanges.discard(self)
        return True

    def on_died(self, upstream: Upstream, reason: str) -> None:
        """Try again if the client has seen nothing of the soulstone's answer, else say so (G4)."""
        self.upstream = None
        pool = self.pool
        assert pool is not None
        if upstream.reused and not upstream.got:
            # It was closed while idle, as this request was written: nobody has read the request.
            pool.close_idle()
            self.gate.spawn(self._connect(pool, self.taken))
            return
        name = pool.target.name
        self.gate.broke(name, reason)
        if self.status and self.head is None:
            self._die_mid_stream(name, reason)
            return
        self.status = 0  # whatever came of a head stayed here
        self.head = self.events = self.converting = None
        self.attempts += 1
        if self.attempts > 1:
            text = f"the soulstone {name!r} {reason}, twice; nothing of its answer had come"
            self.refuse(Refusal(502, "soulstone_died", text, retry_after=1))
        else:
            self._wait_again()

    def _wait_again(self) -> None:
        if self.gate.desk.retry(self, monotonic()) and self.state == WAITING:
            self.wait()

    def _die_mid_stream(self, name: str, reason: str) -> None:
        """Never a clean end for half an answer: an error event, or a cut connection (G4)."""
        refusal = Refusal(502, "soulstone_died", f"the soulstone {name!r} {reason} mid-answer")
        stone = self.stone
        if stone is not None:
            self.gate.report.served(
                stone.name, self.capability, self.klass, self.waited,
                monotonic() - self.taken, False, b"",
            )  # fmt: skip
        if self.events is not None or self.converting is not None:
            separator = self.events.separator() if self.events is not None else b""
            self._end_with_event(separator, refusal)
        else:
            self._leave(monotonic())
            self.client.cut(reset=self.framing is Framing.CLOSE)

    def _end_with_event(self, separator: bytes, refusal: Refusal) -> None:
        data = self._framed(separator + as_event(refusal, self.request.anthropic))
        if self.framing is Framing.CHUNKED:
            data += b"0\r\n\r\n"
        if self.head is not None:
            data, self.head = self.head + data, None
        self.client.write(data)
        self._leave(monotonic())
        self.client.finished(self.request, self.framing is not Framing.CLOSE)

    def refuse(self, refusal: Refusal) -> None:
        """Refuse a request that waits or was retried; in the stream if that has begun."""
        if self.state == DONE:
            return
        if self.begun:
            self._end_with_event(b"", refusal)
        else:
            self._leave(monotonic())
            self.client.refuse(self.request, refusal, monotonic() - self.arrived)

    def client_gone(self) -> None:
        """The client left: its demand goes with it, or its slot and its connection (G2, G6)."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        self._leave(monotonic())

    def pause(self) -> None:
        if self.upstream is not None:
            self.upstream.pause()

    def resume(self) -> None:
        if self.upstream is not None:
            self.upstream.resume()


def tokens_in(tail: bytes) -> tuple[int, int]:
    """Prompt and completion tokens as the end of an answer states them; 0 where it does not."""
    if b'"usage"' not in tail:
        return 0, 0
    prompt = completion = 0
    for name, count in _USAGE.findall(tail, tail.rfind(b'"usage"')):
        if name in (b"prompt", b"input"):
            prompt = int(count)
        else:
            completion = int(count)
    return prompt, completion


def served(
    stone: str, capability: str, klass: str, waited: float, service: float, ok: bool, tail: bytes
) -> Served:
    """One finished request in the form the core learns from (W10)."""
    prompt, completion = tokens_in(tail)
    return Served(stone, capability, klass, waited, service, ok, prompt, completion)
