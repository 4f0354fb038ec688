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
from covend.gate.repeats import Repeat, learn
from covend.gate.routes import Route, route_of
from covend.gate.spellings import FORWARD, Spellings

if TYPE_CHECKING:
    from covend.gate.body import Span
    from covend.gate.client import Client
    from covend.gate.gate import Gate

_FORM = b"multipart/form-data"

MAX_HEADERS = 100
MAX_LESSONS = 8
"""So many heads of a connection are remembered, one after the other, for the next to repeat."""

DROP, HOST, LENGTH, TYPE, OURS = range(1, 6)
_KINDS = Spellings(
    {
        b"host": HOST,
        b"content-length": LENGTH,
        b"content-type": TYPE,
        **dict.fromkeys(
            b"connection keep-alive proxy-connection proxy-authorization te trailer upgrade "
            b"accept-encoding x-covend-request x-covend-key x-covend-did".split(),
            DROP,
        ),
        **dict.fromkeys(
            b"transfer-encoding expect authorization x-api-key "
            b"x-covend-class x-covend-timeout".split(),
            OURS,
        ),
    }
)
"""What to do with a header; those that are not here go to the soulstone as they came."""


class Head:
    """The head of a request: ``lines`` go on to the soulstone, ``special`` is for the gate.

    Complete once the parser has seen its end, and not changed after that: requests share it.
    """

    __slots__ = (
        "content_type", "host", "http11", "is_form", "keep_alive", "lines", "method", "route",
        "special", "target",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method = self.target = self.content_type = self.lines = b""
        self.host: bytes | None = None
        self.special: dict[bytes, bytes] = {}
        self.keep_alive = self.is_form = False
        self.http11 = True
        self.route: Route | None = None

    @property
    def anthropic(self) -> bool:
        """Whether errors are told as the Anthropic API tells them."""
        return self.route is not None and self.route.anthropic


class Request:
    """One request. What its body says is found when it is routed: ``span`` is where the model's
    name stands, ``stream`` whether one is asked for. ``lines`` are the head's, or more (G7)."""

    __slots__ = ("body", "head", "id", "lines", "span", "stream")

    def __init__(self, id: str, head: Head, body: bytes = b"") -> None:
        self.id = id
        self.head = head
        self.body = body
        self.lines = head.lines
        self.stream = False
        self.span: Span | None = None


class RequestReader:
    """Makes requests of the bytes of one connection and hands each to ``client.take``.

    What is wrong with the bytes ends up in ``refusal``; nothing is handed on after it. A head that
    repeats the last one is not parsed again (``repeats``): the parser stays between two messages,
    and ``owed`` counts what is still to come of the body.
    """

    __slots__ = (
        "begun", "client", "fields", "gate", "head", "head_bytes", "in_body", "in_message",
        "lessons", "owed", "parser", "pieces", "received", "refusal", "repeat", "size",
    )  # fmt: skip

    def __init__(self, gate: Gate, client: Client) -> None:
        self.gate = gate
        self.client = client
        self.parser: Any = httptools.HttpRequestParser(self)
        self.refusal: Refusal | None = None
        self.head = Head()
        self.fields: list[bytes] = []
        self.pieces: list[bytes] = []
        self.in_message = False
        self.in_body = False
        self.begun = 0
        self.head_bytes = 0
        self.received = 0
        self.size = 0
        self.owed = 0
        self.repeat: Repeat[Head] | None = None
        self.lessons = MAX_LESSONS

    def feed(self, data: bytes) -> None:
        """Read on. ``in_message`` says afterwards whether part of a request is still to come."""
        if self.owed:
            data = self._feed_body(data)
        elif self.repeat is not None and not self.in_message and self._again(self.repeat, data):
            return
        if data:
            self._parse(data)

    def drop(self) -> None:
        """Forget an unfinished body."""
        self.gate.buffered -= self.size
        self.size = 0
        self.pieces = []

    # ── a head that is known ────────────────────────────────────────────────────────────────

    def _again(self, repeat: Repeat[Head], data: bytes) -> bool:
        """Take a request that begins with the known head; False leaves ``data`` to the parser."""
        found = repeat.match(data)
        if found is None:
            return False
        start, length = found
        here = len(data) - start
        gate = self.gate
        if here > length or length > gate.limits.max_body_bytes:
            return False
        self.head = repeat.head
        if here == length and gate.buffered + length <= gate.max_buffered:
            gate.buffered += length
            self.client.take(Request(gate.new_id(), repeat.head, data[start:]))
            return True
        self.in_message = self.in_body = True
        self.owed = length
        if here or not length:
            self._feed_body(data[start:])
        return True

    def _feed_body(self, data: bytes) -> bytes:
        """Take what is owed of a body; returns what comes after it."""
        part = data[: self.owed]
        self.owed -= len(part)
        self.on_body(part)
        if not self.owed:
            self.on_message_complete()
        return data[len(part) :]

    def _parse(self, data: bytes) -> None:
        fresh = not self.in_message
        begun = self.begun
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
        elif fresh and self.lessons and self.begun == begun + 1 and self.refusal is None:
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """Remember the one head that began in ``data``, which came whole and states a length.

        A connection whose heads differ is not learnt from for ever. While the body of this very
        request is still to come, the parser waits for it, so it is the next head that can match.
        """
        head = self.head
        if head.keep_alive and b"expect" not in head.special:
            repeat = learn(data, head)
            if repeat is not None:
                self.lessons -= 1
                self.repeat = repeat

    # ── httptools' side ─────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        self.in_message = True
        self.in_body = False
        self.begun += 1
        self.head = Head()
        self.fields = []

    def on_url(self, url: bytes) -> None:
        self.head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_body:
            return  # trailers say nothing that the gate or a soulstone needs
        kind = _KINDS[name]
        if kind == FORWARD:
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == TYPE:
            if self.head.content_type:
                self._twice(name)
            self.head.content_type = value
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == HOST:
            if self.head.host is not None:
                self._twice(name)
            self.head.host = value
        elif kind == LENGTH:
            if int(value) > self.gate.limits.max_body_bytes:
                self.refusal = self._body_too_large()
        elif kind == OURS:
            lower = name.lower()
            if lower in self.head.special:
                self._twice(name)
            self.head.special[lower] = value

    def on_headers_complete(self) -> None:
        self.in_body = True
        self.head_bytes = 0
        head, parser = self.head, self.parser
        head.method = parser.get_method()
        head.lines = b"".join(self.fields)
        head.route = route_of(head.target)
        head.is_form = head.content_type[: len(_FORM)].lower() == _FORM
        head.keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        if self.refusal is None:
            self.refusal = self._check_head(head)

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
        pieces, self.pieces = self.pieces, []
        self.size = 0  # counted with the request from here on
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.client.take(Request(self.gate.new_id(), self.head, body))

    # ── what is refused ─────────────────────────────────────────────────────────────────────

    def _check_head(self, head: Head) -> Refusal | None:
        """What the parser lets pass and the gate does not: one host, a version, few headers."""
        version = self.parser.get_http_version()
        if version != "1.1":
            head.http11 = False
            if version != "1.0":
                text = f"HTTP/{version} is not spoken here; HTTP/1.1 is right"
                return Refusal(505, "http_version", text, where="request line")
        elif head.host is None:
            return Refusal(400, "no_host", "HTTP/1.1 needs a Host header", where="Host")
        fields = self.fields
        if len(fields) // 4 + len(head.special) > MAX_HEADERS:
            return self._head_too_large()
        limit = self.gate.limits.max_header_bytes
        if self.received > limit and sum(map(len, fields)) + len(head.target) > limit:
            return self._head_too_large()
        return self._check_special(head) if head.special else None

    def _check_special(self, head: Head) -> Refusal | None:
        encoding = head.special.get(b"transfer-encoding")
        if encoding is not None and (encoding.lower() != b"chunked" or not head.http11):
            return Refusal(
                501, "transfer_encoding",
                "Transfer-Encoding: only chunked, and only in HTTP/1.1, is understood",
                where="Transfer-Encoding",
            )  # fmt: skip
        if head.http11 and head.special.get(b"expect", b"").lower() == b"100-continue":
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
            begun = self.in_message and self.head.target
            where = "body" if self.in_body else "headers" if begun else "request line"
            text = f"{where}: this is not valid HTTP/1.1: {error}"
            self.refusal = Refusal(400, "malformed_http", text, where=where)
