"""Actors that share a thread: handlers that stand still, turns, and the same life as others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from covend.runtime import (
    NORMAL,
    SHUTDOWN,
    ZOMBIE,
    Actor,
    ActorDead,
    ActorError,
    Down,
    Exit,
    MailboxFull,
    MailboxSpec,
    Promise,
    ReplyError,
    SimSystem,
    System,
    ThreadSystem,
)
from covend.testing import eventually

Until = Callable[[Callable[[], bool]], None]


class Keeper(Actor):
    """Holds every ask it gets until it is told to answer them."""

    def on_start(self) -> None:
        self.held: list[Promise] = []

    def on_receive(self, message: object) -> object:
        if message == "answer":
            for promise in self.held:
                promise.reply("kept")
            return None
        if message == "held":
            return len(self.held)
        if message == "refuse":
            raise ReplyError("no")
        promise = self.ctx.later()
        self.held.append(promise)
        return promise


@dataclass(frozen=True)
class Ask:
    target: str
    message: object = "hold"
    timeout: float = 30.0


class Sharer(Actor):
    """Asks whom it is told to and says what came of it; notes everything it does."""

    strand = "shared"

    def __init__(self) -> None:
        self.notes: list[object] = []
        self.let_go = False
        self.ended: Exit | None = None

    async def on_receive(self, message: object) -> object:
        self.notes.append(message)
        match message:
            case Ask(target=target, message=inner, timeout=timeout):
                try:
                    answer = await self.ctx.asked(target, inner, timeout)
                except (ActorError, ReplyError) as error:
                    answer = type(error).__name__
                finally:
                    self.let_go = True
                self.notes.append(answer)
                return answer
            case "notes":
                return list(self.notes)
            case "thread":
                return threading.get_ident()
            case "fail":
                raise ValueError("on purpose")
            case "leave":
                self.ctx.stop(NORMAL)
            case ("timer", seconds):
                self.ctx.timer("t", seconds, "rang")
            case ("watch", target):
                self.ctx.monitor(target)
            case _:
                pass
        return None

    def on_stop(self, reason: Exit) -> None:
        self.ended = reason


def held(keeper: Any) -> Callable[[], bool]:
    return lambda: keeper.ask("held", timeout=5) >= 1


def test_a_handler_that_stands_still_lets_those_on_its_strand_go_on(
    system: System, until: Until
) -> None:
    keeper = system.spawn(Keeper, name="keeper")
    one, other = (system.spawn(Sharer, name=name) for name in ("one", "other"))
    waiting = one.ask_later(Ask("keeper"), timeout=30)
    until(held(keeper))
    assert other.ask("notes", timeout=5) == ["notes"]
    assert not waiting.done
    keeper.tell("answer")
    assert waiting.get() == "kept"


def test_an_actor_handles_nothing_else_while_its_handler_stands_still(
    system: System, until: Until
) -> None:
    keeper = system.spawn(Keeper, name="keeper")
    one = system.spawn(Sharer, name="one")
    one.tell(Ask("keeper"))
    until(held(keeper))
    one.tell("later")
    notes = one.ask_later("notes", timeout=30)
    keeper.tell("answer")
    assert notes.get() == [Ask("keeper"), "kept", "later", "notes"]


def test_those_on_a_strand_have_one_thread_however_many_they_are() -> None:
    with ThreadSystem() as system:
        before = threading.active_count()
        sharers = [system.spawn(Sharer) for _ in range(200)]
        threads = {sharer.ask("thread", timeout=5) for sharer in sharers}
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        assert threading.active_count() <= before + 1


@pytest.mark.parametrize(
    ("ask", "came"),
    [
        (Ask("keeper", "refuse"), "ReplyError"),
        (Ask("nobody"), "ActorDead"),
        (Ask("keeper", timeout=0.05), "AskTimeout"),
        (Ask("one"), "AskToSelf"),
    ],
)
def test_what_an_ask_raises_is_raised_where_its_answer_is_awaited(
    system: System, ask: Ask, came: str
) -> None:
    """S12: a timeout for every ask, and never one to oneself."""
    system.spawn(Keeper, name="keeper")
    assert system.spawn(Sharer, name="one").ask(ask, timeout=10) == came


def test_who_dies_while_his_answer_is_awaited_breaks_it(system: System, until: Until) -> None:
    keeper = system.spawn(Keeper, name="keeper")
    waiting = system.spawn(Sharer).ask_later(Ask("keeper"), timeout=30)
    until(held(keeper))
    keeper.stop()
    assert waiting.get() == "ActorDead"


def test_a_failure_ends_its_own_actor_alone(system: System) -> None:
    one, other = system.spawn(Sharer), system.spawn(Sharer)
    with pytest.raises(ValueError, match="on purpose"):
        one.ask("fail", timeout=5)
    assert system.join(one)
    assert other.ask("notes", timeout=5) == ["notes"]


def test_timers_ring_on_a_strand_with_nothing_else_to_do(system: System, until: Until) -> None:
    """S14."""
    one = system.spawn(Sharer)
    one.tell(("timer", 0.02))
    until(lambda: "rang" in one.ask("notes", timeout=5))


def test_an_earlier_timer_is_not_kept_waiting_by_a_later_one(system: System, until: Until) -> None:
    """S14."""
    one, other = system.spawn(Sharer), system.spawn(Sharer)
    one.tell(("timer", 60.0))
    one.ask("notes", timeout=5)
    other.tell(("timer", 0.02))
    until(lambda: "rang" in other.ask("notes", timeout=5))
    assert "rang" not in one.ask("notes", timeout=5)


def test_a_shutdown_waits_for_the_handler_and_runs_on_stop(system: System, until: Until) -> None:
    keeper = system.spawn(Keeper, name="keeper")
    one = system.spawn(Sharer)
    waiting = one.ask_later(Ask("keeper"), timeout=30)
    until(held(keeper))
    one.stop(SHUTDOWN)
    assert not system.join(one, timeout=0.05)
    keeper.tell("answer")
    assert waiting.get() == "kept"
    assert system.join(one)
    assert one.cell.actor.ended is SHUTDOWN  # type: ignore[attr-defined]


def test_the_end_of_one_is_told_to_another_on_the_same_strand(system: System, until: Until) -> None:
    """S9."""
    one = system.spawn(Sharer, name="one")
    other = system.spawn(Sharer)
    other.ask(("watch", "one"), timeout=5)
    one.tell("leave")
    assert system.join(one)

    def downs() -> list[Down]:
        return [note for note in other.ask("notes", timeout=5) if isinstance(note, Down)]

    until(lambda: bool(downs()))
    assert [(down.name, down.reason) for down in downs()] == [("one", NORMAL)]


def test_a_fenced_actor_lets_go_of_what_it_awaits() -> None:
    """S15: it is dead at once; its handler is closed in its next turn, and says nothing more."""
    with ThreadSystem() as system:
        keeper = system.spawn(Keeper, name="keeper")
        one = system.spawn(Sharer, name="one")
        downs: list[Exit] = []
        system.watch("one", downs.append)
        waiting = one.ask_later(Ask("keeper"), timeout=30)
        eventually(held(keeper))
        assert system.fence(one)
        with pytest.raises(ActorDead):
            waiting.get()
        assert downs == [ZOMBIE]
        other = system.spawn(Sharer)
        other.ask("notes", timeout=5)
        other.ask("notes", timeout=5)
        assert one.cell.actor.let_go  # type: ignore[attr-defined]
        assert "one" not in system.zombies


class Blocker(Actor):
    """Does what nobody may do on a strand."""

    strand = "shared"

    def on_receive(self, message: object) -> object:
        match message:
            case "ask":
                return self.ctx.ask("keeper", "hold", timeout=5)
            case "spawn":
                return self.ctx.system.spawn(Keeper)
            case "wait":
                return self.ctx.ask_later("keeper", "hold", timeout=5).get()
            case "something else":
                return self.something_else()
            case _:
                return None

    async def something_else(self) -> None:
        await Other()


class Other:
    """Awaitable, but no answer."""

    def __await__(self) -> Any:
        yield "tea"


@pytest.mark.parametrize("way", ["ask", "wait", "spawn"])
def test_nobody_may_block_a_strand(way: str) -> None:
    """It would stand still for all; on a thread of one's own it is allowed."""
    with ThreadSystem() as system:
        system.spawn(Keeper, name="keeper")
        blocker = system.spawn(Blocker, name="blocker")
        with pytest.raises(ActorError, match=r"blocker shares a thread .* await ctx\.asked"):
            blocker.ask(way, timeout=5)


def test_a_handler_awaits_answers_alone(system: System) -> None:
    with pytest.raises(ActorError, match="nothing else, not 'tea'"):
        system.spawn(Blocker).ask("something else", timeout=5)


class Full(Actor):
    """Its mailbox holds one message, and it is busy with another."""

    strand = "shared"
    mailbox = MailboxSpec(bound=1, policy="block", block_seconds=60.0)

    def __init__(self, sent: list[object]) -> None:
        self.sent = sent

    async def on_receive(self, message: object) -> object:
        return await self.ctx.asked("keeper", "hold", timeout=30)


class Sender(Actor):
    strand = "shared"

    def on_receive(self, message: object) -> object:
        for _ in range(3):
            self.ctx.tell("full", "work")
        return None


def test_a_full_mailbox_refuses_at_once_who_may_not_wait() -> None:
    """S11: room on its own strand would be waited for in vain."""
    with ThreadSystem() as system:
        keeper = system.spawn(Keeper, name="keeper")
        system.spawn(Full, [], name="full")
        with pytest.raises(MailboxFull):
            system.spawn(Sender).ask("send", timeout=5)
        eventually(held(keeper))
        for _ in range(2):
            keeper.ask("answer", timeout=5)


class Echo(Actor):
    """On a thread of its own."""

    def on_receive(self, message: object) -> object:
        return message


class Adder(Actor):
    """Adds up what it is told, by way of others."""

    strand = "shared"

    def __init__(self) -> None:
        self.total = 0

    async def on_receive(self, message: object) -> object:
        if isinstance(message, int):
            self.total += await self.ctx.asked("echo", message, timeout=30)
            return None
        return self.total


def test_nothing_is_lost_between_many_senders_and_those_on_a_strand() -> None:
    each, senders = 300, 4
    with ThreadSystem() as system:
        system.spawn(Echo, name="echo")
        adders = [system.spawn(Adder) for _ in range(5)]

        def send() -> None:
            for number in range(each):
                adders[number % 5].tell(number)

        threads = [threading.Thread(target=send) for _ in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        totals = [adder.ask("total", timeout=30) for adder in adders]
    assert sum(totals) == senders * sum(range(each))


@pytest.mark.parametrize("seed", range(20))
def test_any_schedule_of_a_simulation_comes_to_the_same(seed: int) -> None:
    """S18: in a simulation each has its own thread, so more orders are tried than a strand has."""
    schedule = [(seed * 7919 + step * 104729) % 11 for step in range(300)]
    with SimSystem(schedule) as system:
        system.spawn(Echo, name="echo")
        adders = [system.spawn(Adder) for _ in range(3)]
        for number in range(30):
            adders[number % 3].tell(number)
        totals = [adder.ask("total", timeout=30) for adder in adders]
    assert sum(totals) == sum(range(30)), f"schedule {schedule}"
