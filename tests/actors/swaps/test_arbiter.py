"""The arbiter on a simulated system, between stub neighbours and a world the test changes."""

from types import SimpleNamespace
from typing import ClassVar

import msgspec
import pytest
from tests.actors.stage import MIB, Ear, Store, StubWire, heard, small_box

from covend.actors.messages import (
    Alert,
    ConfigInForce,
    CovenDrained,
    DemandChanged,
    DemandNow,
    GiveUpOn,
    HardReset,
    MemoryReading,
    NewConfig,
    ReadNow,
    Reopen,
    SetOpen,
    Snapshot,
    SoulstoneDown,
    SoulstoneHealth,
    SoulstoneReady,
)
from covend.actors.swaps import hands
from covend.actors.swaps.arbiter import SETTLE_SECONDS, Arbiter
from covend.actors.swaps.configuring import RETRY_SECONDS
from covend.actors.swaps.coven import SoftStopCoven
from covend.actors.swaps.passage import MAX_REPLANS
from covend.actors.swaps.refit import REFIT
from covend.config import TransitionLimits
from covend.host.folders import Folders
from covend.host.units import spec_hash
from covend.protocol import IntentRefused, SignalNote, SwapRequest, WorldChanged
from covend.runtime import ReplyError, SimSystem
from covend.will.whim import Whim


class Stage:
    """``alive`` is the world; ``act`` does what the reactor would do with the last intent."""

    older: ClassVar = {}  # hashes of specifications that are no more

    def __init__(self, system, patch, tmp_path, alive=(), records=(), **options):
        self.system, self.wire = system, StubWire()
        system.attach(self.wire)
        self.alive = {name: pid for pid, name in enumerate(alive, 100)}
        self.intents, self.waiting, self.number = [], {}, 0
        self.hashes = {stone.name: spec_hash(stone) for stone in small_box().soulstone}
        self.hashes |= self.older
        self.dispatcher, self.console, self.coven = [], [], []
        self.records = list(records)
        patch.setattr(hands, "observe", lambda units: self.units())
        patch.setattr(hands, "present", lambda units: dict(self.alive))
        patch.setattr(
            hands, "write_intent", lambda folder, intent, key: self.intents.append(intent)
        )
        system.spawn(Store, self.records, name="phylactery")
        self.read = lambda _: MemoryReading(0.0, {"d": 100 * MIB}, {}, {}, {})
        system.spawn(Ear, [], {ReadNow: self.measure}, name="oculus")
        folders = Folders.open(tmp_path / "run", tmp_path / "state")
        self.box = small_box(**options)
        self.it = system.spawn(Arbiter, self.box, folders, Whim, name="arbiter")
        system.spawn(Ear, [], name="covens")
        answers = {DemandNow: lambda _: self.demand(whole=True)}
        self.hears = system.spawn(Ear, self.dispatcher, answers, name="dispatcher")
        system.spawn(Ear, self.console, name="console")
        for coven in ("A", "B", REFIT):
            system.spawn(Ear, self.coven, name=f"coven/{coven}")
        for name in alive:
            system.advance(0.05)
            self.ready(name)
        system.advance(SETTLE_SECONDS + 0.1)

    def measure(self, order):
        return self.read(order)

    def units(self):
        return {
            name: SimpleNamespace(pid=pid, alive=True, spec_hash=self.hashes.get(name, ""))
            for name, pid in self.alive.items()
        }

    def tell(self, message, seconds=0.05):
        self.it.tell(message)
        self.system.advance(seconds)

    def ready(self, name):
        self.tell(SoulstoneReady(name, self.alive[name], 1.0))

    def demand(self, whole=False):
        self.number += 1
        notes = tuple(self.waiting.values())
        return DemandChanged(self.system.now(), notes, (), {}, {}, {}, {}, self.number, whole)

    def wants(self, capability, name="s"):
        self.waiting[name] = SignalNote(name, capability, "reflex", self.system.now())
        self.tell(self.demand())

    def state(self):
        return self.it.ask(Snapshot(), timeout=5.0)

    def phase(self):
        move = self.state()["transition"]
        return move["phase"] if move else None

    def confirm(self, coven="A"):
        order = heard(self.coven, SoftStopCoven)[-1]
        self.tell(CovenDrained(coven, order.epoch, {"j": 1}))

    def act(self):
        intent = self.intents[-1]
        keep = set(intent.target) - set(intent.kill)
        self.alive = {n: p for n, p in self.alive.items() if n in keep}
        for name in set(intent.target) - self.alive.keys():
            self.alive[name] = 1000 + len(self.intents)
        self.tell(WorldChanged("test"))

    def open(self):
        return heard(self.dispatcher, SetOpen)[-1].soulstones

    def swap_to_b(self):
        self.wants("b")
        self.confirm()
        self.act()


@pytest.fixture
def stage(monkeypatch, tmp_path):
    with SimSystem(node="core", start=1000.0) as system:
        yield Stage(system, monkeypatch, tmp_path, alive=("a",))


def test_a_new_arbiter_adopts_what_lives_and_says_so_only_when_it_answers(stage):
    """W25."""
    assert stage.open() == {"a"} and stage.intents == []


def test_damaged_times_of_loading_are_learned_anew(monkeypatch, tmp_path):
    """W25, D2: nobody is kept from starting by them."""
    damaged = {"kind": "learned", "thread": "learned", "seq": 1, "damaged": "not what was stored"}
    with SimSystem(node="core", start=1000.0) as system:
        stage = Stage(system, monkeypatch, tmp_path, alive=("a",), records=[damaged])
        assert stage.open() == {"a"}
        assert [one.data for one in heard(stage.console, Alert)][:1] == [{"seq": 1}]


def test_a_signal_for_a_cold_coven_goes_through_every_phase_until_it_is_open(stage):
    """W19: closed, drained, rechecked, signalled, loaded, opened; each told and recorded."""
    stage.wants("b")
    assert stage.phase() == "draining" and "a" not in stage.open()
    (order,) = heard(stage.coven, SoftStopCoven)
    assert order.soulstones == ("a",) and stage.intents == []
    stage.confirm()
    assert stage.phase() == "signalled" and stage.intents[-1].target == ("b",)
    stage.act()
    assert stage.phase() == "awakening" and stage.open() == set()
    stage.ready("b")
    assert stage.phase() is None and stage.open() == {"b"}
    acts = [(entry["kind"], entry["act"]) for entry in stage.records]
    assert acts[:2] == [("decision", "INTEND"), ("transition", "INTEND")]
    assert ("transition", "KNOW") in acts and ("learned", "LEARN") in acts
    assert stage.records[-1]["body"]["boundaries"] == {"j": 1}


def test_a_demand_that_vanished_while_draining_reopens_and_touches_nothing(stage):
    """W21."""
    stage.wants("b")
    stage.waiting.clear()
    stage.confirm()
    assert stage.phase() is None and stage.open() == {"a"} and stage.intents == []
    assert len(heard(stage.coven, Reopen)) == 1


def test_a_confirmation_of_another_epoch_moves_nothing(stage):
    """S17."""
    stage.wants("b")
    stage.tell(CovenDrained("A", 1, {}))
    assert stage.phase() == "draining"


def test_a_late_drain_reopens_and_cuts_nothing(stage):
    """W19; docs/decisions/0001."""
    stage.wants("b")
    stage.system.advance(121.0)
    assert stage.open() == {"a"} and stage.intents == []


def test_a_start_that_cannot_be_measured_is_not_made(stage):
    """W1: checked against a reading, not only the ledger."""

    def broken(_):
        raise ReplyError("device d cannot be read")

    stage.read = broken
    stage.wants("b")
    stage.confirm()
    assert stage.intents == [] and Reopen in map(type, stage.coven)
    assert any("cannot be read" in alert.text for alert in heard(stage.console, Alert))


def test_an_operators_swap_is_answered_when_it_is_open_or_with_why_not(stage):
    """X6."""
    assert stage.it.ask(SwapRequest("A"), timeout=1.0)["phase"] == "open"
    with pytest.raises(ReplyError, match="there are A, B"):
        stage.it.ask(SwapRequest("C"), timeout=1.0)
    answer = stage.it.ask_later(SwapRequest("B"), timeout=60.0)
    back = stage.it.ask_later(SwapRequest("A"), timeout=60.0)
    stage.system.advance(0.05)
    stage.confirm()  # nobody waits for it: an order needs no demand
    stage.act()
    assert not answer.done
    stage.ready("b")
    assert answer.get()["phase"] == "open" and not back.done
    order = heard(stage.coven, SoftStopCoven)[-1]
    stage.tell(CovenDrained("B", order.epoch, {}))
    stage.act()
    stage.ready("a")
    assert back.get()["coven"] == "A" and stage.open() == {"a"}


def test_an_order_whose_transition_fails_is_told_so(stage):
    """W24."""
    answer = stage.it.ask_later(SwapRequest("B"), timeout=60.0)
    stage.system.advance(0.05)
    stage.confirm()
    stage.tell(IntentRefused(stage.intents[-1].id, "expired"))
    with pytest.raises(ReplyError, match="ended failed"):
        answer.get()


def test_a_dead_member_is_started_again_and_a_hard_reset_kills_first(stage):
    """W26."""
    old = stage.alive.pop("a")
    stage.tell(SoulstoneDown("a", old, {"status": 9}))
    assert stage.intents[-1].target == ("a",) and stage.intents[-1].kill == ()
    assert "a" not in stage.open()
    stage.act()
    stage.ready("a")
    assert stage.open() == {"a"}
    stage.tell(HardReset("a", "stall", {}))
    assert stage.intents[-1].kill == ("a",)
    stage.tell(WorldChanged("not yet"))
    assert stage.phase() == "signalled"
    stage.act()
    stage.ready("a")
    assert stage.open() == {"a"} and stage.phase() is None


def test_a_process_that_took_the_place_of_the_condemned_one_is_left_alone(stage):
    """W26: the verdict came while a transition was under way that replaced it anyway."""
    a = msgspec.structs.replace(stage.box.soulstone[0], command=("other",))
    stage.tell(
        NewConfig(msgspec.structs.replace(stage.box, soulstone=(a, *stage.box.soulstone[1:])))
    )
    stage.tell(HardReset("a", "stall", {}))
    stage.confirm(REFIT)
    stage.act()
    stage.hashes["a"] = spec_hash(a)
    stage.act()
    stage.ready("a")
    stage.system.advance(10.0)
    assert stage.open() == {"a"} and all(intent.kill == () for intent in stage.intents)


def test_a_member_that_died_while_it_drained_is_started_again_after_the_reopening(stage):
    """W26, W21: nobody is left open and dead."""
    stage.wants("b")
    old = stage.alive.pop("a")
    stage.tell(SoulstoneDown("a", old, {}))
    stage.waiting.clear()
    stage.confirm()
    assert stage.intents[-1].target == ("a",)
    stage.act()
    stage.ready("a")
    assert stage.open() == {"a"}


def test_the_third_failure_quarantines_refuses_and_tells_the_operator(stage):
    """W24."""
    stage.wants("b")
    for _ in range(3):
        stage.confirm()
        stage.tell(IntentRefused(stage.intents[-1].id, "no"))
        stage.ready("a")
    (order,) = heard(stage.dispatcher, GiveUpOn)
    assert order.capabilities == ("b",) and "quarantined for 30 s" in order.reason
    assert any("quarantined" in alert.text for alert in heard(stage.console, Alert))
    states = {coven["name"]: coven["state"] for coven in stage.state()["covens"]}
    assert states == {"A": "open", "B": "quarantined", "always": "open"}
    assert stage.phase() is None


def test_a_new_core_opens_nothing_before_a_dead_one_s_intent_is_done(monkeypatch, tmp_path):
    """W25: its soulstone lives, and the reactor, slow or stopped, is about to end it."""
    intents = Folders.open(tmp_path / "run", tmp_path / "state").intents
    (intents / "i-1.claimed").touch()
    (intents / "i-2.intent").touch()
    with SimSystem(node="core", start=1000.0) as system:
        stage = Stage(system, monkeypatch, tmp_path, alive=("a",))
        assert list(intents.iterdir()) == [intents / "i-1.claimed"], "what was not begun is taken"
        assert heard(stage.dispatcher, SetOpen) == []
        del stage.alive["a"]
        (intents / "i-1.claimed").unlink()
        system.advance(SETTLE_SECONDS + 0.2)
        assert stage.open() == set()


def test_a_target_that_dies_while_it_loads_brings_the_previous_coven_back(stage):
    """W24: compensated."""
    stage.swap_to_b()
    del stage.alive["b"]
    stage.waiting.clear()
    stage.tell(stage.demand(whole=True))
    stage.tell(SoulstoneDown("b", 1, {}))
    assert stage.phase() == "restoring" and stage.intents[-1].target == ("a",)
    stage.act()
    stage.ready("a")
    assert stage.open() == {"a"} and stage.phase() is None


def test_an_arbiter_ends_when_one_it_trusts_ends_abnormally(stage):
    """S6: it begins again from the world."""
    stage.system.fence(stage.hears)
    stage.system.advance(0.1)
    assert not stage.it.alive


def test_a_shared_soulstone_is_open_while_it_answers(stage):
    """W4."""
    stage.tell(SoulstoneHealth("ext", True, "200"))
    assert "ext" in stage.open()
    stage.tell(SoulstoneHealth("ext", False, "refused"))
    assert "ext" not in stage.open() and stage.intents == []


def test_a_new_configuration_waits_for_the_transition_under_way(stage):
    """G10."""
    stage.wants("b")
    stage.it.tell(NewConfig(small_box(transition=TransitionLimits(attempts=1))))
    stage.confirm()
    assert stage.phase() == "signalled"
    stage.act()
    stage.ready("b")
    stage.system.advance(1.0)
    assert stage.open() == {"b"} and stage.intents[-1].target == ("b",)


def test_an_intent_that_found_another_world_is_asked_again_and_costs_no_attempt(stage):
    """W22, W24: a lexicon that dies as a transition writes its intent blames nobody."""
    stage.wants("b")
    stage.confirm()
    first = stage.intents[-1]
    stage.alive["a"] = 7
    stage.tell(IntentRefused(first.id, "the world is not as expected", stale=True))
    assert stage.intents[-1].id != first.id and stage.intents[-1].expected == {"a": 7}
    assert stage.phase() == "signalled" and heard(stage.console, Alert) == []
    stage.act()
    stage.ready("b")
    assert stage.open() == {"b"}
    assert stage.state()["covens"][1]["state"] == "open"


def test_a_world_that_never_holds_still_is_a_failure_in_the_end(stage):
    """W24: nothing is asked for ever."""
    stage.wants("b")
    stage.confirm()
    stage.waiting.clear()
    for _ in range(MAX_REPLANS + 1):
        assert stage.phase() == "signalled"
        stage.tell(IntentRefused(stage.intents[-1].id, "moved on", stale=True))
    assert any("moved on" in alert.text for alert in heard(stage.console, Alert))


def test_another_command_is_taken_up_when_its_soulstone_has_drained(stage):
    """G10: closed, drained, ended in order, started anew, open; the configuration in between."""
    a = msgspec.structs.replace(stage.box.soulstone[0], command=("other",))
    stage.tell(
        NewConfig(msgspec.structs.replace(stage.box, soulstone=(a, *stage.box.soulstone[1:])))
    )
    assert stage.phase() == "draining" and stage.open() == frozenset()
    assert not heard(stage.console, ConfigInForce) and stage.intents == []
    stage.confirm(REFIT)
    assert stage.intents[-1].target == () and stage.intents[-1].kill == ()
    assert heard(stage.console, ConfigInForce)[-1].box.soulstone[0] == a
    stage.act()
    stage.hashes["a"] = spec_hash(a)
    assert stage.intents[-1].target == ("a",)
    stage.act()
    stage.ready("a")
    assert stage.open() == {"a"} and stage.phase() is None
    stage.system.advance(60.0)
    assert len(stage.intents) == 2


def test_a_coven_that_is_gone_from_the_file_drains_before_it_goes(stage):
    """G10."""
    box = msgspec.structs.replace(
        stage.box, soulstone=stage.box.soulstone[1:], coven=stage.box.coven[1:]
    )
    stage.tell(NewConfig(box))
    assert heard(stage.coven, SoftStopCoven)[-1].soulstones == ("a",) and stage.intents == []
    stage.confirm(REFIT)
    assert stage.intents[-1].target == ()
    stage.act()
    assert stage.phase() is None and stage.alive == {}
    stage.wants("b")
    assert stage.intents[-1].target == ("b",)


def test_a_drain_that_is_late_for_a_new_configuration_cuts_nothing_and_is_tried_again(stage):
    """G10, W24: what streams goes on; the old configuration stays in force until then."""
    box = msgspec.structs.replace(
        stage.box, soulstone=stage.box.soulstone[1:], coven=stage.box.coven[1:]
    )
    stage.tell(NewConfig(box), stage.box.transition.drain + 1.0)
    assert stage.phase() is None and stage.open() == {"a"} and stage.intents == []
    stage.system.advance(RETRY_SECONDS)
    assert stage.phase() == "draining"
    stage.confirm(REFIT)
    assert stage.intents[-1].target == ()


def test_what_changed_while_there_was_no_core_is_found_by_the_next(monkeypatch, tmp_path):
    """G10, W25: a soulstone that still runs by an older file is replaced as well."""
    monkeypatch.setattr(Stage, "older", {"a": "older"})
    with SimSystem(node="core", start=1000.0) as system:
        stage = Stage(system, monkeypatch, tmp_path, alive=("a",))
        assert stage.phase() == "draining"
        stage.confirm(REFIT)
        assert stage.intents[-1].target == ()


def test_what_is_of_no_coven_is_reaped_and_a_left_transition_is_closed(monkeypatch, tmp_path):
    """W25, W3."""
    left = {"kind": "transition", "thread": "t-1", "act": "INTEND", "body": {"target": "B"}}
    with SimSystem(node="core", start=1000.0) as system:
        stage = Stage(system, monkeypatch, tmp_path, alive=("a", "b"), records=[left])
        assert stage.intents[0].target == ("b",) and stage.intents[0].kill == ("a",)
        assert stage.records[-1]["act"] == "KNOW"
