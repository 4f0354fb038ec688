"""One transition on its way, against a world made of sets (W19–W24)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covend.actors.messages import DemandChanged
from covend.actors.swaps.passage import Passage, World
from covend.actors.swaps.residency import Residency
from covend.protocol import SignalNote
from covend.will import transition as table
from covend.will.model import Coven, Device, Model, Soulstone
from covend.will.transition import Limits, Transition

LEXICON = frozenset({"lex"})


def model():
    return Model(
        [Device("d", 100)],
        [
            Soulstone("a", memory={"d": 60}),
            Soulstone("b1", memory={"d": 30}),
            Soulstone("b2", memory={"d": 30}),
            Soulstone("lex", memory={"d": 5}, lexicon=True),
        ],
        [Coven("A", ("a",), ("d",)), Coven("B", ("b1", "b2"), ("d",))],
    )


class Recorded:
    """Hands that write down what they were told, and a world that the test changes."""

    def __init__(self):
        self.log = []
        self.alive = {"lex": 1}
        self.short = None
        self.idle = True
        self.pids = itertools.count(100)

    def observe(self):
        return World(dict(self.alive))

    def write_intent(self, target, reset):
        self.log.append(("intent", target, reset))
        return f"i-{len(self.log)}"

    def withdraw(self):
        self.log.append(("withdraw",))
        return self.idle

    def soft_stop(self, coven, epoch, stones, deadline):
        self.log.append(("soft_stop", coven, stones))

    def stop_stone(self, name):
        self.log.append(("stop stone", name))

    def reopen_coven(self, coven, epoch):
        self.log.append(("reopen", coven))

    def push_admission(self):
        self.log.append(("push",))

    def start_tree(self, coven):
        self.log.append(("start", coven))

    def stop_tree(self, coven):
        self.log.append(("stop", coven))

    def alert(self, text, data):
        self.log.append(("alert", text))

    def refusal(self, stones, gone):
        return self.short

    def carry_out(self, target):
        """What the reactor would do."""
        self.alive = {n: p for n, p in self.alive.items() if n in target}
        for name in sorted(target - self.alive.keys()):
            self.alive[name] = next(self.pids)

    def intents(self):
        return [entry[1] for entry in self.log if entry[0] == "intent"]


class Stage:
    def __init__(self, resident="A", target="B", **options):
        self.hands = Recorded()
        self.residency = Residency(model())
        self.now = 0.0
        for stone in self.residency.managed(resident):
            self.hands.alive[stone] = next(self.hands.pids)
            self.residency.ready.add(stone)
        self.residency.ready.add("lex")
        self.residency.open[resident] = 0.0
        evict = () if target == resident else (resident,)
        self.passage = Passage(
            Transition("t", target, evict, "test", 0.0),
            Limits(),
            7,
            self.residency,
            self.hands,
            LEXICON,
            lambda: self.now,
            **options,
        )

    @property
    def phase(self):
        return self.passage.move.phase

    def drain(self):
        self.passage.feed("begin")
        for coven in sorted(self.passage.draining):
            self.passage.drained(coven, 7, {})
        self.passage.feed("confirmed")

    def host_acts(self):
        self.hands.carry_out(self.hands.intents()[-1])
        self.look()

    def look(self):
        self.residency.ready &= self.hands.alive.keys()
        self.passage.look(self.hands.observe(), frozenset(self.residency.ready))

    def ready(self):
        self.residency.ready |= self.hands.alive.keys()


def test_admission_is_closed_before_anything_is_drained():
    """W20."""
    stage = Stage()
    stage.passage.feed("begin")
    kinds = [entry[0] for entry in stage.hands.log]
    assert kinds == ["push", "soft_stop"]
    assert "a" not in stage.residency.routable() and "lex" in stage.residency.routable()


def test_a_swap_goes_through_its_phases_and_opens_the_target():
    """W19, W23, W5: the lexicon is in every target world."""
    stage = Stage()
    stage.drain()
    assert stage.phase == table.SIGNALLED
    assert stage.hands.intents() == [frozenset({"b1", "b2", "lex"})]
    stage.host_acts()
    assert stage.phase == table.AWAKENING
    stage.ready()
    stage.passage.feed("awake")
    assert stage.phase == table.OPEN
    assert set(stage.residency.open) == {"B"}
    assert stage.residency.routable() == {"b1", "b2", "lex"}


def test_a_stale_drain_confirm_is_ignored():
    """S17."""
    stage = Stage()
    stage.passage.feed("begin")
    assert not stage.passage.drained("A", 6, {})
    assert stage.passage.drained("A", 7, {"job": 3})
    assert stage.passage.boundaries == {"job": 3}


def test_a_vanished_demand_reopens_and_writes_no_intent():
    """W21."""
    stage = Stage()
    stage.passage.feed("begin")
    stage.passage.feed("vanished")
    assert stage.phase == table.CANCELLED
    assert stage.hands.intents() == [] and "a" in stage.residency.routable()


def test_a_late_drain_reopens_and_cuts_nothing():
    """W19; docs/decisions/0001."""
    stage = Stage()
    stage.passage.feed("begin")
    stage.passage.feed("late")
    assert stage.phase == table.FAILED and stage.passage.outcome == "late drain"
    assert stage.hands.intents() == [] and "a" in stage.residency.routable()


def test_what_does_not_fit_by_measurement_is_not_started():
    """W1: checked before every start; the evicted coven was not touched and serves on."""
    stage = Stage()
    stage.hands.short = "device d: 60 asked, 10 free"
    stage.drain()
    assert stage.phase == table.FAILED and stage.hands.intents() == []
    assert "a" in stage.residency.routable()
    assert any("60 asked" in entry[1] for entry in stage.hands.log if entry[0] == "alert")


def test_a_target_that_dies_while_loading_brings_the_previous_coven_back():
    """W24."""
    stage = Stage()
    stage.drain()
    stage.host_acts()
    del stage.hands.alive["b2"]
    stage.look()
    assert stage.phase == table.RESTORING and stage.passage.outcome == "failed"
    assert stage.hands.intents()[-1] == {"a", "lex"}
    stage.host_acts()
    stage.ready()
    stage.look()
    assert stage.phase == table.FAILED
    assert set(stage.residency.open) == {"A"} and "a" in stage.residency.routable()


def test_nothing_is_reopened_while_the_reactor_has_the_intent_in_hand():
    """W24: the previous coven looks untouched, and is about to be stopped."""
    stage = Stage()
    stage.drain()
    stage.hands.idle = False
    stage.passage.feed("late")
    stage.ready()
    stage.look()
    assert stage.phase == table.COMPENSATING and "a" not in stage.residency.routable()
    stage.hands.idle = True
    stage.look()
    assert stage.phase == table.FAILED and "a" in stage.residency.routable()


def test_a_refused_intent_changes_nothing():
    """W22, W24."""
    stage = Stage()
    stage.drain()
    stage.passage.feed("refused", "expired")
    assert stage.phase == table.FAILED and ("start", "A") in stage.hands.log
    stage.ready()
    assert set(stage.residency.open) == {"A"} and stage.residency.routable() >= {"a"}


def test_a_dead_member_is_started_again_and_the_other_serves_on():
    """W26: only the dead one is closed meanwhile."""
    stage = Stage(resident="B", target="B", revival=frozenset({"b1"}))
    old = stage.hands.alive.pop("b1")
    stage.residency.ready.discard("b1")
    stage.residency.closed.add("b1")
    stage.drain()
    assert "b2" in stage.residency.routable()
    stage.host_acts()
    assert stage.phase == table.AWAKENING and stage.hands.alive["b1"] != old
    stage.ready()
    stage.passage.feed("awake")
    assert stage.phase == table.OPEN and stage.residency.routable() >= {"b1", "b2"}


def test_a_hard_reset_kills_the_living_process_and_waits_for_another():
    """W26: the same process seen again is not the new one."""
    stage = Stage(resident="A", target="A", revival=frozenset({"a"}), reset=frozenset({"a"}))
    stage.drain()
    assert stage.hands.log[-1] == ("intent", frozenset({"a", "lex"}), frozenset({"a"}))
    stage.look()
    assert stage.phase == table.SIGNALLED
    stage.hands.alive["a"] = 999
    stage.look()
    assert stage.phase == table.AWAKENING


EVENTS = sorted(table.EVENTS)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), events=st.lists(st.sampled_from(["look", "act", "die", "ready", *EVENTS])))
def test_whatever_happens_never_both_are_open_and_never_both_are_wanted(data, events):
    """W3: in no order of events, deaths and observations do two exclusive covens coexist."""
    stage = Stage()
    for event in events:
        match event:
            case "act" if stage.hands.intents():
                stage.hands.carry_out(stage.hands.intents()[-1])
            case "die" if stage.hands.alive:
                name = data.draw(st.sampled_from(sorted(stage.hands.alive)))
                stage.hands.alive.pop(name)
            case "ready":
                stage.ready()
            case "look" | "act" | "die":
                pass
            case _:
                stage.passage.feed(event)
        if stage.hands.alive:
            stage.look()
        assert not {"A", "B"} <= stage.residency.open.keys()
        for target in stage.hands.intents():
            assert not ("a" in target and {"b1", "b2"} & target)
            assert target >= LEXICON


def test_signals_are_folded_into_demand_and_out_again():
    """W9, W21."""
    residency = Residency(model())
    note = SignalNote("s", "b1", "reflex", 1.0)
    residency.fold(DemandChanged(1.0, (note,), (), {}, {}, {}, {}, 1))
    assert residency.waits_for("B") and not residency.waits_for("A")
    residency.fold(DemandChanged(2.0, (), ("s",), {}, {}, {}, {}, 2))
    assert not residency.waits_for("B")


@pytest.mark.parametrize(("full", "capabilities"), [(False, {"a"}), (True, {"a"})])
def test_the_plan_names_a_time_for_every_cold_capability(full, capabilities):
    """G3: Retry-After comes from the plan."""
    residency = Residency(model())
    residency.open["B"] = 0.0
    eta = residency.eta({"A": 5.0 if full else 0.0}, 0.0)
    assert set(eta) == capabilities
    assert eta["a"] == 10.0 + (5.0 if full else 0.0)
