"""Exactly one Down, after everything else (S9)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from covend.runtime import (
    NOPROC,
    SHUTDOWN,
    Actor,
    ActorDead,
    Down,
    Exit,
    Failed,
    SimSystem,
    System,
)


class Watcher(Actor):
    """Monitors what it is told to and keeps every Down."""

    def __init__(self) -> None:
        self.downs: list[Down] = []

    def on_receive(self, message: object) -> object:
        match message:
            case "watch", target:
                return self.ctx.monitor(target)
            case "unwatch", monitor, flush:
                self.ctx.demonitor(monitor, flush)
            case Down():
                self.downs.append(message)
            case _:
                return list(self.downs)
        return None


class Mortal(Actor):
    """Fails when told so; its end is logged by on_stop."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def on_receive(self, message: object) -> object:
        if message == "fail":
            raise ValueError("boom")
        return message

    def on_stop(self, reason: Exit) -> None:
        self.log.append("on_stop")


def test_one_down_tells_the_reason_after_on_stop_ran(system: System, until) -> None:
    log: list[str] = []
    watcher, mortal = system.spawn(Watcher), system.spawn(Mortal, log, name="m")
    monitor = watcher.ask(("watch", mortal), 1.0)
    mortal.tell("fail")
    until(lambda: len(watcher.ask("downs", 1.0)) > 0)
    [down] = watcher.ask("downs", 1.0)
    assert (down.monitor, down.name) == (monitor, "m")
    assert isinstance(down.reason, Failed)
    assert log == ["on_stop"]


def test_each_monitor_has_its_own_down(system: System, until) -> None:
    watcher, mortal = system.spawn(Watcher), system.spawn(Mortal, [])
    monitors = {watcher.ask(("watch", mortal), 1.0) for _ in range(3)}
    mortal.stop()
    until(lambda: len(watcher.ask("downs", 1.0)) == 3)
    downs = watcher.ask("downs", 1.0)
    assert {down.monitor for down in downs} == monitors
    assert {down.reason for down in downs} == {SHUTDOWN}


def test_monitoring_the_dead_or_unknown_gives_noproc_at_once(system: System, until) -> None:
    watcher, mortal = system.spawn(Watcher), system.spawn(Mortal, [])
    mortal.stop()
    assert system.join(mortal)
    watcher.ask(("watch", mortal), 1.0)
    watcher.ask(("watch", "nobody"), 1.0)
    watcher.ask(("watch", "nobody@elsewhere"), 1.0)
    until(lambda: len(watcher.ask("downs", 1.0)) == 3)
    assert [down.reason for down in watcher.ask("downs", 1.0)] == [NOPROC] * 3


def test_no_down_arrives_after_demonitor(system: System) -> None:
    watcher, mortal = system.spawn(Watcher), system.spawn(Mortal, [])
    monitor = watcher.ask(("watch", mortal), 1.0)
    watcher.ask(("unwatch", monitor, True), 1.0)
    mortal.stop()
    assert system.join(mortal)
    assert watcher.ask("downs", 1.0) == []


def test_demonitor_removes_a_down_that_is_queued_already(system: System) -> None:
    class Slow(Watcher):
        def on_receive(self, message: object) -> object:
            if isinstance(message, tuple) and message[0] == "race":
                _, target, flush = message
                monitor = self.ctx.monitor(target)
                target.stop()
                self.ctx.system.join(target)  # the Down is in the mailbox now
                self.ctx.demonitor(monitor, flush)
                return None
            return super().on_receive(message)

    watcher = system.spawn(Slow)
    watcher.ask(("race", system.spawn(Mortal, []), True), 5.0)
    assert watcher.ask("downs", 1.0) == []
    watcher.ask(("race", system.spawn(Mortal, []), False), 5.0)
    assert len(watcher.ask("downs", 1.0)) == 1


def test_a_dead_watcher_harms_nobody(system: System) -> None:
    watcher, mortal = system.spawn(Watcher), system.spawn(Mortal, [])
    watcher.ask(("watch", mortal), 1.0)
    watcher.stop()
    assert system.join(watcher)
    mortal.stop()
    assert system.join(mortal)
    assert system.dead_letters.count == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=40))
def test_in_any_order_a_monitor_gets_exactly_one_down(schedule: list[int]) -> None:
    """S9: monitoring races with a failure, a stop, and with asks that must all end (S11)."""
    with SimSystem(schedule) as sim:
        log: list[str] = []
        watchers = [sim.spawn(Watcher) for _ in range(3)]
        mortal = sim.spawn(Mortal, log)
        for watcher in watchers:
            watcher.tell(("watch", mortal))
        answers = [mortal.ask_later(number, 1.0) for number in range(3)]
        mortal.tell("fail")
        mortal.stop()
        answers += [mortal.ask_later(number, 1.0) for number in range(3)]
        sim.run_until_idle()
        assert log == ["on_stop"]
        for watcher in watchers:
            [down] = watcher.ask("downs", 1.0)
            assert down.reason == NOPROC or down.reason == SHUTDOWN or down.reason.kind == "failed"
        assert all(answer.done for answer in answers)
        assert all(answer.error is None or type(answer.error) is ActorDead for answer in answers)
