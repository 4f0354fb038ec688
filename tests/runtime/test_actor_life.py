"""Starting, asking, failing and stopping, alike on both systems."""

from __future__ import annotations

import threading

import pytest

from covend.runtime import (
    NORMAL,
    SHUTDOWN,
    Actor,
    ActorDead,
    AskTimeout,
    Exit,
    Failed,
    NameTaken,
    Promise,
    ReplyError,
    Shutdown,
    StartFailed,
    System,
    SystemStopped,
    ThreadSystem,
)


class Counter(Actor):
    """Adds integers; does what a string says."""

    def __init__(self, start: int = 0, log: list[str] | None = None) -> None:
        self.total = start
        self.log = [] if log is None else log
        self.kept: list[Promise] = []

    def on_receive(self, message: object) -> object:
        match message:
            case int():
                self.total += message
            case "fail":
                raise ValueError("boom")
            case "refuse":
                raise ReplyError("not today")
            case "exit":
                raise SystemExit(3)
            case "me":
                return self.ctx.ask(self.ctx.me, "total", 1.0)
            case "later":
                self.kept.append(self.ctx.later())
                return self.kept[-1]
            case "keep":
                return self.kept.pop().reply(self.total)
            case "done":
                self.ctx.stop()
            case "hear", other:
                return self.ctx.ask(other, "total", 1.0)
            case _:
                pass
        return self.total

    def on_stop(self, reason: Exit) -> None:
        self.log.append(str(reason))


def test_messages_of_one_sender_are_handled_in_order(system: System) -> None:
    class Recorder(Actor):
        def __init__(self) -> None:
            self.seen: list[object] = []

        def on_receive(self, message: object) -> object:
            self.seen.append(message)
            return list(self.seen)

    ref = system.spawn(Recorder)
    for number in range(100):
        ref.tell(number)
    assert ref.ask("end", 5.0) == [*range(100), "end"]


def test_spawn_returns_when_on_start_has_returned(system: System) -> None:
    class Slow(Actor):
        ready = False

        def on_start(self) -> None:
            self.ctx.system.spawn(Counter, name="helper")
            Slow.ready = True

    system.spawn(Slow)
    assert Slow.ready
    assert system.find("helper") is not None


@pytest.mark.parametrize("where", ["__init__", "on_start"])
def test_a_failed_start_raises_its_cause_and_frees_the_name(system: System, where: str) -> None:
    class Broken(Actor):
        def __init__(self) -> None:
            if where == "__init__":
                raise KeyError("no")

        def on_start(self) -> None:
            raise KeyError("no")

    with pytest.raises(StartFailed) as caught:
        system.spawn(Broken, name="x")
    assert isinstance(caught.value.cause, KeyError)
    assert system.spawn(Counter, name="x").ask(1, 1.0) == 1


def test_a_start_that_takes_too_long_is_given_up_and_fenced(system: System) -> None:
    """S15: the starting thread cannot be killed, so it is a zombie and its name is free."""
    gate = threading.Event()

    class Stuck(Actor):
        def on_start(self) -> None:
            if isinstance(self.ctx.system, ThreadSystem):
                gate.wait(10)
            else:
                self.ctx.system.answer("nobody", 60).wait(60)

    with pytest.raises(StartFailed, match=r"over 0\.05 s"):
        system.spawn(Stuck, name="x", start_timeout=0.05)
    assert system.find("x") is None
    system.spawn(Counter, name="x")
    gate.set()


def test_two_living_actors_never_have_one_name(system: System) -> None:
    system.spawn(Counter, name="x")
    with pytest.raises(StartFailed) as caught:
        system.spawn(Counter, name="x")
    assert isinstance(caught.value.cause, NameTaken)


@pytest.mark.parametrize("name", ["", "a@b"])
def test_a_name_that_could_not_be_an_address_is_refused(system: System, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        system.spawn(Counter, name=name)


def test_an_unexpected_error_fails_the_actor_and_reaches_the_asker(system: System) -> None:
    """S12."""
    log: list[str] = []
    ref = system.spawn(Counter, 0, log)
    with pytest.raises(ValueError, match="boom"):
        ref.ask("fail", 1.0)
    assert system.join(ref)
    assert log == ["failed(ValueError: boom)"]
    with pytest.raises(ActorDead):
        ref.ask("total", 1.0)


def test_a_declared_error_reaches_the_asker_alone(system: System) -> None:
    """S12."""
    ref = system.spawn(Counter, 7)
    with pytest.raises(ReplyError, match="not today"):
        ref.ask("refuse", 1.0)
    ref.tell("refuse")
    assert ref.ask("total", 1.0) == 7


def test_system_exit_in_a_handler_ends_that_actor_and_nobody_else(system: System) -> None:
    """S12: pykka would stop every actor of the process, and raise it in the asker's thread."""
    one, other = system.spawn(Counter), system.spawn(Counter, 5)
    with pytest.raises(ActorDead, match="SystemExit"):
        one.ask("exit", 1.0)
    assert system.join(one)
    assert other.ask("total", 1.0) == 5


def test_an_ask_to_self_is_an_error(system: System) -> None:
    """S12."""
    ref = system.spawn(Counter)
    with pytest.raises(Exception, match="asked itself"):
        ref.ask("me", 1.0)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_every_ask_is_bounded(system: System, timeout: float) -> None:
    """S12."""
    ref = system.spawn(Counter)
    with pytest.raises(ValueError, match="timeout"):
        ref.ask("total", timeout)


def test_an_ask_that_nobody_answers_times_out_and_the_late_reply_is_traced(system: System) -> None:
    """S12."""
    ref = system.spawn(Counter)
    with pytest.raises(AskTimeout):
        ref.ask("later", 0.05)
    assert ref.ask("keep", 1.0) is False
    assert any("nobody waits" in r.detail for r in system.trace.snapshot() if r.kind == "drop")


def test_a_promise_answers_later(system: System) -> None:
    ref = system.spawn(Counter, 3)
    answer = ref.ask_later("later", 5.0)
    seen: list[object] = []
    answer.on_done(lambda done: seen.append(done.value))
    assert ref.ask("keep", 1.0) is True
    assert answer.get() == 3
    assert seen == [3]


def test_a_promise_of_an_actor_that_ended_is_broken(system: System) -> None:
    ref = system.spawn(Counter)
    answer = ref.ask_later("later", 5.0)
    ref.ask("total", 1.0)
    ref.stop()
    with pytest.raises(ActorDead, match="promise"):
        answer.get()


def test_an_answer_with_a_callback_expires_without_anybody_waiting(system: System, until) -> None:
    ref = system.spawn(Counter)
    errors: list[BaseException | None] = []
    ref.ask_later("later", 0.05).on_done(lambda done: errors.append(done.error))
    until(lambda: bool(errors))
    assert isinstance(errors[0], AskTimeout)


def test_actors_ask_each_other_inside_handlers(system: System) -> None:
    one, two = system.spawn(Counter, 1), system.spawn(Counter, 2)
    assert one.ask(("hear", two), 2.0) == 2
    assert two.ask(("hear", one.name), 2.0) == 1


def test_stopping_itself_is_normal_and_being_stopped_is_shutdown(system: System) -> None:
    log: list[str] = []
    one, two = system.spawn(Counter, 0, log), system.spawn(Counter, 0, log)
    one.tell("done")
    assert system.join(one)
    two.stop()
    assert system.join(two)
    assert log == [str(NORMAL), str(SHUTDOWN)]


def test_a_trapped_shutdown_is_a_message(system: System) -> None:
    class Careful(Actor):
        trap_shutdown = True

        def on_receive(self, message: object) -> object:
            if isinstance(message, Shutdown):
                self.ctx.tell("log", 1)
                self.ctx.stop(message.reason)
            return None

    log = system.spawn(Counter, name="log")
    ref = system.spawn(Careful)
    ref.stop()
    assert system.join(ref)
    assert log.ask("total", 1.0) == 1


def test_an_error_in_on_stop_is_the_reason_of_the_exit(system: System, until) -> None:
    class Untidy(Actor):
        def on_stop(self, reason: Exit) -> None:
            raise OSError("cannot close")

    reasons: list[Exit] = []
    ref = system.spawn(Untidy, name="untidy")
    system.watch("untidy", reasons.append)
    ref.stop()
    until(lambda: bool(reasons))
    assert isinstance(reasons[0], Failed)
    assert isinstance(reasons[0].error, OSError)


def test_shutdown_stops_the_last_spawned_first_and_starts_nothing_more(system: System) -> None:
    order: list[str] = []

    class Named(Actor):
        def on_stop(self, reason: Exit) -> None:
            order.append(self.ctx.name)

    for name in ("a", "b", "c"):  # of three classes: peers of one are stopped together
        system.spawn(type(name, (Named,), {}), name=name)
    assert system.shutdown() == []
    assert order == ["c", "b", "a"]
    with pytest.raises(StartFailed) as caught:
        system.spawn(Named)
    assert isinstance(caught.value.cause, SystemStopped)


def test_shutdown_leaves_children_to_whoever_spawned_them(system: System) -> None:
    order: list[str] = []

    class Child(Actor):
        def on_stop(self, reason: Exit) -> None:
            order.append("child")

    class Parent(Actor):
        def on_start(self) -> None:
            self.child = self.ctx.system.spawn(Child)

        def on_stop(self, reason: Exit) -> None:
            order.append("parent begins")
            self.child.stop()
            self.ctx.system.join(self.child)
            order.append("parent ends")

    system.spawn(Parent)
    system.shutdown()
    assert order == ["parent begins", "child", "parent ends"]
