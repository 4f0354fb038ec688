"""The server's end of one HTTP/1.1 connection, blocking, as small as a fake soulstone needs."""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any, cast

_MAX_BODY = 256 * 1024 * 1024
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    413: "Content Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class ClientGone(Exception):
    """The client closed the connection before its answer was whole."""


class HttpError(Exception):
    """Answered with this status and an error object as OpenAI's routes have it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Connection:
    """One client's connection and the request being answered on it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._file = sock.makefile("rb")
        self._gone = select.poll()
        self._gone.register(sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        self.method = self.path = ""
        self.headers: dict[str, str] = {}
        self.content = b""

    def read_request(self) -> bool:
        """Reads the next request; False once the client has no more.

        Raises HttpError for what is no HTTP, OSError for a connection that broke.
        """
        line = self._file.readline(8192)
        if not line:
            return False
        parts = line.decode("latin-1").split()
        if len(parts) != 3:
            raise HttpError(400, f"not a request line: {line!r}")
        self.method, target, _version = parts
        self.path = target.partition("?")[0]
        self.headers = {}
        while (line := self._file.readline(65536)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()
        if self.headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.content = self._read_body()
        return True

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            parts: list[bytes] = []
            while size := int(self._file.readline(1024).partition(b";")[0] or b"0", 16):
                parts.append(self._file.read(size))
                self._file.readline(8)
            while self._file.readline(8192) not in (b"\r\n", b"\n", b""):
                pass  # trailers carry nothing for us
            return b"".join(parts)
        size = int(self.headers.get("content-length", "0"))
        if size > _MAX_BODY:
            raise HttpError(413, f"a body of {size} bytes is more than {_MAX_BODY}")
        return self._file.read(size)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises HttpError(400) for anything else."""
        try:
            body = json.loads(self.content)
        except ValueError as error:
            raise HttpError(400, f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise HttpError(400, "the body must be a JSON object")
        return cast(dict[str, Any], body)

    def check(self) -> None:
        """Raises ClientGone once the client closed its end."""
        if self._gone.poll(0):
            raise ClientGone

    def wait_until(self, due: float) -> None:
        """Sleeps until that monotonic time; raises ClientGone as soon as the client goes."""
        left = due - time.monotonic()
        # poll counts whole milliseconds, rounded up: the rest is slept for exactly.
        if self._gone.poll(max(0, int(left * 1000))):
            raise ClientGone
        time.sleep(max(0.0, due - time.monotonic()))

    def send_json(self, payload: dict[str, Any], status: int = 200) -> None:
        """Answers with a JSON object in one piece."""
        body = json.dumps(payload, separators=(",", ":")).encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._sock.sendall(head.encode() + body)

    def send_error(self, error: HttpError) -> None:
        """Answers with an error object."""
        detail = {"code": error.status, "message": error.message, "type": _REASONS[error.status]}
        self.send_json({"error": detail}, error.status)

    def start_stream(self) -> None:
        """Answers 200 with server-sent events to follow."""
        self._sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
        )

    def send_chunk(self, data: bytes) -> None:
        """Sends one chunk of a stream, in one write; nothing for no data."""
        if data:
            self._sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        """Ends the stream as a whole one."""
        self._sock.sendall(b"0\r\n\r\n")
