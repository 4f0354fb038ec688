"""The dispatcher on a simulated system: demand, admission, draining, refusing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.stage import Ear, StubWire, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.admission.dispatcher import Dispatcher
from covend.actors.messages import (
    BrokerStarted,
    CapabilitiesOpen,
    DemandChanged,
    DemandNow,
    DrainGates,
    GiveUpOn,
    SetOpen,
)
from covend.actors.swaps.modelling import model_of
from covend.actors.swaps.residency import Residency
from covend.protocol import (
    Admission,
    Announce,
    CoreHello,
    Drained,
    InUse,
    PauseAdmission,
    RefuseWaiting,
    SignalNote,
    SignalsChanged,
    UsageChanged,
)
from covend.runtime import SimSystem


class Stage:
    def __init__(self, system, gates=1, slots=2):
        self.system, self.wire = system, StubWire()
        system.attach(self.wire)
        self.arbiter, self.broker, self.coven = [], [], []
        for name in ("arbiter", "broker", "coven"):
            system.spawn(Ear, getattr(self, name), name=name)
        box = small_box(gates=gates, slots=slots)
        self.it = system.spawn(Dispatcher, Catalog(box), 7, name="dispatcher")
        system.run_until_idle()

    def tell(self, *messages):
        for message in messages:
            self.it.tell(message)
        self.system.advance(0.01)

    def announce(self, gate="gate-0", incarnation=1, signals=(), in_use=None, admission=0):
        self.tell(Announce(gate, incarnation, list(signals), in_use or {}, admission))

    def demand(self):
        return {note.id for note in self.it.ask(DemandNow(), timeout=1.0).added}

    def drain(self, epoch=1, stones=("a",)):
        self.tell(DrainGates(epoch, stones, 100.0, "coven@core"))

    def admission(self, gate="gate-0"):
        return self.wire.to(gate, Admission)[-1]


@pytest.fixture
def stage():
    with SimSystem(node="core") as system:
        yield Stage(system)


@pytest.fixture
def two():
    with SimSystem(node="core") as system:
        yield Stage(system, gates=2)


def note(name, capability="b", klass="reflex"):
    return SignalNote(name, capability, klass, 0.0)


def test_an_announcement_replaces_what_was_believed_of_its_gate(stage):
    """docs/architecture.md: the full state of a gate is the truth."""
    stage.announce(signals=[note("x"), note("y")])
    stage.announce(signals=[note("y"), note("z")])
    assert stage.demand() == {"y", "z"}


def test_the_demand_of_a_gate_that_ended_is_forgotten_and_its_drain_is_over(stage):
    """W20: its connections ended with its process."""
    stage.announce(signals=[note("x")], in_use={"a": InUse({"reflex": 1}, {}, 0.0)})
    stage.tell(SetOpen(frozenset({"a"}), {}))
    stage.drain()
    assert not heard(stage.coven, Drained)
    stage.wire.ends("gate-0")
    stage.system.advance(0.1)
    assert stage.demand() == set()
    assert [confirm.epoch for confirm in heard(stage.coven, Drained)] == [1]


def test_a_gate_that_is_only_silent_still_holds_its_streams(stage):
    """W20: silence is no proof that nothing is in flight."""
    stage.announce()
    stage.drain()
    stage.system.advance(60.0)
    assert not heard(stage.coven, Drained)
    stage.tell(Drained(1, "gate-0", 0, {}))
    assert len(heard(stage.coven, Drained)) == 1


def test_a_gate_that_has_not_announced_itself_yet_is_waited_for(stage):
    """W20: a new core does not know yet what the gates have in flight."""
    stage.drain()
    assert not heard(stage.coven, Drained)
    stage.announce()
    assert [order.epoch for order in stage.wire.to("gate-0", PauseAdmission)] == [1]
    stage.tell(Drained(1, "gate-0", 0, {}))
    assert len(heard(stage.coven, Drained)) == 1


def test_nothing_is_admitted_or_closed_before_the_arbiter_has_spoken(stage):
    """W8: the gates go on with what the core before this one allowed."""
    stage.announce(signals=[note("x")])
    assert stage.wire.to("gate-0", Admission) == []
    stage.tell(SetOpen(frozenset({"a"}), {"b": 3.0}))
    assert stage.admission().open == {"a": 2} and stage.admission().eta == {"b": 3.0}


def test_a_gate_is_paused_and_all_confirmations_make_one(two):
    """W20, S17."""
    two.announce("gate-0")
    two.announce("gate-1")
    two.tell(SetOpen(frozenset({"a", "ext"}), {}))
    two.drain(epoch=5)
    for gate in ("gate-0", "gate-1"):
        (order,) = two.wire.to(gate, PauseAdmission)
        assert order.soulstones == ["a"] and order.reply_to == "dispatcher@core"
        assert "a" not in two.admission(gate).open
    two.tell(Drained(5, "gate-0", 0, {}), Drained(4, "gate-1", 0, {}))
    assert not heard(two.coven, Drained)
    two.tell(Drained(5, "gate-1", 0, {}))
    assert [(c.epoch, c.node) for c in heard(two.coven, Drained)] == [(5, "gates")]


def test_an_opening_from_before_a_drain_is_not_handled_after_it(stage):
    """W20: both are on one lane, so neither overtakes the other."""
    stage.announce()
    stage.it.tell(SetOpen(frozenset({"a"}), {}))
    stage.it.tell(DrainGates(1, ("a",), 9.0, "coven@core"))
    stage.system.advance(0.1)
    assert "a" not in stage.admission().open


def test_a_dispatcher_that_is_started_again_is_heard_by_gates_that_know_the_last_one(stage):
    """W8: a gate drops an admission that is not newer than what it has."""
    stage.announce(admission=10**15)
    stage.tell(SetOpen(frozenset({"a"}), {}))
    assert stage.admission().epoch > 10**15
    (hello, *_) = stage.wire.to("gate-0", CoreHello)
    assert hello.incarnation > 7


def test_slots_a_gate_got_from_the_dispatcher_before_are_not_given_to_another(two):
    """W8: until it has passed what nobody here knows, it may use all of them."""
    two.announce("gate-0", admission=3)
    two.announce("gate-1")
    two.tell(SetOpen(frozenset({"a"}), {}))
    assert two.admission("gate-1").open == {"a": 0}
    two.tell(UsageChanged("gate-0", {}, [], two.admission("gate-0").epoch))
    assert two.admission("gate-1").open == {"a": 1}


def test_what_only_quarantined_covens_serve_is_refused_until_the_quarantine_ends(stage):
    """W24: refused with the reason; then its demand counts again."""
    stage.announce()
    stage.tell(GiveUpOn(("b",), "it does not start", 30.0))
    stage.tell(SignalsChanged("gate-0", [note("x")], []))
    refusals = stage.wire.to("gate-0", RefuseWaiting)
    assert len(refusals) == 2 and refusals[-1].reason == "it does not start"
    assert 29.0 < refusals[-1].retry_after <= 30.0
    stage.system.advance(31.0)
    stage.tell(SignalsChanged("gate-0", [note("y")], []))
    assert len(stage.wire.to("gate-0", RefuseWaiting)) == 2


def test_jobs_hear_what_is_open_and_what_a_reflex_waits_for(stage):
    """W14."""
    stage.announce()
    stage.tell(SetOpen(frozenset({"a"}), {}))
    stage.tell(SignalsChanged("gate-0", [note("x", "small")], []))
    news = heard(stage.broker, CapabilitiesOpen)[-1]
    assert news.open == {"a", "small"} and news.dominated == {"a", "small"}
    stage.drain()
    assert heard(stage.broker, CapabilitiesOpen)[-1].open == frozenset()


def test_the_whole_demand_overtakes_no_news_that_is_on_its_way(stage):
    """W9, W21: a signal that was gone when the whole was asked for does not come back."""
    stage.announce(signals=[note("x")])
    late = heard(stage.arbiter, DemandChanged)
    stage.tell(SignalsChanged("gate-0", [], ["x"]))
    residency = Residency(model_of(small_box()))
    residency.fold(stage.it.ask(DemandNow(), timeout=1.0))
    for news in late:
        residency.fold(news)
    assert not residency.waits_for("B")


events = st.lists(
    st.tuples(
        st.sampled_from(["take", "release", "want", "usage", "deliver", "restart"]),
        st.sampled_from(["gate-0", "gate-1"]),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(events=events)
def test_two_gates_never_fill_more_slots_than_there_are(events):
    """W8: whatever is on its way in either direction, and over restarts of the dispatcher."""
    with SimSystem(node="core") as system:
        stage = Stage(system, gates=2)
        used, slots = {"gate-0": 0, "gate-1": 0}, {"gate-0": 0, "gate-1": 0}
        seen, read, wanted = {"gate-0": 0, "gate-1": 0}, {"gate-0": 0, "gate-1": 0}, 0

        def in_use(gate):
            return {"a": InUse({"reflex": used[gate]}, {}, 0.0)}

        def begin():
            for gate in used:
                stage.announce(gate, in_use=in_use(gate), admission=seen[gate])
            stage.tell(SetOpen(frozenset({"a"}), {}))

        begin()
        for event, gate in events:
            match event:
                case "take" if used[gate] < slots[gate]:
                    used[gate] += 1
                case "release" if used[gate]:
                    used[gate] -= 1
                case "want":
                    wanted += 1
                    stage.tell(SignalsChanged(gate, [note(f"w{wanted}", "a")], []))
                case "usage":
                    stage.tell(UsageChanged(gate, in_use(gate), [], seen[gate]))
                case "deliver":
                    sent = stage.wire.to(gate, Admission)
                    if read[gate] < len(sent):
                        news = sent[read[gate]]
                        read[gate] += 1
                        if news.epoch > seen[gate]:
                            seen[gate], slots[gate] = news.epoch, news.open.get("a", 0)
                case "restart":
                    stage.it.stop()
                    system.join(stage.it)
                    box = small_box(gates=2)
                    stage.it = system.spawn(Dispatcher, Catalog(box), 7, name="dispatcher")
                    begin()
            assert sum(used.values()) <= 2


# ── a new broker ─────────────────────────────────────────────────────────────────────────────


def test_a_new_broker_hears_what_is_open_and_the_jobs_of_the_last_one_wait_no_more(stage):
    """S8: it knows nothing, and tells of its jobs anew; whoever waits at a gate still does."""
    stage.tell(SetOpen(frozenset({"a"}), {}))
    stage.announce(signals=[note("1", "b")])
    stage.tell(SignalsChanged("broker", [note("job:x", "a", "ritual")], []))
    assert stage.demand() == {"1", "job:x"}
    known = heard(stage.broker, CapabilitiesOpen)
    stage.tell(BrokerStarted())
    assert heard(stage.broker, CapabilitiesOpen) == [*known, known[-1]]
    assert known[-1].open == frozenset({"a", "small"})
    assert stage.demand() == {"1"}
    stage.tell(SignalsChanged("broker", [note("job:x", "a", "ritual")], []))
    assert stage.demand() == {"1", "job:x"}


def test_the_arbiter_hears_that_the_jobs_of_a_dead_broker_wait_no_more(stage):
    """W9: what it was told counts until it is taken back."""
    stage.announce()
    stage.tell(SignalsChanged("broker", [note("job:x", "b", "ritual")], []))
    stage.tell(BrokerStarted())
    assert heard(stage.arbiter, DemandChanged)[-1].removed == ("job:x",)
