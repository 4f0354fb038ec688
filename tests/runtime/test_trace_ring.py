"""The ring: what it keeps, leaves out, and never writes (X1)."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from itertools import count
from pathlib import Path

import pytest

from covend.runtime import (
    Actor,
    MailboxFull,
    MailboxSpec,
    Message,
    Origin,
    SimSystem,
    System,
    ThreadSystem,
    TraceRing,
)
from covend.runtime.trace import load, render
from covend.testing import eventually


class Login(Message, frozen=True):
    user: str
    password: str
    api_key: str
    nested: dict[str, str]


class Relay(Actor):
    def on_receive(self, message: object) -> object:
        if message == "go":
            self.ctx.tell("sink", "on")
        return None


def test_cause_and_trace_follow_a_message_from_actor_to_actor(system: System, until) -> None:
    system.spawn(Relay, name="sink")
    system.spawn(Relay, name="relay").tell("go")
    of_sink = lambda: [r for r in system.trace.snapshot() if r.actor == "sink"]  # noqa: E731
    until(lambda: any(r.kind == "done" for r in of_sink()))
    records = system.trace.snapshot()
    sent = next(r for r in records if r.kind == "send" and r.other == "relay")
    onward = next(r for r in records if r.kind == "send" and r.other == "sink")
    handled = next(r for r in of_sink() if r.kind == "receive")
    assert sent.trace_id == sent.msg_id
    assert (onward.cause_id, onward.trace_id, onward.actor) == (sent.msg_id, sent.msg_id, "relay")
    assert (handled.msg_id, handled.trace_id) == (onward.msg_id, sent.msg_id)
    assert [r.kind for r in records if r.actor == "sink"][:1] == ["spawn"]


def test_the_ring_keeps_the_last_records_in_order() -> None:
    ring = TraceRing(8, clock=count().__next__)
    for number in range(20):
        ring.note("restart", f"a{number}")
    assert [r.actor for r in ring.snapshot()] == [f"a{n}" for n in range(12, 20)]


def test_adding_from_many_threads_loses_nothing() -> None:
    ring = TraceRing(4096)

    def add() -> None:
        for number in range(1000):
            ring.add("send", "a", "b", number, number, 0, number)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.seq for r in ring.snapshot()] == list(range(4000))


def handle(ring: TraceRing, id_: int) -> None:
    """Let a message be sent, received and done."""
    envelope = ring.send("m", None, "a", "b", id_, 0, id_)
    ring.received(envelope)
    ring.done(envelope, "")


def test_sampling_keeps_whole_traces() -> None:
    ring = TraceRing(1024, every=4)
    for trace in range(40):
        handle(ring, trace)
        ring.add("drop", "a", "b", "m", trace, 0, trace)
    ring.note("exit", "a")
    kept = ring.snapshot()
    assert len(kept) == 10 * 4 + 1
    assert {r.trace_id % 4 for r in kept} == {0}


def test_a_message_is_one_entry_and_three_records() -> None:
    ring = TraceRing(8, clock=count(1).__next__)
    for number in range(20):
        handle(ring, number)
    records = ring.snapshot()
    assert [r.msg_id for r in records] == [n for n in range(12, 20) for _ in range(3)]
    assert [(r.kind, r.actor, r.other) for r in records[:3]] == [
        ("send", "a", "b"),
        ("receive", "b", "a"),
        ("done", "b", "a"),
    ]
    seqs = [r.seq for r in records]
    assert seqs == sorted(seqs) and records == sorted(records, key=lambda r: r.time_ns)


def test_what_is_still_handled_is_seen_as_received() -> None:
    ring = TraceRing(8)
    envelope = ring.send("m", None, "a", "b", 1, 0, 1)
    ring.received(envelope)
    assert [r.kind for r in ring.snapshot()] == ["send", "receive"]


@pytest.mark.parametrize("meanwhile", ["waits", "is handled"])
def test_a_message_that_was_pushed_out_meanwhile_comes_back(meanwhile: str) -> None:
    ring = TraceRing(8)
    slow = ring.send("m", None, "a", "slow", 99, 0, 99)
    if meanwhile == "is handled":
        ring.received(slow)
    for number in range(20):
        handle(ring, number)
    assert all(r.msg_id != 99 for r in ring.snapshot())
    if meanwhile == "waits":
        ring.received(slow)
        assert [r.kind for r in ring.snapshot() if r.msg_id == 99] == ["send", "receive"]
    ring.done(slow, "")
    assert [r.kind for r in ring.snapshot() if r.msg_id == 99] == ["send", "receive", "done"]


def test_what_came_from_elsewhere_is_traced_from_its_receipt_on() -> None:
    ring = TraceRing(8, every=2)
    for trace in (6, 7):
        envelope = ring.enclose("m", None, "b", Origin("a@gate", 5, 4, trace))
        ring.received(envelope)
        ring.done(envelope, "ValueError: x")
    received, done = ring.snapshot()
    assert (received.kind, received.other, received.trace_id) == ("receive", "a@gate", 6)
    assert (done.kind, done.cause_id, done.detail) == ("done", 4, "ValueError: x")


def test_records_are_read_on_from_a_number() -> None:
    ring = TraceRing(64)
    assert ring.newest() == -1
    waiting = ring.send("m", None, "a", "b", 1, 0, 1)
    seen = ring.newest()
    ring.received(waiting)
    ring.note("restart", "a")
    ring.done(waiting, "")
    assert [r.kind for r in ring.snapshot(seen)] == ["receive", "restart", "done"]
    assert ring.newest() == ring.snapshot()[-1].seq and not ring.snapshot(ring.newest())


class Heavy:
    """A payload that can be seen to go."""


class Swallow(Actor):
    mailbox = MailboxSpec(bound=1, policy="reject")

    def on_receive(self, message: object) -> object:
        match message:
            case "hold", inside, go:
                inside.set()
                go.wait(10)
            case _:
                pass
        return None


def test_the_ring_keeps_no_payload_alive() -> None:
    with ThreadSystem() as system:
        ref = system.spawn(Swallow)
        inside, go = threading.Event(), threading.Event()
        ref.tell(("hold", inside, go))
        assert inside.wait(5)
        handled, refused, late = Heavy(), Heavy(), Heavy()
        seen = [weakref.ref(heavy) for heavy in (handled, refused, late)]
        ref.tell(handled)
        with pytest.raises(MailboxFull):
            ref.tell(refused)
        go.set()
        eventually(lambda: [r.kind for r in system.trace.snapshot()].count("done") == 2)
        ref.stop()
        assert system.join(ref)
        ref.tell(late)
        del handled, refused, late
        gc.collect()
        assert [r.message for r in system.trace.snapshot() if r.kind == "send"].count("Heavy") == 3
        assert [heavy() for heavy in seen] == [None] * 3


def test_payloads_are_written_only_on_request_cut_short_and_without_secrets() -> None:
    login = Login("ann" * 100, "hunter2", "sk-1", {"auth_token": "t-9", "page": "home"})
    quiet, loud = TraceRing(16), TraceRing(16, payloads=True)
    for ring in (quiet, loud):
        ring.send(login, None, "a", "b", 1, 0, 1)
        ring.note("restart", "a", secret="s-1", tries=3)
    assert quiet.snapshot()[0].detail == ""
    detail = loud.snapshot()[0].detail
    assert "home" in detail and "…" in detail and len(detail) < 250
    for ring in (quiet, loud):
        text = repr(ring.snapshot())
        assert not any(secret in text for secret in ("hunter2", "sk-1", "t-9", "s-1"))


def test_rendering_is_bounded_whatever_it_is_given() -> None:
    deep: list[object] = []
    deep.append(deep)
    wide = {f"f{n}": "x" * 1000 for n in range(1000)}
    assert len(render(deep)) < 1000
    assert len(render(wide)) < 1000
    assert render(b"secret bytes") == "<12 bytes>"
    assert render(object()) == "<object>"


def test_a_dump_can_be_read_again(tmp_path: Path) -> None:
    ring = TraceRing(16, node="core")
    handle(ring, 1)
    ring.note("exit", "a", reason="shutdown")
    path = tmp_path / "trace"
    assert ring.dump(path) == 4
    head, records = load(path)
    assert head["node"] == "core"
    assert records == ring.snapshot()
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    with pytest.raises(ValueError, match="cut short"):
        load(path)
    path.write_bytes(b"\0\0\0\1\xc1")
    with pytest.raises(ValueError, match="no trace dump"):
        load(path)


def test_a_crash_of_a_thread_dumps_the_ring(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(sys, "excepthook", lambda *args: None)
    ring = TraceRing(16)
    remove = ring.dump_on_crash(tmp_path / "crash")
    try:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
        _, records = load(tmp_path / "crash")
        assert "ZeroDivisionError" in records[-1].detail
        sys.excepthook(ValueError, ValueError("x"), None)
        assert "ValueError" in load(tmp_path / "crash")[1][-1].detail
    finally:
        remove()


@pytest.mark.parametrize(("size", "every"), [(0, 1), (-8, 1), (16, 0)])
def test_a_senseless_ring_is_refused(size: int, every: int) -> None:
    with pytest.raises(ValueError, match="trace"):
        TraceRing(size, every=every)


def test_a_simulation_traces_in_virtual_time() -> None:
    with SimSystem(start=100.0) as sim:
        sim.advance(5)
        sim.trace.note("restart", "x")
        assert sim.trace.snapshot()[-1].time_ns == 105_000_000_000
