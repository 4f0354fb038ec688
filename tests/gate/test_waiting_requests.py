"""Requests that find no free slot: told, kept alive, served in time or refused (G2, G3, W9)."""

from __future__ import annotations

from tests.gate.asked import CHAT, STREAM, event

from covend.protocol import (
    PauseAdmission,
    RefuseWaiting,
    SignalsChanged,
)


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
