"""What ignores its shutdown is fenced: dead to everybody, though its thread lives on (S15)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from covend.runtime import ZOMBIE, Actor, ActorDead, Exit, ThreadSystem
from covend.testing import eventually


class Stubborn(Actor):
    """Ignores everything while it is held, then tries to speak."""

    def __init__(self, go: threading.Event, log: list[object]) -> None:
        self.go = go
        self.log = log

    def on_receive(self, message: object) -> object:
        match message:
            case "hold", inside:
                inside.set()
                self.go.wait(10)
                self.ctx.tell("listener", "from a zombie")
                self.ctx.system.address("listener").tell("by address")
                try:
                    self.ctx.ask("listener", "asked", 1.0)
                except ActorDead as error:
                    self.log.append(str(error))
                return "late reply"
            case _:
                return "alive"

    def on_stop(self, reason: Exit) -> None:
        self.log.append("on_stop")


class Listener(Actor):
    """Keeps what it hears."""

    def __init__(self, heard: list[object]) -> None:
        self.heard = heard

    def on_receive(self, message: object) -> object:
        self.heard.append(message)
        return None


@pytest.fixture
def system() -> Iterator[ThreadSystem]:
    with ThreadSystem() as made:
        yield made


def test_a_fenced_actor_is_gone_for_everybody_and_what_it_says_is_dropped(
    system: ThreadSystem,
) -> None:
    go, inside = threading.Event(), threading.Event()
    heard: list[object] = []
    log: list[object] = []
    system.spawn(Listener, heard, name="listener")
    ref = system.spawn(Stubborn, go, log, name="s")
    reasons: list[Exit] = []
    system.watch("s", reasons.append)
    held = ref.ask_later(("hold", inside), 10.0)
    assert inside.wait(5)
    waiting = ref.ask_later("after", 10.0)
    ref.stop()
    assert not system.join(ref, 0.02)

    assert system.fence(ref) is True
    assert reasons == [ZOMBIE]
    assert system.join(ref, 0.02)
    assert list(system.zombies) == ["s"]
    for answer in (held, waiting):
        with pytest.raises(ActorDead):
            answer.get()
    successor = system.spawn(Stubborn, go, [], name="s")
    assert successor.incarnation == ref.incarnation + 1

    go.set()
    eventually(lambda: not system.zombies, what="its thread is free again")
    assert heard == []
    assert log == ["s is a zombie: what it sends is dropped"]  # and on_stop did not run
    assert system.find("s") is successor
    assert reasons == [ZOMBIE]
    drops = [r.detail for r in system.trace.snapshot() if r.kind == "drop"]
    assert sum("zombie" in detail for detail in drops) >= 3


def test_fencing_the_dead_changes_nothing(system: ThreadSystem) -> None:
    ref = system.spawn(Listener, [])
    ref.stop()
    assert system.join(ref)
    assert system.fence(ref) is False
    assert system.zombies == {}


def test_a_shutdown_reports_who_ignored_it_and_stops_the_others() -> None:
    system = ThreadSystem()
    go, inside = threading.Event(), threading.Event()
    log: list[object] = []
    system.spawn(Stubborn, go, log, name="polite")
    system.spawn(Listener, [])
    rude = system.spawn(Stubborn, go, [], name="rude")
    rude.tell(("hold", inside))
    assert inside.wait(5)
    try:
        assert system.shutdown(timeout=0.4) == ["rude"]
        assert log == ["on_stop"]
    finally:
        go.set()
