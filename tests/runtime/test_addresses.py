"""Names that outlive restarts and reach other processes (S13)."""

from __future__ import annotations

import pytest

from covend.runtime import (
    KILLED,
    NOPROC,
    Actor,
    ActorDead,
    Answer,
    Down,
    Exit,
    Origin,
    System,
    Unreachable,
)


class Echo(Actor):
    def on_receive(self, message: object) -> object:
        match message:
            case "fail":
                raise ValueError("boom")
            case "to", target, what:
                self.ctx.tell(target, what)
            case "watch", target:
                self.ctx.monitor(target)
            case Down():
                self.down = message
            case "down":
                return self.down
            case _:
                return message
        return None


class FakeWire:
    """Another process that answers every ask with its own message and may be away."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, object, Origin]] = []
        self.away = False
        self.watchers: list[object] = []

    def tell(self, node: str, name: str, message: object, origin: Origin) -> None:
        if self.away:
            raise Unreachable(f"{node} is away")
        self.told.append((node, name, message, origin))

    def ask(self, node: str, name: str, message: object, origin: Origin, answer: Answer) -> None:
        self.tell(node, name, message, origin)
        answer.settle(message)

    def monitor(self, node, name, on_down):
        self.watchers.append(on_down)
        return lambda: self.watchers.remove(on_down)


def test_of_the_names_that_nobody_has_any_more_only_so_many_are_remembered(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs have names of their own: the memory of a core must not grow with every one."""
    monkeypatch.setattr("covend.runtime.system.MOST_REMEMBERED", 10)
    for life in (1, 2):
        kept = system.spawn(Echo, name="kept")
        assert kept.incarnation == life
        for number in range(30):
            ref = system.spawn(Echo, name=f"run-{life}-{number}")
            ref.stop()
            assert system.join(ref)
        assert len(system._incarnations) <= 13
        kept.stop()
        assert system.join(kept)


def test_an_address_finds_the_next_incarnation(system: System) -> None:
    first = system.spawn(Echo, name="e")
    address = system.address("e")
    assert address.ask("hi", 1.0) == "hi"
    first.stop()
    assert system.join(first)
    with pytest.raises(ActorDead, match="nobody is named e"):
        address.ask("hi", 1.0)
    address.tell("lost")
    assert system.dead_letters.count == 1
    second = system.spawn(Echo, name="e")
    assert second.incarnation == 2
    assert address.ask("hi", 1.0) == "hi"
    assert first.address == address == system.address(f"e@{system.node}")


@pytest.mark.parametrize("text", ["", "@core", "a@", "a@b@c"])
def test_a_malformed_address_is_refused(system: System, text: str) -> None:
    with pytest.raises(ValueError, match="name@node"):
        system.address(text)


def test_without_a_wire_a_remote_ask_says_where_and_a_tell_is_a_dead_letter(system: System) -> None:
    with pytest.raises(Unreachable, match="arbiter@core"):
        system.address("arbiter@core").ask("x", 1.0)
    system.address("arbiter@core").tell("x")
    assert system.dead_letters.recent[0].target == "arbiter@core"


def test_a_remote_message_carries_who_said_it_and_its_trace(system: System) -> None:
    """X1: the ids go with the message across processes."""
    wire = FakeWire()
    system.attach(wire)
    echo = system.spawn(Echo, name="e")
    echo.ask(("to", "arbiter@core", "hello"), 1.0)
    [(node, name, message, origin)] = wire.told
    assert (node, name, message) == ("core", "arbiter", "hello")
    assert origin.sender == f"e@{system.node}"
    received = next(r for r in system.trace.snapshot() if r.kind == "receive" and r.actor == "e")
    assert (origin.cause_id, origin.trace_id) == (received.msg_id, received.trace_id)
    assert system.address("arbiter@core").ask("echo", 1.0) == "echo"
    wire.away = True
    with pytest.raises(Unreachable, match="core is away"):
        system.address("arbiter@core").ask("echo", 1.0)
    system.address("arbiter@core").tell("x")
    assert system.dead_letters.count == 1


def test_a_remote_monitor_is_one_down_and_can_be_taken_back(system: System, until) -> None:
    wire = FakeWire()
    system.attach(wire)
    echo = system.spawn(Echo)
    echo.ask(("watch", "arbiter@core"), 1.0)
    [on_down] = wire.watchers
    on_down(KILLED)
    assert echo.ask("down", 1.0).name == "arbiter@core"
    assert echo.ask("down", 1.0).reason == KILLED


def test_what_the_wire_hands_in_is_handled_and_the_unknown_is_answered(system: System) -> None:
    system.spawn(Echo, name="e")
    origin = Origin("gate@gate-0", 7, 3, 2)
    answer = system.answer("e", 1.0)
    system.deliver("e", "hi", origin, answer)
    assert answer.get() == "hi"
    received = next(r for r in system.trace.snapshot() if r.kind == "receive")
    assert (received.other, received.msg_id, received.trace_id) == ("gate@gate-0", 7, 2)
    lost = system.answer("x", 1.0)
    system.deliver("x", "hi", origin, lost)
    with pytest.raises(ActorDead, match="nobody is named x"):
        lost.get()
    system.deliver("x", "hi", origin)
    assert system.dead_letters.count == 1
    reasons: list[Exit] = []
    system.watch("x", reasons.append)
    assert reasons == [NOPROC]
