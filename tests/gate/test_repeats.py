"""Heads that repeat are not parsed again, and nothing can tell (W8, G7)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from covend.config import GateLimits
from covend.gate.repeats import learn
from covend.gate.request import RequestReader
from covend.gate.upstream import Upstream

HEADS = [
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %b\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %b\r\nX-A: 1\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length:%b\r\nHost: t\r\nX-B: \xff\r\n\r\n",
    b"POST /v1/embeddings?x HTTP/1.1\r\nHost: t\r\nAuthorization: k\r\nContent-Length:  %b\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %b \r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nX: Content-Length: 1\r\n"
    b"Content-Length: %b\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: %b\r\n\r\n",
    b"POST /v1/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %b\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %b\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: %b\r\nContent-Length: %b\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: %b\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %b\r\nHost: t\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %b\nX-A: 1\r\n\r\n",
    b"\r\nPOST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %b\r\n\r\n",
]
OTHERS = [
    b"GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nab\r\n0\r\nContent-Length: 3\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 5x\r\n\r\nabcde",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\nshort",
    b"\r\n",
]
LENGTHS = [b"%d", b"0%d", b"000000000000%d", b"+%d"]


def message(head: bytes, length: bytes, body: bytes) -> bytes:
    return head.replace(b"%b", length % len(body)) + body


bodies = st.binary(max_size=20) | st.sampled_from([b"", b"\r\n\r\n", b"{}" * 40, HEADS[0]])


def one_of(heads: list[bytes], others: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(
        message, st.sampled_from(heads), st.sampled_from(LENGTHS), bodies
    ) | st.sampled_from(others)


@st.composite
def sessions(draw: st.DrawFn, plain: list[bytes], odd: st.SearchStrategy[bytes]) -> list[bytes]:
    """Messages of one connection: some with the same good head, then whatever there may be."""
    same = st.builds(message, st.just(draw(st.sampled_from(plain))), st.just(b"%d"), bodies)
    return draw(st.lists(same, min_size=1, max_size=3)) + draw(st.lists(same | odd, max_size=3))


@st.composite
def cut(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """A message in one read, or in pieces, often between its head and its body."""
    places = st.sampled_from([raw.find(b"\r\n\r\n") + 4, len(raw) - 1]) | st.integers(0, len(raw))
    cuts = sorted(draw(st.lists(places, max_size=2)))
    return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]


@st.composite
def reads(draw: st.DrawFn, session: st.SearchStrategy[list[bytes]]) -> list[bytes]:
    """What a client's connection brings; the end of a message may come with the next one."""
    pieces: list[bytes] = []
    for raw in draw(session):
        parts = draw(cut(raw))
        if pieces and draw(st.integers(0, 3)) == 0:
            pieces[-1] += parts.pop(0)
        pieces += parts
    return pieces


class ForgetfulReader(RequestReader):
    """Parses everything."""

    def _again(self, *_: object) -> bool:
        return False


class ForgetfulUpstream(Upstream):
    """Parses everything."""

    def _again(self, *_: object) -> bool:
        return False


class Taker:
    """A client that writes down what it is handed."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def expects_continue(self) -> None:
        self.seen.append("100")

    def take(self, request) -> None:
        head = request.head
        self.seen.append(
            (
                head.method, head.target, head.lines, request.lines, head.special,
                head.content_type, head.http11, head.keep_alive, request.body,
            )
        )  # fmt: skip


def requests_in(kind: type[RequestReader], pieces: list[bytes], room: int) -> object:
    gate = SimpleNamespace(
        limits=GateLimits(max_body_bytes=70), buffered=0, max_buffered=room, new_id=lambda: "id"
    )
    taker = Taker()
    reader = kind(gate, taker)
    for piece in pieces:
        reader.feed(piece)
        if reader.refusal is not None or (taker.seen and taker.seen[-1][7:8] == (False,)):
            break  # the client reads no more than this
    refused = reader.refusal and (reader.refusal.code, reader.refusal.where)
    return taker.seen, refused, reader.in_message, reader.in_body, reader.size, gate.buffered


A, B, C = (message(HEADS[0], b"%d", body) for body in (b"a", b"bb", b"ccc"))
AROUND = message(HEADS[0], b"%d", A)
EXPECTS = message(HEADS[6], b"%d", b"a")


@given(reads(sessions(HEADS[:8], one_of(HEADS, OTHERS))), st.sampled_from([1000, 25]))
@example([A + message(HEADS[1], b"%d", b"b"), B], 1000)  # which of the two heads was learnt?
@example([AROUND[: -len(A)], A], 1000)  # a body that looks like the known request
@example([A, B[:-2], B[-2:] + C], 1000)  # the next request comes with the end of a body
@example([A, B + C, A], 1000)
@example([EXPECTS, EXPECTS], 1000)
@example([A, B, C], 5)  # no room for the last
def test_requests_are_the_same_whether_their_heads_were_known_or_not(pieces, room) -> None:
    """W8, G7: however the bytes are cut, and whatever is wrong with them."""
    assert requests_in(RequestReader, pieces, room) == requests_in(ForgetfulReader, pieces, room)


@pytest.mark.parametrize("cut", [0, 5, -5, -12])
def test_a_head_that_repeats_is_not_parsed(cut: int) -> None:
    """W8: with another length too, and with the body in another read."""
    gate = SimpleNamespace(limits=GateLimits(), buffered=0, max_buffered=1000, new_id=lambda: "id")
    taker = Taker()
    reader = RequestReader(gate, taker)
    first, second = (message(HEADS[0], b"%d", body) for body in (b"one", b"another body"))
    reader.feed(first)
    parsed = reader.begun
    for piece in (second[:cut], second[cut:]) if cut else (second,):
        reader.feed(piece)
    assert [seen[-1] for seen in taker.seen] == [b"one", b"another body"]
    assert reader.begun - parsed == (1 if cut == 5 else 0), "a head cut in two is parsed"
    assert not reader.in_message and gate.buffered == 15


RESPONSES = [
    b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length:%b\r\nConnection: keep-alive\r\nX-A: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 400 No\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.1 304 Same\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.1 100 Go\r\nContent-Length: %b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\nContent-Length: %b\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: %b\r\n\r\n",
]
ODD_RESPONSES = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n",
]


@st.composite
def answers(draw: st.DrawFn) -> list[tuple[bool, list[bytes]]]:
    """What a soulstone sends to one request after the other, and whether that was a HEAD."""
    session = draw(sessions(RESPONSES[:3], one_of(RESPONSES, ODD_RESPONSES)))
    heads = [draw(st.integers(0, 4)) == 0 for _ in session]
    return [(head, draw(cut(raw))) for head, raw in zip(heads, session, strict=True)]


class Receiver:
    """An exchange that writes down what it is told."""

    def __init__(self, head_only: bool) -> None:
        self.head_only = head_only
        self.told: list[object] = []
        self.body = b""
        self.done = False

    def on_head(self, head, length) -> None:
        self.told.append((head.status, head.lines, head.content_type, length and int(length)))

    def on_data(self, pieces: list[bytes], complete: bool) -> None:
        self.body += b"".join(pieces)
        self.done = complete

    def on_died(self, upstream, reason: str) -> None:
        self.told.append(("died", upstream.got))


class Wire:
    """A transport that knows whether it is still open."""

    def __init__(self) -> None:
        self.open = True

    def abort(self) -> None:
        self.open = False

    def close(self) -> None:
        self.open = False

    def write(self, data: bytes) -> None:
        assert self.open


def responses_in(kind: type[Upstream], answers: list[tuple[bool, list[bytes]]]) -> list[object]:
    idle: list[Upstream] = []
    pool = SimpleNamespace(all=set(), put=idle.append, forget=lambda _: None)
    upstream, wire = kind(pool), Wire()
    upstream.connection_made(wire)
    seen: list[object] = []
    for head_only, pieces in answers:
        receiver = Receiver(head_only)
        upstream.send(receiver, b"request")
        for piece in pieces:
            if wire.open:
                upstream.data_received(piece)
        seen.append((receiver.told, receiver.body, receiver.done, wire.open, len(idle)))
        if not wire.open or not receiver.done:
            break
    return seen


ONE, TWO = (message(RESPONSES[0], b"%d", body) for body in (b"a", b"bb"))
SAME = b"HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\n"
WRAPPED = message(RESPONSES[1], b"%d", TWO)


@given(answers())
@example([(False, [ONE]), (True, [TWO])])  # no HEAD has a body
@example([(False, [SAME]), (False, [SAME + b"bb"])])  # nor has this status
@example([(False, [ONE]), (False, [WRAPPED[: -len(TWO)], TWO])])  # a body like the known response
@example([(False, [ONE]), (False, [TWO + b"x"]), (False, [ONE])])
def test_responses_are_the_same_whether_their_heads_were_known_or_not(answers) -> None:
    """W8, G4: however the bytes are cut, and whatever is wrong with them."""
    assert responses_in(Upstream, answers) == responses_in(ForgetfulUpstream, answers)


def test_the_answer_to_a_head_request_has_no_body_whatever_the_soulstone_sends() -> None:
    """G4: and its connection, on which such a body may still come, is not used again."""
    for body in (b"", b"bb"):
        (seen,) = responses_in(Upstream, [(True, [message(RESPONSES[0], b"%d", body)])])
        assert seen[1:] == (b"", True, False, 0)


def test_a_head_is_learnt_only_with_exactly_one_length() -> None:
    """G7."""
    known = learn(message(HEADS[1], b"%d", b"body"), "meaning")
    assert known is not None and known.head == "meaning"
    again = message(HEADS[1], b"%d", b"x" * 123456)
    start, length = known.match(again)
    assert (again[start:], length) == (b"x" * 123456, 123456)
    assert known.match(again[: start - 1]) is None
    assert known.match(message(HEADS[1], b"+%d", b"body")) is None
    assert known.match(message(HEADS[1], b"%d ", b"body")) is None
    assert learn(message(HEADS[9], b"%d", b"body"), "twice") is None
    assert learn(OTHERS[0], "none") is None
