"""A node's name and folder are its own, its end leaves nothing, its queues are bounded (S13)."""

from __future__ import annotations

import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wire_peer import SECONDS, Echo, Hang, Heard, Peer, Say

from covend.runtime import (
    Actor,
    MailboxFull,
    MailboxSpec,
    ThreadSystem,
    Unreachable,
)
from covend.runtime.ipc import MAX_QUEUED, WireError
from covend.runtime.wire import Node
from covend.runtime.wire_client import Client
from covend.testing import eventually


def test_the_directory_is_made_private_and_an_open_one_is_refused(tmp_path: Path) -> None:
    """docs/architecture.md: a 0700 directory."""
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
