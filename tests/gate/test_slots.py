"""Slots and the waiting room without any I/O (W8, W15, G3, G6)."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from covend.gate.admission import DONE, HOLDING, WAITING, Desk, Stone, Ticket
from covend.protocol import CLASSES

SLA = {"reflex": 10.0, "ritual": 60.0, "ingest": 900.0, "swarm": 300.0}
SERVING = {"a": ("a",), "b": ("b",), "any": ("a", "b")}


class Request(Ticket):
    """A ticket that remembers how often it was granted."""

    def __init__(self, id: str, capability: str, klass: str = "reflex", arrived: float = 0.0):
        super().__init__(id, capability, klass, arrived)
        self.grants = 0

    def granted(self, stone: Stone) -> None:
        self.grants += 1


def desk(**open_slots: int) -> Desk:
    made = Desk(SLA, lambda: None, lambda ticket, waits: None)
    made.configure({"a": 4, "b": 4}, SERVING)
    made.admit(open_slots, 0, 0.0)
    return made


class Slots(RuleBasedStateMachine):
    """Any order of arrivals, last bytes, errors, disconnects, retries, admissions and pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.signals: set[str] = set()
        self.desk = Desk(SLA, lambda: None, self.signal)
        self.desk.configure({"a": 4, "b": 4}, SERVING)
        self.tickets: list[Request] = []
        self.now = 0.0
        self.epoch = 0
        self.closed_until: dict[str, int] = {}

    def signal(self, ticket: Ticket, waits: bool) -> None:
        assert (ticket.id in self.signals) != waits, "said once when it begins, once when it ends"
        (self.signals.add if waits else self.signals.discard)(ticket.id)

    def pick(self, index: int) -> Request | None:
        return self.tickets[index % len(self.tickets)] if self.tickets else None

    @rule(capability=st.sampled_from(sorted(SERVING)), klass=st.sampled_from(CLASSES))
    def arrive(self, capability: str, klass: str) -> None:
        self.now += 1
        ticket = Request(f"t{len(self.tickets)}", capability, klass, self.now)
        if self.desk.arrive(ticket, self.now, room=6):
            self.tickets.append(ticket)
        else:
            assert len(self.signals) >= 6

    @rule(index=st.integers(0, 50), again=st.booleans())
    def end(self, index: int, again: bool) -> None:
        """Last byte, error and disconnect are one event to the desk; the second changes nothing."""
        ticket = self.pick(index)
        if ticket is not None:
            first = ticket.state != DONE
            assert self.desk.leave(ticket, self.now) == first
            if again:
                assert not self.desk.leave(ticket, self.now)

    @rule(index=st.integers(0, 50))
    def retry(self, index: int) -> None:
        ticket = self.pick(index)
        if ticket is not None and ticket.state in (HOLDING, DONE):
            held = ticket.state == HOLDING
            assert self.desk.retry(ticket, self.now) == held

    @rule(open=st.dictionaries(st.sampled_from("ab"), st.integers(0, 6)))
    def admit(self, open: dict[str, int]) -> None:
        self.epoch += 1
        self.desk.admit(open, self.epoch, self.now)

    @rule(names=st.lists(st.sampled_from("ab")), overtakes=st.integers(0, 2))
    def pause(self, names: list[str], overtakes: int) -> None:
        last = self.epoch + overtakes
        self.desk.pause(names, last)
        self.closed_until |= dict.fromkeys(names, last)

    @rule(name=st.sampled_from("ab"), broken=st.booleans())
    def breaks(self, name: str, broken: bool) -> None:
        self.desk.stones[name].broken = broken
        self.desk.serve(self.desk.stones[name], self.now)

    @invariant()
    def a_slot_is_held_by_who_holds_it_and_nobody_else(self) -> None:
        """G6."""
        for name, stone in self.desk.stones.items():
            holders = [t for t in self.tickets if t.state == HOLDING and t.stone is stone]
            assert stone.used == len(holders) == sum(stone.count.values()), name
            assert stone.tokens == 0

    @invariant()
    def what_was_paused_is_opened_by_nothing_said_before(self) -> None:
        """W20: whatever overtook whatever on the way."""
        for name, last in self.closed_until.items():
            assert self.epoch > last or not self.desk.stones[name].open

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        """W8."""
        for ticket in self.tickets:
            if ticket.state == WAITING:
                for stone in self.desk.candidates[ticket.capability]:
                    free = stone.open and not stone.broken and stone.used < stone.slots
                    assert not free

    @invariant()
    def the_core_knows_exactly_who_waits(self) -> None:
        waiting = {t.id for t in self.tickets if t.state == WAITING}
        assert self.signals == waiting == set(self.desk.waiting)


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=150, stateful_step_count=40)


def test_a_titan_takes_one_request_at_a_time() -> None:
    """W8: the gate's share never exceeds what the soulstone has."""
    made = Desk(SLA, lambda: None, lambda ticket, waits: None)
    made.configure({"a": 1}, {"a": ("a",)})
    made.admit({"a": 9}, 1, 0.0)
    first, second = Request("1", "a"), Request("2", "a")
    made.arrive(first, 0.0, 10)
    made.arrive(second, 0.0, 10)
    assert (first.state, second.state) == (HOLDING, WAITING)
    made.leave(first, 1.0)
    assert second.state == HOLDING


def test_the_higher_class_goes_first_and_then_who_came_first() -> None:
    """W15."""
    made = desk(a=1)
    busy = Request("busy", "a")
    made.arrive(busy, 0.0, 10)
    late = [Request("s", "a", "swarm", 1), Request("r2", "any", "reflex", 3)]
    late.append(Request("r1", "a", "reflex", 2))
    for ticket in late:
        made.arrive(ticket, 4.0, 10)
    order: list[str] = []
    holder: Ticket = busy
    while made.waiting:
        made.leave(holder, 5.0)
        holder = next(t for t in late if t.state == HOLDING)
        order.append(holder.id)
    assert order == ["r1", "r2", "s"]


def test_an_overdue_class_waits_behind_four_of_a_higher_one_at_most() -> None:
    """W15."""
    made = desk(a=1)
    holder: Ticket = Request("busy", "a")
    made.arrive(holder, 0.0, 100)
    low = Request("low", "a", "ritual", 0.0)
    made.arrive(low, 0.0, 100)
    crowd = [Request(f"r{i}", "a", "reflex", 100.0 + i) for i in range(9)]
    for ticket in crowd:
        made.arrive(ticket, 110.0, 100)
    before = 0
    while low.state == WAITING:
        made.leave(holder, 120.0)
        holder = next(t for t in [low, *crowd] if t.state == HOLDING)
        before += holder is not low
    assert before == 4


def test_a_retried_request_has_its_old_place() -> None:
    """G4: the retry is behind nobody who came later."""
    made = desk(a=1)
    first, second = Request("1", "a", arrived=1), Request("2", "a", arrived=2)
    made.arrive(first, 1, 10)
    made.arrive(second, 2, 10)
    made.stones["a"].broken = True
    assert made.retry(first, 3)
    made.stones["a"].broken = False
    made.serve(made.stones["a"], 4)
    assert (first.state, first.grants, second.state) == (HOLDING, 2, WAITING)


def test_a_pause_that_overtakes_an_admission_stays_closed() -> None:
    """W20: control messages go ahead of older ones; an old admission opens nothing again."""
    for before in ({"a": 1}, {}):  # open or closed when it is paused: both must hold
        made = desk(**before)
        made.pause(["a"], 2)
        made.admit({"a": 1}, 1, 1.0)  # said before the pause, heard after it
        assert not made.stones["a"].open
        made.admit({}, 2, 2.0)
        made.admit({"a": 1}, 3, 3.0)
        assert made.stones["a"].open


def test_an_illegal_move_says_what_was_tried_in_which_state() -> None:
    ticket = Request("x", "a")
    ticket.move("end")
    with pytest.raises(RuntimeError, match="ticket x: grant while done"):
        ticket.move("grant")
