"""One request from its grant to its last byte: sending, relaying, ending (G2–G6, G8).

An exchange is a ticket that knows its client and its upstream connection. Each of the things that
can end it (last byte, refusal, death of the soulstone, disconnect, deadline) goes through
``_leave``, which frees the slot exactly once (G6). Everything runs in the gate's loop.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from covend.gate import sse
from covend.gate.admission import DONE, HOLDING, WAITING, Stone, Ticket
from covend.gate.body import splice
from covend.gate.errors import Refusal, as_event
from covend.gate.heads import pending_head, status_line
from covend.gate.routes import Target
from covend.gate.upstream import Pool, ResponseHead, Upstream
from covend.gate.waiting import Wait

if TYPE_CHECKING:
    from covend.gate.client import Client
    from covend.gate.gate import Gate
    from covend.gate.keys import Account
    from covend.gate.request import Request

BYTES_PER_TOKEN = 4
"""For estimates of live context (W10)."""

LENGTH, CHUNKED, CLOSE = range(3)
"""How the client is told where the body ends."""

LAST_CHUNK = b"0\r\n\r\n"
_BODILESS = (b"GET", b"HEAD", b"DELETE", b"OPTIONS")


class Exchange(Ticket):
    """One request to a soulstone and its response. ``timeout`` is in seconds from the arrival."""

    __slots__ = (
        "account", "attempts", "begun", "client", "framing", "gate", "head", "path", "pool",
        "request", "status", "tail", "through", "timeout", "upstream", "wait",
    )  # fmt: skip

    def __init__(
        self,
        client: Client,
        request: Request,
        path: bytes,
        capability: str,
        klass: str,
        now: float,
        account: Account | None,
        timeout: float,
    ) -> None:
        Ticket.__init__(self, request.id, capability, klass, now)
        self.gate: Gate = client.gate
        self.client = client
        self.request = request
        self.path = path
        self.account = account
        self.timeout = timeout
        self.tokens = len(request.body) // BYTES_PER_TOKEN
        self.wait: Wait | None = None
        self.pool: Pool | None = None
        self.upstream: Upstream | None = None
        self.attempts = 0
        self.status = 0
        self.begun = False
        self.head: list[bytes] | None = None
        self.through: sse.Events | sse.Answer | None = None
        self.framing = LENGTH
        self.tail = b""

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def begin_to_wait(self) -> None:
        """No slot was free: set the deadline, and keep a streaming client company (G2)."""
        self.wait = Wait(self)

    def keep_company(self) -> None:
        """Write a comment into the stream of a client that waits, beginning the stream (G2)."""
        if not self.begun:
            self.begun = True
            self.framing = CHUNKED if self.request.head.http11 else CLOSE
            self.client.write(pending_head(self.request, self.framing == CHUNKED))
        self.client.write(self._framed(sse.COMMENT))

    def _stop_waiting(self) -> None:
        wait, self.wait = self.wait, None
        if wait is not None:
            wait.end()

    # ── sending ─────────────────────────────────────────────────────────────────────────────

    @property
    def waited(self) -> float:
        """Seconds from the arrival to the slot."""
        return self.taken - self.arrived

    def granted(self, stone: Stone) -> None:
        """Send the request to the soulstone, over a connection that is there if there is one."""
        if self.wait is not None:
            self._stop_waiting()
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
        """Write the whole request at once: its own bytes, our host and length, the model's name."""
        self.upstream = upstream
        if self.client.write_paused:
            upstream.pause()
        request = self.request
        method = request.head.method
        span = request.span
        if span is None or target.model == self.capability:
            body = request.body
        else:
            body = splice(request.body, span, target.spelled[request.head.is_form])
        if body or method not in _BODILESS:
            end = b"Content-Length: %d\r\n\r\n" % len(body)
        else:
            end = b"\r\n"
        upstream.send(
            self,
            b"".join(
                (
                    method, target.before_path, self.path, target.after_path,
                    request.lines, end, body,
                )
            ),
        )  # fmt: skip

    # ── relaying ────────────────────────────────────────────────────────────────────────────

    @property
    def head_only(self) -> bool:
        """Whether the response has no body, whatever its head says."""
        return self.request.head.method == b"HEAD"

    def on_head(self, head: ResponseHead, length: bytes | None) -> None:
        """Make the client's head from the soulstone's: nearly raw, with ours behind it (G5)."""
        status = self.status = head.status
        stone = self.stone
        assert stone is not None
        if stone.failures:
            stone.failures = 0
        events = head.content_type[:17].lower() == b"text/event-stream"
        if events:
            self.through = sse.Events()
        if self.begun:
            if status != 200 or not events:
                self.through = sse.Answer(status, self.request.head.anthropic)
            tier = self.gate.routing.tier(self.capability, stone.name)
            note = f": soulstone={stone.name} tier={tier} waited={self.waited:.3f}\n\n"
            self.head = [self._framed(note.encode())]
            return
        request = self.request
        lines = [status_line(status), head.lines]
        self.framing = LENGTH
        if length is not None and not events:
            lines += (b"Content-Length: ", length, b"\r\n")
        elif status in (204, 304) or request.head.method == b"HEAD":
            pass
        elif request.head.http11:
            self.framing = CHUNKED
            lines.append(b"Transfer-Encoding: chunked\r\n")
        else:
            self.framing = CLOSE
        if not request.head.keep_alive or self.framing == CLOSE:
            lines.append(b"Connection: close\r\n")
        elif not request.head.http11:
            lines.append(b"Connection: keep-alive\r\n")
        waited = self.taken - self.arrived
        lines += (
            b"X-Covend-Request: ",
            self.id.encode(),
            b"\r\n",
            self.gate.routing.mark(self.capability, stone.name),
            b"%.3f\r\n\r\n" % waited if waited else b"0.000\r\n\r\n",
        )
        self.head = lines

    def on_data(self, pieces: list[bytes], complete: bool) -> None:
        """Pass on what one read brought, in one write; end with the last of it."""
        stone = self.stone
        assert stone is not None
        now = stone.last_byte = monotonic()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        through = self.through
        if through is not None:
            before = through.count
            data = through.feed(data)
            if complete:
                data += through.rest()
            grown = through.count - before
            self.tokens += grown
            stone.tokens += grown
        if data:
            self.tail = data
        if self.framing == CHUNKED:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if complete:
                data += LAST_CHUNK
        if self.head is not None:
            self.head.append(data)
            data = b"".join(self.head)
            self.head = None
            self.begun = True
            self.stream(isinstance(through, sse.Events) and not self.client.write_paused)
        if data:
            self.client.write(data)
        if complete:
            self.upstream = None
            self._ended(stone, now)

    def _framed(self, data: bytes) -> bytes:
        if self.framing == CHUNKED:
            return b"%x\r\n%b\r\n" % (len(data), data)
        return data

    # ── ending ──────────────────────────────────────────────────────────────────────────────

    def _ended(self, stone: Stone, now: float) -> None:
        """The last byte is on its way: say what it took, free the slot, go on with the client."""
        self.gate.report.served(stone.name, self, now, self.status < 400, self.tail)
        self._leave(now)
        self.client.finished(self.request, self.framing != CLOSE, now)

    def _leave(self, now: float) -> None:
        if self.wait is not None:
            self._stop_waiting()
        if self.gate.desk.leave(self, now) and self.account is not None:
            self.account.end()

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
        self.head = self.through = None
        self.attempts += 1
        if self.attempts > 1:
            text = f"the soulstone {name!r} {reason}, twice; nothing of its answer had come"
            self.refuse(Refusal(502, "soulstone_died", text, retry_after=1))
        else:
            self._wait_again()

    def _wait_again(self) -> None:
        if self.gate.desk.retry(self, monotonic()) and self.state == WAITING:
            self.begin_to_wait()

    def _die_mid_stream(self, name: str, reason: str) -> None:
        """Never a clean end for half an answer: an error event, or a cut connection (G4)."""
        refusal = Refusal(502, "soulstone_died", f"the soulstone {name!r} {reason} mid-answer")
        now = monotonic()
        if self.stone is not None:
            self.gate.report.served(self.stone.name, self, now, False, b"")
        if self.through is not None:
            self._end_with_event(self.through.separator(), refusal)
        else:
            self._leave(now)
            self.client.cut(reset=self.framing == CLOSE)

    def _end_with_event(self, separator: bytes, refusal: Refusal) -> None:
        now = monotonic()
        data = self._framed(separator + as_event(refusal, self.request.head.anthropic))
        if self.framing == CHUNKED:
            data += LAST_CHUNK
        if self.head is not None:
            data = b"".join((*self.head, data))
            self.head = None
        self.client.write(data)
        self._leave(now)
        self.client.finished(self.request, self.framing != CLOSE, now)

    def refuse(self, refusal: Refusal) -> None:
        """Refuse a request that waits or was retried; in the stream if that has begun."""
        if self.state == DONE:
            return
        if self.begun:
            self._end_with_event(b"", refusal)
        else:
            now = monotonic()
            self._leave(now)
            self.client.refuse(self.request, refusal, now - self.arrived)

    def client_gone(self) -> None:
        """The client left: its demand goes with it, or its slot and its connection (G2, G6)."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        self._leave(monotonic())

    def pause(self) -> None:
        """Hold the soulstone's answer: its reader is slow, and no byte of it is due (W26)."""
        if self.upstream is not None:
            self.upstream.pause()
            self.stream(False)

    def resume(self) -> None:
        """Let it flow again; its silence counts from now."""
        if self.upstream is not None:
            self.upstream.resume()
            if (
                self.stone is not None
                and self.head is None
                and isinstance(self.through, sse.Events)
            ):
                self.stone.last_byte = monotonic()
                self.stream(True)
