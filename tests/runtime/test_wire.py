"""Actors of other processes answer like local ones, and failure says where (S13)."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from wire_peer import Echo, End, Fail, Hang, Heard, Relay, Say, SayUrgently

from covend.runtime import (
    NOPROC,
    NORMAL,
    Actor,
    ActorDead,
    ActorError,
    AskTimeout,
    Down,
    MailboxFull,
    MailboxSpec,
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
    Header,
    from_parts,
    pack_error,
    to_parts,
    unpack_error,
)
from covend.runtime.frames import Frame as WireFrame
from covend.runtime.ipc import MAX_QUEUED, WireError
from covend.runtime.trace_actor import TraceQuery
from covend.runtime.wire import Client, Node

PEER = Path(__file__).with_name("wire_peer.py")
SECONDS = 10.0


class Peer:
    """Another process with an actor ``echo``; ends with its standard input."""

    def __init__(self, node: str, run_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PEER), node, str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> int:
        self.process.communicate(timeout=SECONDS)
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Peer]]:
    peers: list[Peer] = []

    def begin(node: str) -> Peer:
        peers.append(Peer(node, tmp_path))
        return peers[-1]

    yield begin
    for peer in peers:
        peer.close()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[ThreadSystem]:
    with ThreadSystem(node="here") as made:
        wire = Node(made, "here", tmp_path)
        yield made
    wire.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Node.client(tmp_path) as made:
        yield made


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
    return value


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


class Watcher(Actor):
    """Monitors an address at once; answers with the Downs that came."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.downs: list[Down] = []

    def on_start(self) -> None:
        self.monitor = self.ctx.monitor(self.target)

    def on_receive(self, message: object) -> object:
        if isinstance(message, Down):
            self.downs.append(message)
        elif message == "forget":
            self.ctx.demonitor(self.monitor)
        return list(self.downs)


def test_a_monitor_sees_the_end_of_an_actor_and_of_its_process(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """S9, S13: exactly one Down each, with the reason where one is known."""
    there = start("there")
    of_actor = system.spawn(Watcher, "echo@there", name="of-actor")
    of_process = system.spawn(Watcher, "trace@there", name="of-process")
    of_nobody = system.spawn(Watcher, "nobody@there", name="of-nobody")
    nowhere = system.spawn(Watcher, "echo@nowhere", name="nowhere")
    forgetful = system.spawn(Watcher, "trace@there", name="forgetful")
    forgetful.ask("forget", SECONDS)
    eventually(lambda: of_nobody.ask("?", SECONDS) and nowhere.ask("?", SECONDS))
    system.address("echo@there").tell(End())
    eventually(lambda: of_actor.ask("?", SECONDS))
    assert of_process.ask("?", SECONDS) == []
    there.kill()
    eventually(lambda: of_process.ask("?", SECONDS))

    reasons = {
        ref.name: [(down.name, down.reason) for down in ref.ask("?", SECONDS)]
        for ref in (of_actor, of_process, of_nobody, nowhere, forgetful)
    }
    assert reasons == {
        "of-actor": [("echo@there", NORMAL)],
        "of-process": [("trace@there", NOPROC)],
        "of-nobody": [("nobody@there", NOPROC)],
        "nowhere": [("echo@nowhere", NOPROC)],
        "forgetful": [],
    }


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


# ── hostile neighbours ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    """A raw socket to the node ``here``."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        dealer.connect(f"ipc://{tmp_path}/wire/here.sock")
        yield dealer


def refusal(stranger: zmq.Socket[bytes]) -> str:
    frame = from_parts(stranger.recv_multipart())
    assert frame.header.kind == "error"
    return str(unpack_error(frame.body))


def ask_header(**changes: Any) -> Header:
    values: dict[str, Any] = {
        "kind": "ask",
        "to": "echo@here",
        "sender": "x@evil",
        "key": 7,
        "deadline": time.monotonic() + SECONDS,
        **changes,
    }
    return Header(**values)


def test_garbage_is_answered_with_a_clear_error_and_harms_nobody(
    system: ThreadSystem, stranger: zmq.Socket[bytes]
) -> None:
    """S13: wrong version, wrong mark, wrong parts, wrong header, wrong body, wrong node."""
    echo = system.spawn(Echo, name="echo")
    good = to_parts(WireFrame(ask_header(), b"\xc0"))
    cases: list[tuple[list[bytes], str]] = [
        ([b"cvd\x63", *good[1:]], "version 99 is not spoken here"),
        ([b"HTTP/1.1", *good[1:]], "mark"),
        ([b"", b"", b""], "mark"),
        (good[:2], "3 parts, not 2"),
        ([*good, b"more"], "3 parts, not 4"),
        ([good[0], b"\xff\x00\x13", b""], "header"),
        ([good[0], b"x" * 5000, b""], "5000 bytes"),
        (to_parts(WireFrame(ask_header(), b"\xc1\xff")), "body does not decode"),
        (to_parts(WireFrame(ask_header(tag="no.such"), b"\xc0")), "no.such"),
        (to_parts(WireFrame(ask_header(tag="test.say"), b"\xc0")), "test.say"),
        (to_parts(WireFrame(ask_header(to="echo@there"), b"\xc0")), "this is node here"),
        (to_parts(WireFrame(ask_header(to=""), b"\xc0")), "this is node here"),
        (to_parts(WireFrame(ask_header(kind="reply"), b"\xc0")), "only answers"),
    ]
    for parts, expected in cases:
        stranger.send_multipart(parts)
        assert expected in refusal(stranger)
    nested = b"\x91" * 100_000 + b"\xc0"
    stranger.send_multipart(to_parts(WireFrame(ask_header(), nested)))
    assert "body does not decode" in refusal(stranger)
    stranger.send_multipart(good)
    assert from_parts(stranger.recv_multipart()).header.kind == "reply"
    assert echo.ask(Say("alive"), SECONDS) == "alive"


def test_oversize_messages_and_noise_are_cut_off_and_the_node_lives(
    system: ThreadSystem, stranger: zmq.Socket[bytes], tmp_path: Path
) -> None:
    """S13: MAXMSGSIZE; bytes that are not even ZeroMQ's."""
    echo = system.spawn(Echo, name="echo")
    stranger.send_multipart([b"cvd\x01", b"", b"z" * (MAX_BODY + 10_000)])
    with socket.socket(socket.AF_UNIX) as noise:
        noise.settimeout(SECONDS)
        noise.connect(f"{tmp_path}/wire/here.sock")
        noise.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(4096))
    with zmq.Context() as context, context.socket(zmq.DEALER) as second:
        second.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        second.connect(f"ipc://{tmp_path}/wire/here.sock")
        second.send_multipart(to_parts(WireFrame(ask_header(), b"\xc0")))
        assert from_parts(second.recv_multipart()).header.kind == "reply"
    assert echo.ask(Heard(), SECONDS)[1] == []


def test_asks_to_a_peer_of_another_version_fail_and_say_so(client: Client, tmp_path: Path) -> None:
    """S13: a peer that cannot read our frames refuses them; nobody waits for his deadline."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        router.bind(f"ipc://{tmp_path}/wire/old.sock")
        answer = client.ask_later("echo@old", [1], 3600.0)
        route = router.recv_multipart()[0]
        error = pack_error(FrameError("wire version 1 is not spoken here, only 2"))
        router.send_multipart([route, *to_parts(WireFrame(Header("error", "", "old"), error))])
        assert answer.wait(SECONDS)
        with pytest.raises(FrameError, match="version 1"):
            answer.get()


# ── a place of one's own ─────────────────────────────────────────────────────────────────────


def test_the_directory_is_made_private_and_an_open_one_is_refused(tmp_path: Path) -> None:
    """DESIGN §3: a 0700 directory."""
    with Node.client(tmp_path):
        assert stat.S_IMODE((tmp_path / "wire").stat().st_mode) == 0o700
    (tmp_path / "wire").chmod(0o750)
    with pytest.raises(WireError, match=r"mode 0750.*chmod 0700"):
        Node.client(tmp_path)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "wire").symlink_to(tmp_path)
    with pytest.raises(WireError, match="must be a directory"):
        Node.client(tmp_path / "file")


def test_a_name_is_taken_while_its_process_lives(
    system: ThreadSystem, start: Callable[[str], Peer], tmp_path: Path
) -> None:
    """S13: the second one is refused and the first one keeps its socket."""
    there = start("there")
    with pytest.raises(WireError, match="already runs here"):
        Node(system, "there", tmp_path)
    assert system.address("echo@there").ask(Say(1), SECONDS) == 1
    there.kill()
    successor = ThreadSystem(node="there")
    Node(successor, "there", tmp_path).close()
    successor.shutdown()


@pytest.mark.parametrize("name", ["", "a/b", "a@b", ".hidden", "long" * 30])
def test_names_that_cannot_be_sockets_are_refused(
    name: str, system: ThreadSystem, tmp_path: Path
) -> None:
    """X6."""
    with pytest.raises(WireError):
        Node(system, name, tmp_path)


def test_closing_removes_the_socket_and_releases_whoever_waits(
    start: Callable[[str], Peer], tmp_path: Path
) -> None:
    """S13: a client leaves no file; an orderly end leaves no socket."""
    there = start("there")
    client = Node.client(tmp_path)
    answer = client.ask_later("echo@there", Hang(), 3600.0)
    assert client.ask("echo@there", Say(1), SECONDS) == 1
    assert [path.name for path in (tmp_path / "wire").iterdir()] == ["there.sock"]
    client.close()
    client.close()
    with pytest.raises(Unreachable, match="left the wire"):
        answer.get()
    with pytest.raises(Unreachable, match="left the wire"):
        client.ask("echo@there", Say(2), SECONDS)
    assert there.close() == 0
    assert list((tmp_path / "wire").iterdir()) == []


def test_what_was_told_before_closing_still_leaves(
    start: Callable[[str], Peer], tmp_path: Path
) -> None:
    """S13: a command may tell and go."""
    start("there")
    with Node.client(tmp_path) as client:
        for n in range(100):  # not even linked yet
            client.tell("echo@there", Say(n))
    with Node.client(tmp_path) as client:
        eventually(lambda: client.ask("echo@there", Heard(), SECONDS)[1] == list(range(100)))


def test_many_threads_may_ask_at_once(system: ThreadSystem, start: Callable[[str], Peer]) -> None:
    """S13: an address may be used by any thread."""
    start("there")
    wrong: list[object] = []

    def ask(base: int) -> None:
        for n in range(base, base + 100):
            if (got := system.address("echo@there").ask(Say(n), SECONDS)) != n:
                wrong.append((n, got))

    threads = [threading.Thread(target=ask, args=(1000 * t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(system.address("echo@there").ask(Heard(), SECONDS)[1]) == 800


def test_a_peer_that_does_not_read_costs_a_bounded_queue_and_nothing_is_reordered(
    system: ThreadSystem, start: Callable[[str], Peer]
) -> None:
    """S13: SIGSTOP; what is over the bound is a dead letter at once, the rest arrives in order."""
    there = start("there")
    address = system.address("echo@there")
    address.ask(Say(-1), SECONDS)
    there.process.send_signal(signal.SIGSTOP)
    try:
        sent = 3 * MAX_QUEUED
        for n in range(sent):
            address.tell(Say(n))
        with pytest.raises(Unreachable, match="busy"):
            address.ask(Heard(), SECONDS)
    finally:
        there.process.send_signal(signal.SIGCONT)

    def drained() -> Any:
        try:
            return address.ask(Heard(), SECONDS)
        except Unreachable:
            return None

    heard = eventually(drained)[1][1:]
    assert heard == sorted(heard)
    assert len(heard) >= MAX_QUEUED
    assert system.dead_letters.count >= sent - 2 * MAX_QUEUED - 5000


def test_a_full_mailbox_never_holds_up_the_wire(system: ThreadSystem, client: Client) -> None:
    """S11, S13: rejection is visible to the asker, a tell is a dead letter, others go on."""
    started, go_on = threading.Event(), threading.Event()

    class Slow(Actor):
        mailbox = MailboxSpec(bound=2, policy="block", block_seconds=3600.0)

        def on_receive(self, message: object) -> object:
            started.set()
            go_on.wait(SECONDS)
            return message

    system.spawn(Slow, name="slow")
    system.spawn(Echo, name="echo")
    answers = [client.ask_later("slow@here", 0, SECONDS)]
    assert started.wait(SECONDS)
    answers += [client.ask_later("slow@here", n, SECONDS) for n in (1, 2)]
    with pytest.raises(MailboxFull, match="slow"):
        client.ask("slow@here", 3, SECONDS)
    client.tell("slow@here", 4)
    assert client.ask("echo@here", Say("others go on"), SECONDS) == "others go on"
    assert [letter.why for letter in system.dead_letters.recent if "takes no more" in letter.why]
    go_on.set()
    assert [answer.get() for answer in answers] == [0, 1, 2]


def test_monitors_of_a_dead_process_go_when_its_successor_sets_its_own(
    system: ThreadSystem, tmp_path: Path
) -> None:
    """S13: a node that restarts for ever leaves nothing piling up at its peers."""
    system.spawn(Echo, name="echo")
    assert isinstance(system.wire, Node)
    served = system.wire._served
    for life in range(3):
        with ThreadSystem(node="there") as there:
            wire = Node(there, "there", tmp_path)
            watchers = [there.spawn(Watcher, "echo@here") for _ in range(2)]
            route = f"there#{wire._ipc.incarnation:x}".encode()
            eventually(lambda route=route: [known for known, _ in served] == [route] * 2)
            if life == 2:
                system.address("echo").tell(End())
                for watcher in watchers:
                    downs = eventually(lambda ref=watcher: ref.ask("?", SECONDS))
                    assert [down.reason for down in downs] == [NORMAL]
            wire.close()  # before its actors end, as a killed process would
    assert served == {}
