"""Requests to the API process, relayed over its Unix socket, streams included (decision 0004).

They need no soulstone and no slot: what comes is passed on at once, and what comes back as it
comes. Each has a connection of its own, so nothing is ever sent twice. Runs in the gate's loop.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from covend.gate.admission import HOLDING
from covend.gate.errors import Refusal
from covend.gate.heads import status_line
from covend.gate.routes import RELAYED, Target
from covend.gate.upstream import CONNECT_SECONDS, Pool, ResponseHead, Upstream

if TYPE_CHECKING:
    from covend.gate.client import Client
    from covend.gate.keys import Account
    from covend.gate.request import Request

KEYED = b"/api/"
"""Below this an API key is needed where others need one (G7); the pages are no secret."""
CAPABILITY = "api"
"""What a key must be allowed to ask for."""
RETRY_AFTER = 1.0
MARKS = b"X-Covend-Soulstone: none\r\nX-Covend-Tier: none\r\nX-Covend-Waited: 0.000\r\n\r\n"

LENGTH, CHUNKED, CLOSE = range(3)
"""How the client is told where the body ends."""


def is_api(path: bytes) -> bool:
    """Whether a path is the API process's."""
    return any(path == known or path.startswith(known + b"/") for known in RELAYED)


class Socket(Pool):
    """The connections to the API process; none is kept."""

    def __init__(self, path: str) -> None:
        super().__init__(Target(CAPABILITY, path, 0, b" ", b"", "", (b"", b""), 0))

    async def connect(self) -> Upstream:
        """A new connection; raises ``OSError`` (``TimeoutError`` after 5 s)."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, upstream = await loop.create_unix_connection(
                lambda: Upstream(self), self.target.host
            )
        return upstream


class Relayed:
    """One request to the API process and its response."""

    __slots__ = (
        "account", "capability", "client", "done", "framing", "head", "request", "socket", "state",
        "status", "streams", "upstream",
    )  # fmt: skip

    def __init__(
        self, client: Client, request: Request, socket: Socket, account: Account | None
    ) -> None:
        self.client = client
        self.request = request
        self.socket = socket
        self.account = account
        self.capability = CAPABILITY
        self.state = HOLDING
        self.upstream: Upstream | None = None
        self.head: list[bytes] | None = None
        self.framing = LENGTH
        self.status = 0
        self.streams = False
        self.done = False

    async def run(self) -> None:
        """Connect and send; what comes back arrives as it comes."""
        try:
            upstream = await self.socket.connect()
        except OSError as error:
            text = f"the API process is not there: {error or type(error).__name__}"
            self.refuse(Refusal(503, "api_away", text, retry_after=RETRY_AFTER))
            return
        if self.done:
            upstream.abort()  # the client left meanwhile
            return
        self.upstream = upstream
        if self.client.write_paused:
            upstream.pause()
        upstream.send(self, self._request())

    def _request(self) -> bytes:
        """The request as the API gets it: with who asks, as the gate knows it, and no other."""
        request, head = self.request, self.request.head
        lines = [
            b"%b %b HTTP/1.1\r\n" % (head.method, head.target),
            b"Host: %b\r\n" % (head.host or b""),
            request.lines,
            b"Connection: close\r\n",
        ]
        if self.account is not None:
            key = self.account.key
            lines.append(b"X-Covend-Key: %b\r\n" % key.name.encode())
            if key.did is not None:
                lines.append(b"X-Covend-Did: %b\r\n" % key.did.encode())
        if request.body or head.method not in (b"GET", b"HEAD"):
            lines.append(b"Content-Length: %d\r\n" % len(request.body))
        return b"".join((*lines, b"\r\n", request.body))

    # ── relaying ────────────────────────────────────────────────────────────────────────────

    @property
    def head_only(self) -> bool:
        """Whether the response has no body, whatever its head says."""
        return self.request.head.method == b"HEAD"

    def on_head(self, head: ResponseHead, length: bytes | None) -> None:
        """Make the client's head from the API's, with ours behind it (G5)."""
        self.status = head.status
        self.streams = head.content_type[:17].lower() == b"text/event-stream"
        request = self.request
        lines = [status_line(head.status), head.lines]
        if length is not None:
            lines += (b"Content-Length: ", length, b"\r\n")
        elif head.status in (204, 304) or self.head_only:
            pass
        elif request.head.http11:
            self.framing = CHUNKED
            lines.append(b"Transfer-Encoding: chunked\r\n")
        else:
            self.framing = CLOSE
        if not self._keeps():
            lines.append(b"Connection: close\r\n")
        elif not request.head.http11:
            lines.append(b"Connection: keep-alive\r\n")
        lines += (b"X-Covend-Request: ", request.id.encode(), b"\r\n", MARKS)
        self.head = lines

    def on_data(self, pieces: list[bytes], complete: bool) -> None:
        """Pass on what one read brought, in one write; end with the last of it."""
        data = b"".join(pieces)
        if self.framing == CHUNKED:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if complete:
                data += b"0\r\n\r\n"
        if self.head is not None:
            data = b"".join((*self.head, data))
            self.head = None
        if data:
            self.client.write(data)
        if complete:
            self.upstream = None
            self._leave()
            self.client.finished(self.request, self._keeps(), monotonic())

    def _keeps(self) -> bool:
        """Whether the client's connection can be used again."""
        return self.request.head.keep_alive and self.framing != CLOSE

    # ── ending ──────────────────────────────────────────────────────────────────────────────

    def _leave(self) -> None:
        if not self.done:
            self.done = True
            if self.account is not None:
                self.account.end()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with the reason; nothing of another answer has been written."""
        if not self.done:
            self._leave()
            self.client.refuse(self.request, refusal)

    def on_died(self, upstream: Upstream, reason: str) -> None:
        """Say so, or cut what has begun: half an answer must not look like a whole one (G4)."""
        self.upstream = None
        if self.status and self.head is None:
            self.cut()
            return
        text = (
            f"the API process {reason} at this; whether it was carried out is not known, and an "
            "Idempotency-Key makes it safe to send again"
        )
        self.refuse(Refusal(503, "api_died", text, retry_after=RETRY_AFTER))

    def cut(self) -> None:
        """End an answer that has begun; who follows a stream comes again with Last-Event-ID."""
        self.client_gone()
        self.client.cut(reset=self.framing == CLOSE)

    def client_gone(self) -> None:
        """The client left: its connection goes with it."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        self._leave()

    def pause(self) -> None:
        if self.upstream is not None:
            self.upstream.pause()

    def resume(self) -> None:
        if self.upstream is not None:
            self.upstream.resume()
