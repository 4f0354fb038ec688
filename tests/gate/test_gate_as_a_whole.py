"""The gate around its byte path: the core, keys, routes, reload, stop, reports (G1, G7, G10)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from pathlib import Path

from tests.gate.asked import CHAT, STREAM, event

from covend.config import Key
from covend.protocol import (
    Announce,
    CoreHello,
    ReloadConfig,
    SignalsChanged,
    UsageChanged,
)


def test_a_dead_core_drops_nothing_and_hears_everything_when_it_is_back(play) -> None:
    """W8, docs/architecture.md."""

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
