"""What must hold of every history of arrivals, services and swaps (W1, W3, W12, W13, W17)."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tools.bench.clairvoyant import past_bound
from tools.bench.simulation import Box, Request, Trace, long_trace

from covend.will.decision import Decision, Swap
from covend.will.demand import DemandBook
from covend.will.eager import Eager
from covend.will.learn import Learner
from covend.will.model import CLASSES, NEVER, Coven, Device, Model, Soulstone
from covend.will.residency import Ledger, managed
from covend.will.state import Occupant, State
from covend.will.strategies import illegal
from covend.will.whim import Whim


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    models = draw(st.integers(2, 3))
    loads = {f"m{i}": draw(st.floats(1, 20)) for i in range(models)}
    clock, requests = 0.0, []
    for index in range(draw(st.integers(1, 40))):
        clock += draw(st.floats(0, 30))
        model = draw(st.sampled_from(sorted(loads)))
        klass = draw(st.sampled_from(CLASSES))
        service = draw(st.floats(0.1, 10))
        requests.append(Request(f"r{index}", clock, model, klass, service))
    return Trace(loads, tuple(requests))


class Recorder(Whim):
    """The whim, with every question and answer kept."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.kept: list[tuple[bytes, float, Decision]] = []

    def decide(self, state: State, now: float) -> Decision:
        decision = super().decide(state, now)
        self.kept.append((msgspec.json.encode(state), now, decision))
        return decision


@settings(max_examples=60, deadline=None)
@given(traces())
def test_every_request_is_served_and_no_cold_signal_waits_past_its_bound(trace):
    """W13: per coven ahead one term, one drain and one load"""
    outcome = Box(trace, Whim).run()
    assert set(outcome.waits) == {r.id for r in trace.requests}
    assert past_bound(trace, outcome) == 0


@settings(max_examples=25, deadline=None)
@given(traces())
def test_recorded_inputs_give_the_same_decisions_again(trace):
    """W17: a strategy is a pure object"""
    box = Box(trace, Recorder)
    box.run()
    again = Whim(box.model)
    for recorded, now, decision in box.strategy.kept:
        assert again.decide(msgspec.json.decode(recorded, type=State), now) == decision


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("klass", CLASSES)
def test_equal_classes_never_thrash(seed, klass):
    """W13: equal classes never spend more than 1/(1+κ) of the time swapping"""
    rng = random.Random(seed)
    trace = long_trace(rng, 2 + seed % 2, 400, 3.0, 0.0)
    trace = Trace(trace.loads, tuple(of_class(r, klass) for r in trace.requests))
    outcome = Box(trace, Whim).run()
    backlog = [s for s in outcome.swaps if s[1] < 0.6 * outcome.ended]
    spent = sum(end - begin for begin, end in backlog[1:])
    assert spent <= backlog[-1][1] / 9 + max(trace.loads.values())
    eager = Box(trace, Eager).run()
    assert len(eager.swaps) > 3 * len(outcome.swaps)


def of_class(request: Request, klass: str) -> Request:
    return Request(request.id, request.arrival, request.model, klass, request.service)


class Residency(RuleBasedStateMachine):
    """Two devices, covens that span, share and coexist; swaps happen as the whim decides them."""

    @initialize()
    def build(self) -> None:
        stones = [
            Soulstone("s0", {"g0": 60}, load_seconds=5),
            Soulstone("s1", {"g0": 50}, load_seconds=3),
            Soulstone("s2", {"g1": 70}, load_seconds=8),
            Soulstone("s3", {"g0": 40, "g1": 40}, load_seconds=10),
            Soulstone("s4", {"g0": 30}, load_seconds=2),
            Soulstone("s5", {"g1": 20}, load_seconds=2),
        ]
        covens = [
            Coven("c0", ("s0",), ("g0",), coexists=("c4",)),
            Coven("c1", ("s1",), ("g0",), coexists=("c4",)),
            Coven("c2", ("s2",), ("g1",), coexists=("c5",)),
            Coven("c3", ("s3",), ("g0", "g1")),
            Coven("c4", ("s4",), ("g0",)),
            Coven("c5", ("s5", "s4"), ("g0", "g1"), coexists=("c0", "c1", "c4")),
        ]
        self.model = Model([Device("g0", 100), Device("g1", 100)], stones, covens)
        self.book, self.learner = DemandBook(self.model), Learner(self.model)
        self.memory = Ledger(self.model).memory()
        self.whim = Whim(self.model)
        self.open: dict[str, float] = {}
        self.busy: dict[str, int] = {}
        self.ended: dict[str, float] = {}
        self.held: dict[str, float] = {}
        self.closed: dict[str, float] = {}
        self.now = 0.0
        self.count = 0
        self.ids: list[str] = []

    @rule(stone=st.integers(0, 5), klass=st.sampled_from(CLASSES))
    def arrive(self, stone: int, klass: str) -> None:
        self.count += 1
        self.ids.append(f"x{self.count}")
        self.book.add(self.ids[-1], f"s{stone}", klass, self.now)

    @rule(which=st.integers(0, 1000))
    def leave(self, which: int) -> None:
        if self.ids:
            assert self.book.remove(self.ids.pop(which % len(self.ids)))

    @rule(coven=st.integers(0, 5), count=st.integers(0, 2))
    def work(self, coven: int, count: int) -> None:
        self.busy[f"c{coven}"] = count

    @rule(coven=st.integers(0, 5))
    def end(self, coven: int) -> None:
        self.ended[f"c{coven}"] = self.now

    @rule(coven=st.integers(0, 5), seconds=st.floats(1, 300))
    def quarantine(self, coven: int, seconds: float) -> None:
        self.held = {f"c{coven}": self.now + seconds}

    @rule(seconds=st.floats(0, 1) | st.floats(0, 200))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def decide(self) -> None:
        occupants = tuple(
            Occupant(
                name,
                at,
                (0, self.busy.get(name, 0), 0, 0),
                (self.ended.get(name, NEVER), NEVER, NEVER, NEVER),
            )
            for name, at in self.open.items()
        )
        estimates = self.learner.estimates()
        queues = self.book.queues(estimates, self.open)
        state = State(
            occupants, queues, self.memory, estimates, quarantined=self.held, closed=self.closed
        )
        decision = self.whim.decide(state, self.now)
        assert decision == Whim(self.model).decide(state, self.now)  # whatever it remembers
        assert illegal(self.model, decision, state, self.now) is None
        if isinstance(decision, Swap):
            for name in decision.evict:
                del self.open[name]
                self.closed = {**self.closed, name: self.now}
            self.now += self.model.covens[decision.target].load_prior
            self.open[decision.target] = self.now

    @invariant()
    def memory_is_never_over_committed(self) -> None:
        """W1"""
        stones = frozenset().union(*(managed(self.model, name) for name in self.open))
        for device, budget in self.memory.budget.items():
            assert sum(self.memory.need[s].get(device, 0) for s in stones) <= budget

    @invariant()
    def no_two_covens_that_exclude_each_other_are_open(self) -> None:
        """W3"""
        for name in self.open:
            assert not self.model.covens[name].conflicts & self.open.keys()


TestResidency = Residency.TestCase
TestResidency.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
