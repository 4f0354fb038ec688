"""Hostile and broken HTTP: a clear error, nothing smuggled, nothing held (G7)."""

from __future__ import annotations

import json

import pytest

BODY = b'{"model":"a"}'
START = b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\n"
INNER = b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n"

SMUGGLING = {
    "a length and chunks": START
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + INNER,
    "chunks and a length": START
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + INNER,
    "two lengths": START + b"Content-Length: 13\r\nContent-Length: 13\r\n\r\n" + BODY + INNER,
    "two lengths in one": START + b"Content-Length: 13, 13\r\n\r\n" + BODY + INNER,
    "a signed length": START + b"Content-Length: +13\r\n\r\n" + BODY + INNER,
    "a space before the colon": START + b"Content-Length : 13\r\n\r\n" + BODY + INNER,
    "a folded header": START + b"X-A: b\r\n c\r\nContent-Length: 13\r\n\r\n" + BODY + INNER,
    "a bare line feed": START + b"X-A: b\nContent-Length: 13\r\n\r\n" + BODY + INNER,
    "a bare carriage return": START + b"X-A: b\rContent-Length: 13\r\n\r\n" + BODY + INNER,
    "two encodings": START
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
    + INNER,
    "an unknown encoding": START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a list of encodings": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a broken chunk size": START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n" + INNER,
    "a chunk that is too long": START + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n" + INNER,
    "chunk lines by line feed": START + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n" + INNER,
    "chunks in HTTP/1.0": b"POST /v1/chat/completions HTTP/1.0\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "two hosts": START + b"Host: u\r\nContent-Length: 13\r\n\r\n" + BODY + INNER,
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\n\r\n" + INNER,
    "a null byte": START + b"X-A: b\x00c\r\n\r\n" + INNER,
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + INNER,
    "another version": b"GET / HTTP/3.0\r\nHost: t\r\n\r\n" + INNER,
    "no version": b"GET /\r\n\r\n" + INNER,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "a control character in the path": b"GET /\x01 HTTP/1.1\r\nHost: t\r\n\r\n" + INNER,
}


@pytest.mark.parametrize("name", SMUGGLING)
@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("known", [False, True])
def test_what_could_be_read_in_two_ways_is_refused_and_the_rest_is_not_read(
    play, name: str, cut: int, known: bool
) -> None:
    """G7: one error, then the end; the request behind it is never answered, nothing goes on.

    Also where the connection's last head was a good one that begins in the same way.
    """

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.connect()
        if known:
            conn.send(START + b"Content-Length: 13\r\n\r\n" + BODY)
            (await rig.stones["a"].call()).reply()
            assert (await conn.answer()).status == 200
        raw = SMUGGLING[name]
        for piece in [raw] if not cut else [raw[:30], raw[30:]]:
            conn.send(piece)
            await conn.writer.drain()
        answer = await conn.answer()
        assert answer.status in (400, 501, 505)
        assert answer.error["message"] and answer.headers["connection"] == "close"
        assert await conn.ended()
        assert rig.stones["a"].calls.empty()

    play(scenario)


def test_a_head_that_is_too_large_is_refused(play) -> None:
    """G7: by size in one piece, by size in many, by count."""

    async def scenario(rig) -> None:
        whole = START + b"X-Big: " + b"x" * 3000 + b"\r\n\r\n"
        for raw in (
            whole,
            START + b"X: 1\r\n" * 150 + b"\r\n",
            START + b"X-Endless: " + b"x" * 3000,
        ):
            conn = await rig.connect()
            conn.send(raw)
            answer = await conn.answer()
            assert (answer.status, answer.error["code"]) == (431, "head_too_large")
            assert await conn.ended()

    play(scenario, limits={"max_header_bytes": 2048})


def test_a_body_that_is_too_large_is_refused_announced_or_not(play) -> None:
    """G7."""

    async def scenario(rig) -> None:
        for raw in (
            START + b"Content-Length: 1001\r\n\r\n",
            START + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n",
            START + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n",
            START + b"Content-Length: 99999999999999999999\r\n\r\n",
        ):
            conn = await rig.connect()
            conn.send(raw)
            answer = await conn.answer()
            assert answer.status in (413, 400)
            assert await conn.ended()

    play(scenario, limits={"max_body_bytes": 1000})


@pytest.mark.parametrize(
    "raw", [b"", b"POST", START, START + b"Content-Length: 100\r\n\r\n" + b'{"mo']
)
def test_a_client_that_dawdles_is_let_go(play, raw: bytes) -> None:
    """G7: with a reason where a request had begun."""

    async def scenario(rig) -> None:
        conn = await rig.connect()
        conn.send(raw)
        if raw:
            assert (await conn.answer()).status == 408
        assert await conn.ended()

    limits = {"header_seconds": 0.1, "body_seconds": 0.1, "idle_seconds": 0.1}
    play(scenario, limits=limits)


def test_an_idle_connection_is_closed(play) -> None:
    async def scenario(rig) -> None:
        conn = await rig.ask(path="/health", method="GET")
        assert (await conn.answer()).status == 200
        assert await conn.ended()

    play(scenario, limits={"idle_seconds": 0.1})


def test_requests_in_one_packet_are_answered_in_order(play) -> None:
    """Pipelining: in order, one at a time, the last behind a slow one."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        chat = START + b"Content-Length: 13\r\n\r\n" + BODY
        conn = await rig.connect()
        conn.send(chat + INNER + chat + b"GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n" + INNER[:9])
        (await rig.stones["a"].call()).reply(b"1")
        assert (await conn.answer()).body == b"1"
        assert json.loads((await conn.answer()).body)["status"] == "ok"
        assert rig.used() == 1
        (await rig.stones["a"].call()).reply(b"2")
        assert (await conn.answer()).body == b"2"
        assert (await conn.answer()).status == 404
        conn.send(INNER[9:])
        assert (await conn.answer()).status == 200

    play(scenario)


def test_a_bad_request_behind_a_good_one_does_not_harm_it(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.connect()
        conn.send(START + b"Content-Length: 13\r\n\r\n" + BODY + b"\x00\x00\r\n\r\n" + INNER)
        (await rig.stones["a"].call()).reply(b"good")
        assert (await conn.answer()).body == b"good"
        assert (await conn.answer()).status == 400
        assert await conn.ended()

    play(scenario)


def test_a_body_may_come_in_chunks_and_in_drops(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.connect()
        raw = START + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n" + BODY[:5] + b"\r\n"
        raw += b"8\r\n" + BODY[5:] + b"\r\n0\r\nHost: evil\r\n\r\n"
        for index in range(len(raw)):
            conn.send(raw[index : index + 1])
            await conn.writer.drain()
        call = await rig.stones["a"].call()
        assert call.body == BODY.replace(b'"a"', b'"real-a"')
        assert b"evil" not in call.head and b"chunked" not in call.head.lower()
        call.reply()
        assert (await conn.answer()).status == 200

    play(scenario)


def test_expect_100_continue_is_answered_before_the_body(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.connect()
        conn.send(START + b"Content-Length: 13\r\nExpect: 100-continue\r\n\r\n")
        assert (await conn.head()).status == 100
        conn.send(BODY)
        (await rig.stones["a"].call()).reply(b"ok")
        assert (await conn.answer()).body == b"ok"

    play(scenario)


def test_old_clients_and_those_that_close_are_served_their_way(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask({"model": "a", "stream": True}, version="1.0")
        call = await rig.stones["a"].call()
        call.begin()
        call.chunk(b"data: 1\n\n")
        call.writer.write(b"0\r\n\r\n")
        answer = await conn.answer()
        assert answer.body == b"data: 1\n\n" and answer.headers["connection"] == "close"
        assert "transfer-encoding" not in answer.headers
        conn = await rig.ask(path="/health", method="GET", version="1.0", Connection="keep-alive")
        answer = await conn.answer()
        assert answer.headers["connection"] == "keep-alive"
        conn.ask(path="/health", method="GET", Connection="close")
        assert (await conn.answer()).headers["connection"] == "close"
        assert await conn.ended()

    play(scenario)


def test_a_wish_to_leave_http_is_ignored(play) -> None:
    async def scenario(rig) -> None:
        conn = await rig.ask(
            path="/health", method="GET", Connection="Upgrade", Upgrade="websocket"
        )
        assert (await conn.answer()).status == 200
        conn = await rig.ask(path="t:443", method="CONNECT")
        assert (await conn.answer()).status in (404, 405)

    play(scenario)


@pytest.mark.parametrize(
    "reply",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
    ],
)
def test_a_soulstone_that_speaks_no_http_is_a_bad_gateway(play, reply: bytes) -> None:
    """G4: nothing of it reaches the client; it is tried once more and then told."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask({"model": "a"})
        for _ in range(2):
            (await rig.stones["a"].call()).writer.write(reply)
        answer = await conn.answer()
        assert (answer.status, answer.error["code"]) == (502, "soulstone_died")

    play(scenario)


def test_what_a_soulstone_says_beyond_its_answer_reaches_nobody(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask({"model": "a"})
        call = await rig.stones["a"].call()
        call.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\nevil"
        )
        assert (await conn.answer()).body == b"a"
        conn.ask({"model": "a"})
        (await rig.stones["a"].call()).reply(b"b")
        assert (await conn.answer()).body == b"b"
        assert rig.stones["a"].connections == 2

    play(scenario)
