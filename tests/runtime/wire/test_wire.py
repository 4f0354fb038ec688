"""Actors of other processes answer like local ones, and failure says where (S13)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wire_peer import SECONDS, Echo, Fail, Hang, Heard, Peer, Relay, Say, SayUrgently

from covend.runtime import (
    ActorDead,
    ActorError,
    AskTimeout,
    Message,
    RemoteError,
    ReplyError,
    ThreadSystem,
    Unreachable,
    message,
)
from covend.runtime.frames import (
    MAX_BODY,
    FrameError,
)
from covend.runtime.trace_actor import TraceQuery
from covend.runtime.wire_client import Client
from covend.testing import eventually

# ── the same as local ────────────────────────────────────────────────────────────────────────


def test_an_actor_of_another_process_is_told_and_asked_like_a_local_one(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """S13: both ways, also from inside a handler."""
    start("there")
    system.spawn(Echo, name="echo")
    there = system.address("echo@there")
    assert there.ask(Say([1, "two", None, 3.5, {"k": b"v"}]), SECONDS) == [
        1, "two", None, 3.5, {"k": b"v"},
    ]  # fmt: skip
    there.tell(Say("told"))
    assert there.ask(Relay("echo@here", "and back"), SECONDS) == "and back"
    assert there.ask(Heard(), SECONDS)[1][-1] == "told"
    assert system.address("echo").ask(Heard(), SECONDS)[1] == ["and back"]
    assert there.ask({"plain": 1}, SECONDS) == ["plain", {"plain": 1}]


def test_messages_to_one_actor_arrive_in_order_and_control_keeps_its_lane(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """S13, S11: order per sender and lane, none lost, many in flight."""
    start("there")
    there = system.address("echo@there")
    answers = [there.ask_later(Say(n), SECONDS) for n in range(2000)]
    there.tell(SayUrgently("now"))
    assert [answer.get() for answer in answers] == list(range(2000))
    heard = there.ask(Heard(), SECONDS)[1]
    assert [value for value in heard if value != "now"] == list(range(2000))
    assert heard.count("now") == 1


def test_errors_come_back_as_what_they_were(client: Client, start: Callable[[str], Peer]) -> None:
    """S12 over the wire: declared, undeclared, an unfit answer, a dead actor, a missing one."""
    start("there")
    with pytest.raises(ReplyError, match="not today"):
        client.ask("echo@there", Fail("declared"), SECONDS)
    with pytest.raises(FrameError, match="echo@there does not fit on the wire"):
        client.ask("echo@there", Fail("unfit"), SECONDS)
    with pytest.raises(ActorDead, match="nobody@there"):
        client.ask("nobody@there", Heard(), SECONDS)
    with pytest.raises(RemoteError, match="KeyError: 'a bug'"):
        client.ask("echo@there", Fail("bug"), SECONDS)
    with pytest.raises(ActorDead):
        client.ask("echo@there", Heard(), SECONDS)  # the bug was its end


def test_what_cannot_cross_is_refused_at_the_sender(
    client: Client, start: Callable[[str], Peer]
) -> None:
    """S13: no pickle; a class without a tag, an object, and too many bytes."""

    class Untagged(Message, frozen=True):
        pass

    start("there")
    with pytest.raises(FrameError, match=r"Untagged.*@message"):
        client.ask("echo@there", Untagged(), SECONDS)
    with pytest.raises(FrameError, match="object"):
        client.tell("echo@there", object())
    with pytest.raises(FrameError, match=str(MAX_BODY)):
        client.tell("echo@there", Say(b"x" * (MAX_BODY + 1)))
    with pytest.raises(ActorError, match="NAME@NODE"):
        client.tell("echo", Say(1))
    big = b"y" * (MAX_BODY - 100)
    assert client.ask("echo@there", Say(big), SECONDS) == big


def test_an_unknown_message_type_is_an_error_to_the_asker(
    client: Client, start: Callable[[str], Peer]
) -> None:
    """S13: the registry of the receiver decides what it can be made to build."""

    @message("test.only_here")
    class OnlyHere(Message, frozen=True):
        pass

    start("there")
    bystander = client.ask_later("echo@there", Hang(), SECONDS)
    client.tell("echo@there", OnlyHere())
    with pytest.raises(FrameError, match=r"test\.only_here"):
        client.ask("echo@there", OnlyHere(), SECONDS)
    assert not bystander.done


# ── failure says where ───────────────────────────────────────────────────────────────────────


def test_asking_an_absent_process_fails_at_once_and_names_it(client: Client) -> None:
    """S13: long before the timeout."""
    with pytest.raises(Unreachable, match="echo@there: process there is not there"):
        client.ask("echo@there", Heard(), timeout=3600.0)


def test_a_stale_socket_file_is_an_absent_process(
    client: Client, start: Callable[[str], Peer], tmp_path: Path
) -> None:
    """S13: what a killed process leaves behind."""
    start("there").kill()
    assert (tmp_path / "wire" / "there.sock").exists()
    with pytest.raises(Unreachable, match="not there"):
        client.ask("echo@there", Heard(), timeout=3600.0)


def test_an_ask_that_is_not_answered_ends_at_its_deadline_and_says_where(
    system: ThreadSystem, client: Client, start: Callable[[str], Peer]
) -> None:
    """S12, S13."""
    start("there")
    with pytest.raises(AskTimeout, match="echo@there"):
        client.ask("echo@there", Hang(), timeout=0.05)
    with pytest.raises(AskTimeout, match="echo@there"):
        system.address("echo@there").ask(Hang(), timeout=0.05)


def test_a_killed_process_fails_every_ask_outstanding_at_once(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """S13: kill -9 in the middle of asks; another peer's asks are not touched."""
    there, other = start("there"), start("other")
    hanging = [system.address("echo@there").ask_later(Hang(), 3600.0) for _ in range(50)]
    elsewhere = system.address("echo@other").ask_later(Hang(), 3600.0)
    assert system.address("echo@there").ask(Say("all in"), SECONDS) == "all in"
    there.kill()
    for answer in hanging:
        assert answer.wait(SECONDS)
        assert isinstance(answer.error, Unreachable)
        assert "process there is gone" in str(answer.error)
    assert system.address("echo@other").ask(Say("still"), SECONDS) == "still"
    assert not elsewhere.done
    other.close()


def test_a_tell_to_an_absent_process_is_a_dead_letter_and_traced(system: ThreadSystem) -> None:
    """S13, X1: nothing is kept for a process that may never come."""
    system.address("echo@there").tell(Say("hello?"))
    eventually(lambda: system.dead_letters.count == 1)
    letter = system.dead_letters.recent[0]
    assert (letter.target, letter.message) == ("echo@there", "Say")
    assert "not there" in letter.why
    assert any(record.kind == "drop" for record in system.trace.snapshot())


def test_a_restarted_process_is_reached_again_and_gets_nothing_of_its_predecessors(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """S13: an address outlives its process."""
    there = system.address("echo@there")
    first = start("there")
    pid = there.ask(Heard(), SECONDS)[0]
    there.tell(Say("for the first"))
    assert there.ask(Heard(), SECONDS)[1] == ["for the first"]
    first.kill()
    start("there")

    def answered() -> Any:
        try:
            return there.ask(Heard(), SECONDS)
        except ActorDead:
            return None  # the end of the first one was not seen yet

    new_pid, heard = eventually(answered)
    assert new_pid != pid
    assert heard == []


def test_ids_of_message_cause_and_trace_are_the_same_in_both_processes(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """X1: a tree can be built across processes."""
    start("there")
    system.spawn(Echo, name="echo")
    system.address("echo").ask(Relay("echo@there", "x"), SECONDS)
    here = [record for record in system.trace.snapshot() if record.other == "echo@there"]
    sent = next(record for record in here if record.kind == "send")
    assert sent.cause_id
    query = TraceQuery(about=sent.msg_id)
    rows = system.address("trace@there").ask(query, SECONDS)["records"]
    received = [row for row in rows if row[2] == "receive"]
    assert [row[6:9] for row in received] == [[sent.msg_id, sent.cause_id, sent.trace_id]]
    assert received[0][4] == "echo@here"
