"""Requests through a running gate: served, held, retried, ended, whatever happens (G1–G8)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from pathlib import Path

from covend.config import Key, Role
from covend.protocol import (
    Announce,
    CoreHello,
    PauseAdmission,
    RefuseWaiting,
    ReloadConfig,
    SignalsChanged,
    UpstreamBroke,
    UsageChanged,
)

CHAT = {"model": "a", "messages": [{"role": "user", "content": "é"}]}
STREAM = {**CHAT, "stream": True}


def event(n: int) -> bytes:
    return b'data: {"n":%d}\n\n' % n


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


def test_a_cold_request_waits_until_the_core_opens(play) -> None:
    """G2, W9: it is told once, served when open, and told once that it no longer waits."""

    async def scenario(rig) -> None:
        conn = await rig.ask(CHAT)
        await rig.until(lambda: rig.heard(SignalsChanged))
        note = rig.heard(SignalsChanged)[0].added[0]
        assert (note.capability, note.klass) == ("a", "reflex")
        rig.open(a=4)
        (await rig.stones["a"].call()).reply()
        answer = await conn.answer()
        assert answer.status == 200 and float(answer.headers["x-covend-waited"]) >= 0
        assert answer.headers["x-covend-request"] == note.id
        await rig.until(lambda: rig.heard(SignalsChanged)[-1].removed == [note.id])

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


def test_a_stream_that_waits_is_kept_alive_by_comments(play) -> None:
    """G2, G5."""

    async def scenario(rig) -> None:
        conn = await rig.ask(STREAM)
        answer = await conn.head()
        assert answer.status == 200
        assert b": waiting" in await conn.reader.readuntil(b"\n\n\r\n")
        rig.open(a=1)
        call = await rig.stones["a"].call()
        call.begin()
        call.chunk(event(1))
        call.writer.write(b"0\r\n\r\n")
        rest = await conn.reader.readuntil(b"0\r\n\r\n")
        assert event(1) in rest and b": soulstone=a tier=0" in rest

    play(scenario, limits={"keepalive_comment_seconds": 0.02})


def test_a_refusal_after_comments_is_an_event(play) -> None:
    """G2, G4: the status is out, so the reason goes into the stream, and an answer's error too."""

    async def scenario(rig) -> None:
        conns = [await rig.ask(STREAM, X_Covend_Timeout="0.2"), await rig.ask(STREAM)]
        for conn in conns:
            await conn.head()
        rest = await conns[0].reader.readuntil(b"0\r\n\r\n")
        assert b'"code":"deadline_exceeded"' in rest
        rig.open(a=1)
        (await rig.stones["a"].call()).reply(b"out of memory", status="500 Oh")
        rest = await conns[1].reader.readuntil(b"0\r\n\r\n")
        assert b"answered 500: out of memory" in rest and b"data: {" in rest

    play(scenario, limits={"keepalive_comment_seconds": 0.02})


def test_a_deadline_ends_the_wait_with_a_reason_and_takes_the_demand_back(play) -> None:
    """G2."""

    async def scenario(rig) -> None:
        conn = await rig.ask(CHAT, X_Covend_Timeout="0.05")
        answer = await conn.answer()
        assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
        assert rig.waiting() == 0
        await rig.until(lambda: rig.heard(SignalsChanged)[-1].removed)
        for wrong in ("0", "-1", "nan", "inf", "soon"):
            conn.ask(CHAT, X_Covend_Timeout=wrong)
            answer = await conn.answer()
            assert (answer.status, answer.error["param"]) == (400, "X-Covend-Timeout")

    play(scenario)


def test_a_client_that_leaves_takes_its_demand_along(play) -> None:
    """G2, G6."""

    async def scenario(rig) -> None:
        conn = await rig.ask(CHAT)
        await rig.until(lambda: rig.waiting() == 1)
        conn.close()
        await rig.until(lambda: rig.waiting() == 0)
        await rig.until(lambda: rig.heard(SignalsChanged)[-1].removed)

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


def test_a_full_waiting_room_answers_429_with_the_plans_estimate(play) -> None:
    """G3."""

    async def scenario(rig) -> None:
        rig.open(eta={"a": 41.2})
        await rig.ask(CHAT)
        await rig.until(lambda: rig.waiting() == 1)
        answer = await (await rig.ask(CHAT)).answer()
        assert (answer.status, answer.headers["retry-after"]) == (429, "42")

    play(scenario, limits={"waiting_room": 1})


def test_what_can_never_be_served_is_refused_with_the_cores_reason(play) -> None:
    """W24."""

    async def scenario(rig) -> None:
        conn = await rig.ask(CHAT)
        other = await rig.ask({"model": "b"})
        await rig.until(lambda: rig.waiting() == 2)
        rig.gate.on_core(RefuseWaiting("a", 503, "a is quarantined", 30))
        answer = await conn.answer()
        assert (answer.status, answer.error["message"]) == (503, "a is quarantined")
        assert answer.headers["retry-after"] == "30"
        assert rig.waiting() == 1
        rig.open(b=1)
        (await rig.stones["b"].call()).reply()
        assert (await other.answer()).status == 200

    play(scenario)


def test_a_pause_closes_at_once_and_is_confirmed_after_the_last_byte(play) -> None:
    """W20, S17."""

    async def scenario(rig) -> None:
        rig.open(a=4, b=4)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        await conn.head()
        rig.gate.on_core(PauseAdmission(7, ["a"], 1e9, "dispatcher@core", 0))
        later = await rig.ask(CHAT)
        await rig.until(lambda: rig.waiting() == 1)
        assert rig.confirmed == []
        call.writer.write(b"0\r\n\r\n")
        await rig.until(lambda: rig.confirmed)
        ((address, drained),) = rig.confirmed
        assert (address, drained.epoch, drained.node) == ("dispatcher@core", 7, "gate-0")
        assert (drained.active, rig.used(), rig.waiting()) == (0, 0, 1)
        rig.open(b=4)
        rig.open(a=4, b=4)
        (await rig.stones["a"].call()).reply()
        assert (await later.answer()).status == 200
        rig.gate.on_core(PauseAdmission(9, ["a"], 1e9, "x@core", 0))
        assert rig.confirmed[-1][1].epoch == 9, "nothing in flight: confirmed at once"

    play(scenario)


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


def test_a_dead_core_drops_nothing_and_hears_everything_when_it_is_back(play) -> None:
    """DESIGN §3."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        await conn.head()
        full = await rig.ask(CHAT)
        cold = await rig.ask({"model": "b"}, X_Covend_Class="swarm")
        await rig.until(lambda: rig.waiting() == 2)
        rig.told.clear()
        rig.gate.on_core(CoreHello(2))
        (news,) = rig.heard(Announce)
        assert {(n.capability, n.klass) for n in news.signals} == {("a", "reflex"), ("b", "swarm")}
        assert news.in_use["a"].count == {"reflex": 1}
        assert news.admission == rig.epoch
        call.chunk(event(1))
        call.writer.write(b"0\r\n\r\n")
        assert event(1) in await conn.reader.readuntil(b"0\r\n\r\n")
        (await rig.stones["a"].call()).reply()
        assert (await full.answer()).status == 200
        cold.close()

    play(scenario)


def test_an_older_admission_is_dropped(play) -> None:
    async def scenario(rig) -> None:
        rig.epoch = 5
        rig.open(a=1)
        rig.epoch = 3
        rig.open(b=1)
        assert rig.gate.desk.stones["a"].open and not rig.gate.desk.stones["b"].open
        await asyncio.sleep(0)

    play(scenario)


def test_keys_decide_class_and_access_and_stay_here(play) -> None:
    """G7, W7: the key of the box is not shown to a soulstone."""
    secret = "covend-secret"
    key = Key(
        name="k",
        sha256=hashlib.sha256(secret.encode()).hexdigest(),
        klass="ritual",
        capabilities=("a",),
        max_concurrent=1,
    )

    async def scenario(rig) -> None:
        mine = {"Authorization": f"Bearer {secret}"}
        answer = await (await rig.ask(CHAT)).answer()
        assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
        answer = await (await rig.ask({"model": "b"}, **mine)).answer()
        assert answer.status == 403
        conn = await rig.ask(CHAT, X_Covend_Class="reflex", **mine)
        await rig.until(lambda: rig.heard(SignalsChanged))
        assert rig.heard(SignalsChanged)[0].added[0].klass == "ritual"
        answer = await (await rig.ask(CHAT, **mine)).answer()
        assert answer.error["code"] == "too_many_at_once"
        rig.open(a=1)
        call = await rig.stones["a"].call()
        assert secret.encode() not in call.head
        call.reply()
        assert (await conn.answer()).status == 200
        conn.ask(CHAT, **mine)
        (await rig.stones["a"].call()).reply()
        assert (await conn.answer()).status == 200

    play(scenario, key=(key,), limits={"require_key_on_loopback": True})


def test_the_passthrough_reaches_one_soulstone_with_path_and_query(play) -> None:
    """G1."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(path="/upstream/a/props?x=1", method="GET")
        call = await rig.stones["a"].call()
        assert call.head.startswith(b"GET /props?x=1 HTTP/1.1\r\n")
        call.reply(b"props")
        assert (await conn.answer()).body == b"props"
        conn.ask(path="/upstream/a/props", method="HEAD")
        call = await rig.stones["a"].call()
        call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        answer = await conn.answer(head_only=True)
        assert (answer.status, answer.headers["content-length"]) == (200, "5")
        conn.ask(path="/upstream/zz/props", method="GET")
        assert (await conn.answer()).error["code"] == "no_such_soulstone"

    play(scenario)


def test_the_gates_own_answers(play) -> None:
    """G1, X6."""

    async def scenario(rig) -> None:
        rig.open({"b": 9.5}, a=1)
        conn = await rig.ask(path="/v1/models", method="GET")
        answer = await conn.answer()
        states = {m["id"]: m["covend"]["state"] for m in json.loads(answer.body)["data"]}
        assert states == {"a": "open", "b": "cold"}
        assert answer.headers["x-covend-request"]
        table = [
            ("GET", "/v1/models/b", 200),
            ("GET", "/v1/models/zz", 404),
            ("HEAD", "/v1/models", 200),
            ("OPTIONS", "/v1/models", 204),
            ("OPTIONS", "/v1/chat/completions", 204),
            ("DELETE", "/v1/models", 405),
            ("GET", "/v1/chat/completions", 405),
            ("GET", "/health", 200),
            ("GET", "/", 404),
            ("GET", "/v1/nothing", 404),
        ]
        for method, path, status in table:
            conn.ask(path=path, method=method)
            answer = await conn.answer(head_only=method == "HEAD")
            assert answer.status == status, (method, path)
            if status >= 400:
                assert answer.error["message"]
        conn.ask({"model": "zz"})
        assert (await conn.answer()).error["code"] == "model_not_found"

    play(scenario)


def test_embeddings_are_ingest_and_forms_name_their_model_too(play) -> None:
    """W7, G1."""

    async def scenario(rig) -> None:
        conn = await rig.ask({"model": "a", "input": "x"}, path="/v1/embeddings")
        await rig.until(lambda: rig.heard(SignalsChanged))
        assert rig.heard(SignalsChanged)[0].added[0].klass == "ingest"
        rig.open(a=1)
        (await rig.stones["a"].call()).reply()
        await conn.answer()
        form = (
            b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n'
            b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n\x00\xff\r\n--B--\r\n'
        )
        kind = {"Content_Type": "multipart/form-data; boundary=B"}
        conn.ask(form, path="/v1/audio/transcriptions", **kind)
        call = await rig.stones["a"].call()
        assert call.body == form.replace(b"\r\na\r\n", b"\r\nreal-a\r\n")
        assert b"boundary=B" in call.head
        call.reply()
        assert (await conn.answer()).status == 200

    play(scenario)


def test_stopping_refuses_what_waits_and_finishes_what_flows(play) -> None:
    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        await conn.head()
        cold = await rig.ask({"model": "b"})
        await rig.until(lambda: rig.waiting() == 1)
        stopping = asyncio.ensure_future(rig.gate.stop(grace=5))
        assert (await cold.answer()).status == 503
        call.chunk(event(1))
        call.writer.write(b"0\r\n\r\n")
        assert event(1) in await conn.reader.readuntil(b"0\r\n\r\n")
        await stopping

    play(scenario)


def test_a_reload_touches_only_what_changed(play, tmp_path) -> None:
    """G10: the stream goes on, the new place is used, what is gone is refused."""

    async def scenario(rig) -> None:
        rig.open(a=4)
        conn = await rig.ask(STREAM)
        call = await rig.stones["a"].call()
        call.begin()
        await conn.head()
        gone = await rig.ask({"model": "b"})
        await rig.until(lambda: rig.waiting() == 1)
        file = tmp_path / "box.toml"
        file.write_text(
            f"""
            run_dir = "{tmp_path}/run"
            state_dir = "{tmp_path}/state"
            [[device]]
            name = "host"
            [[soulstone]]
            name = "a"
            authority = "shared"
            discipline = "kinetic"
            slots = 4
            endpoint = "http://127.0.0.1:{rig.stones["b"].port}"
            """
        )
        rig.gate.on_core(ReloadConfig(str(file)))
        assert (await gone.answer()).error["code"] == "model_not_found"
        moved = await rig.ask(CHAT)
        (await rig.stones["b"].call()).reply(b"moved")
        assert (await moved.answer()).body == b"moved"
        assert rig.used() == 1, "the stream still holds its slot"
        call.chunk(event(1))
        call.writer.write(b"0\r\n\r\n")
        assert event(1) in await conn.reader.readuntil(b"0\r\n\r\n")
        await rig.until(lambda: rig.used() == 0)
        file.write_text("nonsense = ")
        rig.gate.on_core(ReloadConfig(str(file)))
        moved.ask(CHAT)
        (await rig.stones["b"].call()).reply(b"kept")
        assert (await moved.answer()).body == b"kept"

    play(scenario)


def test_tls_by_configuration(play) -> None:
    """G7."""
    here = Path(__file__).parent / "tls"

    async def scenario(rig) -> None:
        rig.open(a=1)
        trust = ssl.create_default_context(cafile=str(here / "cert.pem"))
        reader, writer = await asyncio.open_connection(
            *rig.gate.address, ssl=trust, server_hostname="localhost"
        )
        conn = rig.adopt(reader, writer)
        conn.ask(CHAT)
        (await rig.stones["a"].call()).reply(b"secret")
        assert (await conn.answer()).body == b"secret"
        conn.send(b"\x00\r\n\r\n")
        assert (await conn.answer()).status == 400
        assert await conn.ended()
        plain = await rig.ask(CHAT)
        assert await plain.ended()

    tls = {"tls_cert": str(here / "cert.pem"), "tls_key": str(here / "key.pem")}
    play(scenario, limits=tls)


def test_what_ended_is_told_with_its_times_and_tokens(play) -> None:
    """W10: the answer's own count where it states one; an error teaches no service time."""

    async def scenario(rig) -> None:
        rig.open(a=1)
        conn = await rig.ask(CHAT)
        usage = b'{"usage": {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17}}'
        (await rig.stones["a"].call()).reply(usage)
        await conn.answer()
        conn.ask(CHAT)
        (await rig.stones["a"].call()).reply(b"{}", status="400 Bad")
        assert (await conn.answer()).status == 400

        def served() -> list:
            return [one for told in rig.heard(UsageChanged) for one in told.served]

        await rig.until(lambda: len(served()) == 2)
        first, second = served()
        assert (first.soulstone, first.capability, first.klass) == ("a", "a", "reflex")
        assert (first.ok, first.prompt_tokens, first.completion_tokens) == (True, 14, 3)
        assert 0 <= first.waited < 5 and 0 < first.service < 5
        assert not second.ok
        assert rig.heard(UsageChanged)[-1].in_use["a"].tokens == 0

    play(scenario)
