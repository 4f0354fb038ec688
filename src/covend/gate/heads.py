"""Heads of answers: status lines, and who answered after what wait (G5)."""

from __future__ import annotations

import http
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covend.gate.request import Request


@cache
def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` and so on; there are no more statuses than three digits can say."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def mark(soulstone: str, tier: int) -> bytes:
    """The header lines that say who answered, up to the time waited (G5)."""
    return f"X-Covend-Soulstone: {soulstone}\r\nX-Covend-Tier: {tier}\r\nX-Covend-Waited: ".encode()


def pending_head(request: Request, chunked: bool) -> bytes:
    """The head of a stream that begins before it is known who will answer (G2)."""
    return (
        status_line(200)
        + b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        + (b"Transfer-Encoding: chunked\r\n" if chunked else b"Connection: close\r\n")
        + b"X-Covend-Request: %b\r\nX-Covend-Soulstone: pending\r\n" % request.id.encode()
        + b"X-Covend-Tier: pending\r\nX-Covend-Waited: pending\r\n\r\n"
    )


def own_head(
    request: Request, status: int, size: int, extra: list[tuple[str, str]], waited: float
) -> bytes:
    """The head of an answer of the gate's own, with a body of ``size`` bytes of JSON (G5)."""
    lines = [
        status_line(status).decode("ascii"),
        "Content-Type: application/json\r\n" if size else "",
        f"Content-Length: {size}\r\n" if status != 204 else "",
        "Connection: close\r\n" if not request.head.keep_alive else "" if request.head.http11 else
        "Connection: keep-alive\r\n",
        *(f"{name}: {value}\r\n" for name, value in extra),
        f"X-Covend-Request: {request.id}\r\nX-Covend-Soulstone: none\r\n",
        f"X-Covend-Tier: none\r\nX-Covend-Waited: {waited:.3f}\r\n\r\n",
    ]  # fmt: skip
    return "".join(lines).encode("latin-1", "replace")
