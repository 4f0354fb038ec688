"""A monitor on an actor of another process hears its end, however it comes (S9, S13)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wire_peer import SECONDS, Echo, End, Peer

from covend.runtime import (
    NOPROC,
    NORMAL,
    Actor,
    Down,
    ThreadSystem,
)
from covend.runtime.wire import Node
from covend.testing import eventually


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
