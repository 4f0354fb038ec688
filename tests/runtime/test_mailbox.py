"""Lanes, bounds and the close that loses nothing (S11)."""

from __future__ import annotations

import threading
import time

import pytest

from covend.runtime import (
    CONTROL,
    Actor,
    ActorDead,
    MailboxFull,
    MailboxSpec,
    Message,
    SimSystem,
    System,
    ThreadSystem,
)


class Urgent(Message, frozen=True):
    """On the control lane by its class."""

    number: int


Urgent.lane = CONTROL


class Gatekeeper(Actor):
    """Holds its thread at the first message until let go, then records."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    def on_receive(self, message: object) -> object:
        match message:
            case "hold", inside, go:
                inside.set()
                go.wait(10)
            case "hear", other:
                self.ctx.ask(other, "x", 5.0)
            case _:
                self.seen.append(message)
        return None


def held(system: ThreadSystem, spec: MailboxSpec) -> tuple[object, list[object], threading.Event]:
    """Spawn an actor that is inside a handler until the event is set."""
    seen: list[object] = []
    kind = type("Held", (Gatekeeper,), {"mailbox": spec})
    ref = system.spawn(kind, seen)
    inside, go = threading.Event(), threading.Event()
    ref.tell(("hold", inside, go))
    assert inside.wait(5)
    return ref, seen, go


def test_control_is_handled_before_work(system: System) -> None:
    seen: list[object] = []

    class Busy(Actor):
        def on_receive(self, message: object) -> object:
            if message == "begin":
                for number in range(3):
                    self.ctx.tell(self.ctx.me, number)
                    self.ctx.tell(self.ctx.me, Urgent(number))
            elif message == "end":
                return seen
            else:
                seen.append(message)
            return None

    ref = system.spawn(Busy)
    ref.ask("begin", 1.0)
    assert ref.ask("end", 1.0) == [Urgent(0), Urgent(1), Urgent(2), 0, 1, 2]


def test_an_actor_sees_how_many_wait_behind_the_message_it_handles() -> None:
    """S11: both lanes are counted."""

    class Queue(Actor):
        def on_receive(self, message: object) -> int:
            return self.ctx.waiting()

    with SimSystem() as system:
        ref = system.spawn(Queue)
        answers = [ref.ask_later(n, 5.0) for n in range(4)]
        assert [answer.get() for answer in answers] == [3, 2, 1, 0]


def test_reject_is_visible_to_the_sender() -> None:
    with ThreadSystem() as system:
        ref, seen, go = held(system, MailboxSpec(bound=2, policy="reject"))
        ref.tell(1)
        ref.tell(2)
        with pytest.raises(MailboxFull, match="2 messages"):
            ref.tell(3)
        ref.tell(Urgent(4))  # the control lane has no bound
        go.set()
        deadline = time.monotonic() + 5
        while len(seen) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert seen == [Urgent(4), 1, 2]


def test_drop_oldest_keeps_the_newest_and_counts_the_dropped() -> None:
    with ThreadSystem() as system:
        ref, seen, go = held(system, MailboxSpec(bound=2, policy="drop_oldest"))
        first = ref.ask_later("asked", 5.0)
        for number in range(1, 4):
            ref.tell(number)
        with pytest.raises(MailboxFull):
            first.get()
        go.set()
        system.join(ref, 0.01)
        ref.stop()
        assert system.join(ref)
        assert system.dead_letters.count >= 1
        assert set(seen) <= {2, 3}


def test_block_holds_the_sender_until_there_is_room() -> None:
    with ThreadSystem() as system:
        ref, seen, go = held(system, MailboxSpec(bound=1, policy="block", block_seconds=10))
        ref.tell(0)
        done = threading.Event()

        def send() -> None:
            for number in range(1, 20):
                ref.tell(number)
            done.set()

        sender = threading.Thread(target=send)
        sender.start()
        assert not done.is_set()
        go.set()
        assert done.wait(10)
        sender.join()
        ref.ask("end", 5.0)
        assert seen == [*range(20), "end"]


def test_block_gives_up_at_its_limit_on_both_systems() -> None:
    with ThreadSystem() as system:
        ref, _, go = held(system, MailboxSpec(bound=1, policy="block", block_seconds=0.02))
        ref.tell(0)
        with pytest.raises(MailboxFull, match="nothing is taken"):
            ref.tell(1)
        go.set()

    class Deaf(Actor):
        mailbox = MailboxSpec(bound=1, policy="block", block_seconds=2)

        def on_receive(self, message: object) -> object:
            return self.ctx.system.answer("nobody", 100).wait(100)

    with SimSystem() as sim:
        ref = sim.spawn(Deaf)
        ref.tell(0)
        sim.run_until_idle()
        ref.tell(1)
        before = sim.now()
        with pytest.raises(MailboxFull):
            ref.tell(2)
        assert sim.now() == before + 2


def test_a_sender_blocked_in_a_simulation_lets_the_others_run() -> None:
    class Narrow(Actor):
        mailbox = MailboxSpec(bound=1, policy="block")

        def __init__(self) -> None:
            self.seen: list[object] = []

        def on_receive(self, message: object) -> object:
            self.seen.append(message)
            return list(self.seen)

    class Flood(Actor):
        def on_receive(self, message: object) -> object:
            for number in range(10):
                self.ctx.tell("narrow", number)
            return None

    with SimSystem([3, 1, 4, 1, 5, 9, 2, 6]) as sim:
        narrow = sim.spawn(Narrow, name="narrow")
        sim.spawn(Flood).ask("go", 1.0)
        assert narrow.ask("end", 1.0) == [*range(10), "end"]


def test_an_actor_with_a_full_mailbox_is_not_blocked_by_itself(system: System) -> None:
    class Selfish(Actor):
        mailbox = MailboxSpec(bound=1, policy="block", block_seconds=60)

        def on_receive(self, message: object) -> object:
            if message != "go":
                return None
            self.ctx.tell(self.ctx.me, 1)
            try:
                self.ctx.tell(self.ctx.me, 2)
            except MailboxFull as error:
                return str(error)
            return "no error"

    assert "takes no more" in system.spawn(Selfish).ask("go", 1.0)


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"bound": 0}, "bound"), ({"policy": "wait"}, "policy"), ({"block_seconds": 0}, "block")],
)
def test_a_senseless_mailbox_is_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        MailboxSpec(**fields)  # type: ignore[arg-type]


def test_a_late_tell_is_a_dead_letter_and_a_late_ask_is_told(system: System) -> None:
    ref = system.spawn(Gatekeeper, [])
    ref.stop()
    assert system.join(ref)
    ref.tell("late")
    with pytest.raises(ActorDead):
        ref.ask("late", 1.0)
    assert system.dead_letters.count == 1
    assert system.dead_letters.recent[0].target == ref.name


@pytest.mark.parametrize("policy", ["block", "reject"])
def test_no_ask_and_no_tell_is_lost_when_actors_stop_under_load(policy: str) -> None:
    """S11: stock pykka loses replies here; ours ends every ask and counts every tell."""
    handled = [0]
    lock = threading.Lock()

    class Short(Actor):
        mailbox = MailboxSpec(bound=50, policy=policy)  # type: ignore[arg-type]

        def on_receive(self, message: object) -> object:
            if message == "tell":
                with lock:
                    handled[0] += 1
            return "yes"

    told, lost, wrong = [0], [0], []
    with ThreadSystem() as system:
        current = [system.spawn(Short)]
        stop = threading.Event()

        def load() -> None:
            mine = 0
            while not stop.is_set():
                ref = current[0]
                answers = [ref.ask_later("ask", 20.0) for _ in range(3)]
                try:
                    ref.tell("tell")
                    mine += 1
                except MailboxFull:
                    pass  # refused to the sender's face: neither handled nor lost
                for answer in answers:
                    try:
                        answer.get()
                    except ActorDead:
                        pass  # what a late ask is promised
                    except MailboxFull:
                        pass
                    except Exception as error:
                        lost[0] += 1
                        wrong.append(repr(error))
            with lock:
                told[0] += mine

        def guarded() -> None:
            try:
                load()
            except MailboxFull:
                pass
            except Exception as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=guarded) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(250):
            fresh = system.spawn(Short)
            old, current[0] = current[0], fresh
            old.stop()
            assert system.join(old, 10)
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        current[0].ask("ask", 5.0)
        assert not wrong
        assert lost[0] == 0
        dead = system.dead_letters.count
    assert handled[0] + dead == told[0]
