"""Requests through a running gate: sent, relayed, ended, whatever either side does (G1–G8)."""

from __future__ import annotations

import asyncio
import json

from tests.gate.asked import CHAT, STREAM, event

from covend.config import Role
from covend.protocol import (
    SignalsChanged,
    UpstreamBroke,
    UsageChanged,
)


def test_a_warm_request_is_served_at_once_and_asks_nobody(play) -> None:
    """W8, G1, G5."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask(
            CHAT, Authorization="Bearer mine", X_Other="1", Connection="keep-alive"
        )
        call = await rig.stones["a"].call()
        assert json.loads(call.body) == {**CHAT, "model": "real-a"}
        assert call.body == json.dumps(CHAT).encode().replace(b'"a"', b'"real-a"', 1)
        head = call.head.lower()
        assert b"x-other: 1\r\n" in head and b"authorization: bearer mine\r\n" in head
        assert b"connection:" not in head and head.count(b"\r\nhost: 127.0.0.1:") == 1
        call.reply(b'{"ok":1}', headers="X-From: stone\r\nConnection: keep-alive\r\n")
        answer = await conn.answer()
        assert (answer.status, answer.body) == (200, b'{"ok":1}')
        assert answer.headers["x-from"] == "stone"
        assert answer.headers["x-covend-soulstone"] == "a"
        assert answer.headers["x-covend-tier"] == "0"
        assert float(answer.headers["x-covend-waited"]) < 1
        assert answer.headers["x-covend-request"]
        assert rig.heard(SignalsChanged) == []
        await rig.until(lambda: any(u.served for u in rig.heard(UsageChanged)))

    play(scenario)


def test_connections_to_a_soulstone_are_used_again(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.connect()
        for n in range(5):
            conn.ask(CHAT)
            (await rig.stones["a"].call()).reply(b"%d" % n)
            assert (await conn.answer()).body == b"%d" % n
        assert rig.stones["a"].connections == 1

    play(scenario)


def test_a_role_is_served_by_the_best_open_tier_and_the_answer_says_which(play) -> None:
    """W6, G5."""

    async def scenario(rig) -> None:
        rig.open(b=1)
        conn = await rig.ask({"model": "think"})
        call = await rig.stones["b"].call()
        assert b'"real-b"' in call.body
        call.reply()
        answer = await conn.answer()
        assert answer.headers["x-covend-soulstone"] == "b"
        assert answer.headers["x-covend-tier"] == "1"

    play(scenario, role=(Role(name="think", tiers=("a", "b")),))


def test_streams_keep_their_events_and_their_end(play) -> None:
    """G1, G8: events arrive one by one, whole, in order, with the proper end."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        answer = await conn.head()
        assert answer.headers["content-type"] == "text/event-stream"
        for n in range(3):
            call.chunk(event(n)[:4])
            call.chunk(event(n)[4:])
            size = int(await conn.reader.readuntil(b"\r\n"), 16)
            assert (await conn.reader.readexactly(size + 2))[:-2] == event(n)
        call.chunk(b"data: [DONE]\n\n")
        call.writer.write(b"0\r\n\r\n")
        rest = await conn.reader.readuntil(b"0\r\n\r\n")
        assert b"[DONE]" in rest
        await rig.until(lambda: rig.used() == 0)

    play(scenario)


def test_a_client_that_leaves_mid_stream_frees_the_slot_and_the_soulstone(play) -> None:
    """G6."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        await conn.head()
        conn.close()
        await rig.until(lambda: rig.used() == 0)
        assert await call.reader.read() == b""

    play(scenario, {"slots": 1})


def test_a_stream_whose_soulstone_dies_ends_with_an_error_event(play) -> None:
    """G4: what was half out is dropped, and the end is proper HTTP with the reason in it."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        call.chunk(event(1) + b'data: {"ha')
        await conn.head()
        await conn.reader.readuntil(b"\n\n\r\n")
        call.die()
        rest = await conn.reader.readuntil(b"0\r\n\r\n")
        assert b'"ha' not in rest
        assert b'data: {"error":{' in rest and b'"soulstone_died"' in rest
        assert rig.used() == 0
        await rig.until(lambda: rig.heard(UpstreamBroke))

    play(scenario)


def test_anthropics_error_event_has_its_name(play) -> None:
    """G1, G4."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(STREAM, path="/v1/messages")
        call = await rig.stones["a"].call()
        call.begin()
        await conn.head()
        call.die()
        rest = await conn.reader.readuntil(b"0\r\n\r\n")
        assert b'event: error\ndata: {"type":"error"' in rest

    play(scenario)


def test_half_an_answer_never_looks_like_a_whole_one(play) -> None:
    """G4: chunks without the last, a length not reached, a reset for HTTP/1.0."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        for version in ("1.1", "1.0"):
            conn = await rig.ask(CHAT, version=version)
            call = await rig.stones["a"].call()
            call.begin("application/json")
            call.chunk(b'{"half')
            await conn.head()
            await conn.reader.readexactly(6)
            call.die()
            if version == "1.1":
                rest = await conn.reader.read()
                assert not rest.endswith(b"0\r\n\r\n")
            else:
                try:
                    await conn.reader.read()
                    raise AssertionError("a clean end")
                except ConnectionResetError:
                    pass
            rig.open()
            rig.open(a=4)
        conn = await rig.ask(CHAT)
        call = await rig.stones["a"].call()
        call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await rig.until(lambda: rig.gate.desk.stones["a"].last_byte)
        await conn.head()
        await conn.reader.readexactly(4)
        call.die()
        assert await conn.ended()

    play(scenario)


def test_a_request_no_byte_of_whose_answer_was_seen_is_retried_once(play) -> None:
    """G4: it waits for the reborn soulstone as demand; a second death is told."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask(CHAT)
        (await rig.stones["a"].call()).die()
        await rig.until(lambda: rig.heard(UpstreamBroke))
        (await rig.stones["a"].call()).reply(b"again")
        assert (await conn.answer()).body == b"again"
        rig.open()
        rig.open(a=4)  # closes idle connections: the next one is fresh
        conn.ask(CHAT)
        (await rig.stones["a"].call()).die()
        rig.open()
        await rig.until(lambda: rig.waiting() == 1)
        rig.open(a=4)
        (await rig.stones["a"].call()).die()
        answer = await conn.answer()
        assert (answer.status, answer.error["code"]) == (502, "soulstone_died")

    play(scenario)


def test_a_refused_connection_is_reported_and_the_request_waits(play) -> None:
    """G4: nothing was sent, so it may wait as long as its deadline allows."""

    async def scenario(rig) -> None:
        port = rig.stones["a"].port
        await rig.stones["a"].stop()
        rig.open(a=4)
        conn = await rig.ask(CHAT)
        await rig.until(lambda: len(rig.heard(UpstreamBroke)) >= 2)
        assert rig.heard(UpstreamBroke)[0].soulstone == "a"
        await rig.stones["a"].start(port)
        (await rig.stones["a"].call()).reply(b"up")
        assert (await conn.answer()).body == b"up"

    play(scenario)


def test_a_connection_that_was_closed_while_idle_harms_no_request(play) -> None:
    """G4: a stale connection is no death."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask(CHAT)
        call = await rig.stones["a"].call()
        call.reply()
        await conn.answer()
        conn.ask(CHAT)
        stale = await rig.stones["a"].call()  # taken off the idle connection, never answered
        stale.die()
        (await rig.stones["a"].call()).reply(b"fresh")
        assert (await conn.answer()).body == b"fresh"
        assert rig.heard(UpstreamBroke) == []

    play(scenario)


def test_an_answer_flows_from_its_first_event_to_its_end_and_while_its_reader_keeps_up(
    play,
) -> None:
    """W26: only from such a one is a byte due; a prompt is read before, and others come whole."""

    async def scenario(rig) -> None:
        rig.open(a=3)
        stone = rig.gate.desk.stones["a"]
        plain = await rig.ask(CHAT)
        whole = await rig.stones["a"].call()
        whole.begin("application/json")
        whole.chunk(b'{"half')
        await plain.head()
        assert stone.streams == 0
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        call.chunk(event(1))
        await rig.until(lambda: stone.streams == 1)
        assert stone.in_use().streams == 1
        (client,) = (one for one in rig.gate.clients if one.exchange.through is not None)
        client.exchange.pause()
        assert stone.streams == 0
        stone.last_byte = 0.0
        client.exchange.resume()
        assert stone.streams == 1 and stone.last_byte > 0
        conn.close()
        await rig.until(lambda: rig.used() == 1)
        assert stone.streams == 0

    play(scenario)


def test_a_slow_reader_stops_the_soulstone_instead_of_filling_memory(play) -> None:
    """G8."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(CHAT)
        conn.writer.transport.pause_reading()
        call = await rig.stones["a"].call()
        call.writer.transport.set_write_buffer_limits(high=65536)
        total = 64 << 20
        call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        sent = 0
        block = b"x" * (1 << 20)
        (client,) = rig.gate.clients
        while sent < total and not (client.exchange and client.exchange.upstream.paused):
            call.writer.write(block)
            sent += len(block)
            await asyncio.sleep(0.001)
        assert sent < total // 2, "the soulstone was never held back"
        assert client.write_paused
        assert client.transport.get_write_buffer_size() < 2 << 20
        conn.writer.transport.resume_reading()
        await conn.head()
        got = 0
        while got < sent:
            got += len(await conn.reader.read(1 << 20))

    play(scenario)


def test_a_reader_that_stands_still_is_cut_and_frees_the_slot(play) -> None:
    """G7, G8: a slot is not held for ever by a client that does not read."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(CHAT)
        conn.writer.transport.pause_reading()
        call = await rig.stones["a"].call()
        total = 32 << 20
        call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        call.writer.write(b"x" * total)
        await rig.until(lambda: rig.used() == 1)
        await rig.until(lambda: rig.used() == 0)

    play(scenario, limits={"body_seconds": 0.2})
