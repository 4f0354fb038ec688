"""The small pure rules: order, interruption, watchdog, windows, learning, the book, the guard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.will.decision import Stay, Swap
from covend.will.demand import DemandBook
from covend.will.ingestion import Window, window_open
from covend.will.interrupt import Running, cheapest
from covend.will.learn import Learner, SwapLog
from covend.will.model import CLASSES, Coven, Device, Model, Role, Rules, Soulstone
from covend.will.order import Streak, next_class
from covend.will.residency import Ledger, Reading, compatible, evictions, overflow, plan
from covend.will.state import Memory, Occupant
from covend.will.strategies import Guarded
from covend.will.watchdog import Observations, judge

SLA = Rules().sla


def test_a_class_past_its_sla_waits_behind_four_higher_requests_at_most():
    """W15"""
    waiting = {"reflex": (99, 100.0), "ritual": (1, 0.0)}
    streak, order = Streak(), []
    for _ in range(6):
        klass = next_class(waiting, streak, 100.0, SLA)
        order.append(klass)
        streak = streak.served(klass, waiting)
    assert order == ["reflex"] * 4 + ["ritual", "reflex"]
    assert next_class(
        {"reflex": (9, 0.0), "ritual": (1, 99.0)}, Streak({"ritual": 9}), 100.0, SLA
    ) == ("reflex")
    assert next_class({}, Streak(), 0.0, SLA) is None


@pytest.mark.parametrize(("discipline", "inertia"), [("titan", 2), ("kinetic", 5), ("weaver", 15)])
def test_a_coven_is_left_as_reluctantly_as_its_most_reluctant_member(discipline, inertia):
    """W11: a prefix cache is costly to lose; a coven's own inertia goes before."""
    stones = [Soulstone("s", {"g": 1}, discipline=discipline), Soulstone("t", {"g": 1})]
    covens = [Coven("both", ("s", "t"), ("g",)), Coven("own", ("s",), ("g",), inertia=1.0)]
    facts = Model([Device("g", 100)], stones, covens).covens
    assert (facts["both"].inertia, facts["own"].inertia) == (inertia, 1.0)


def test_the_cheapest_lower_occupant_that_can_park_gives_way():
    """W14"""
    running = [
        Running("stream", "swarm", 0, parks=False),
        Running("dear", "ritual", 9000, parks=True),
        Running("cheap", "ritual", 100, parks=True),
        Running("equal", "reflex", 1, parks=True),
    ]
    assert cheapest(running, "reflex", 1000.0, Rules()).id == "cheap"
    assert cheapest(running, "swarm", 1000.0, Rules()) is None
    assert cheapest(running, "reflex", 1000.0, Rules(), swap_share=0.36) is None


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Observations().died("signal 9"), "death"),
        (Observations().checked(False).checked(False).checked(False, "500"), "health"),
        (Observations().checked(False).checked(False).checked(True).checked(False), None),
        (Observations().measured(11, 10, 94.9).measured(12, 10, 99.0), "quota"),
        (Observations().measured(11, 10, 90.0).measured(9, 10, 93.0).measured(11, 10, 96.0), None),
        (Observations().trafficked(2, 0.0, 39.0, 1), "stall"),
        (Observations().trafficked(1, 0.0, 39.0, 1).trafficked(1, 60.0, 60.0, 1), None),
        (Observations().trafficked(1, 0.0, 39.0), None),
        (Observations().trafficked(1, -499.0, -499.0), None),
        (Observations().trafficked(1, -501.0, -501.0), "stall"),
        (Observations().trafficked(1, 0.0, 39.0, 1).trafficked(1, 0.0, 50.0), None),
        (Observations().trafficked(1, 0.0, 1.0).trafficked(0, 2.0, 2.0), None),
    ],
)
def test_the_watchdog_resets_for_death_health_quota_and_stall_and_for_nothing_else(seen, kind):
    """W26"""
    verdict = judge(seen, 100.0)
    assert (verdict and verdict.kind) == kind


@pytest.mark.parametrize(
    ("window", "weekday", "minute", "backlog", "is_open"),
    [
        (Window("22:00", "06:00"), 0, 23 * 60, 0, True),
        (Window("22:00", "06:00"), 0, 5 * 60, 0, True),
        (Window("22:00", "06:00"), 0, 6 * 60, 0, False),
        (Window("22:00", "06:00", ("fri",)), 5, 60, 0, True),
        (Window("22:00", "06:00", ("fri",)), 4, 60, 0, False),
        (Window(backlog=10), 2, 0, 10, True),
        (Window(backlog=10), 2, 0, 9, False),
        (Window("01:00", "02:00", backlog=10), 2, 90, 9, False),
        (Window(), 0, 0, 99, False),
    ],
)
def test_ingestion_windows_open_by_clock_and_by_backlog(window, weekday, minute, backlog, is_open):
    """W16"""
    assert window_open([window], weekday, minute, backlog) is is_open


def test_loads_are_the_prior_until_measured_then_the_median_of_the_last_eight(desk):
    """W10"""
    assert desk.learner.estimates().load["a"] == 10.0
    for seconds in [100.0] * 8 + [3.0] * 5:
        desk.learner.loaded("a", seconds)
    assert desk.learner.estimates().load["a"] == 3.0
    again = Learner(desk.model)
    again.restore(desk.learner.samples())
    assert again.estimates() == desk.learner.estimates()


def test_the_thinking_gap_is_at_most_a_quarter_of_a_load(desk):
    """W12"""
    desk.learner.paused_to_think("a", 60.0)
    assert desk.learner.estimates().think["a"] == 2.5


def test_the_swap_share_forgets_what_left_the_window():
    """W12"""
    log = SwapLog(300.0)
    log.swapped(frozenset({"gpu"}), 0.0, 30.0)
    log.swapped(frozenset({"gpu"}), 290.0, 320.0)
    assert log.share(300.0)["gpu"] == pytest.approx(40 / 300)
    assert log.share(315.0)["gpu"] == pytest.approx((15 + 25) / 300)
    assert log.share(900.0)["gpu"] == 0


signals = st.tuples(
    st.integers(0, 30), st.sampled_from("ab"), st.sampled_from(CLASSES), st.floats(0, 1e6)
)


@given(st.lists(st.one_of(signals, st.integers(0, 30)), max_size=80))
def test_the_book_agrees_with_a_list_of_the_signals(steps):
    """W9"""
    model = Model(
        [Device("g", 9)],
        [Soulstone(n, {"g": 6}) for n in "ab"],
        [Coven(n, (n,), ("g",)) for n in "ab"],
    )
    book, known = DemandBook(model), {}
    estimates = Learner(model).estimates()
    for step in steps:
        if isinstance(step, int):
            assert book.remove(str(step)) == (known.pop(str(step), None) is not None)
        else:
            name, capability, klass, arrived = step
            book.add(str(name), capability, klass, arrived)
            known[str(name)] = (capability, klass, arrived)
        queues = book.queues(estimates)
        for coven in "ab":
            mine = [(k, at) for c, k, at in known.values() if c == coven]
            if not mine:
                assert coven not in queues
                continue
            weights = model.rules.weights
            queue = queues[coven]
            demand = sum(weights[k] * (2e6 - at) for k, at in mine)
            assert queue.demand(2e6) == pytest.approx(demand, abs=0.01)
            assert queue.oldest == pytest.approx(min(at for _, at in mine), abs=1e-5)
            assert queue.count == len(mine)
    assert len(book) == len(known)


def test_an_unknown_class_is_refused_by_name(desk):
    with pytest.raises(ValueError, match="no class 'urgent': it is one of reflex"):
        desk.book.add("x", "a", "urgent", 0.0)


def test_what_an_open_coven_serves_is_no_demand_for_another_unless_that_is_free_to_come():
    """W9, W13, docs/decisions/0002"""
    stones = [
        Soulstone(n, {d: 60}, serves=("chat",)) for n, d in (("a", "g0"), ("b", "g0"), ("c", "g1"))
    ]
    covens = [Coven(s.name, (s.name,), tuple(s.memory)) for s in stones]
    model = Model([Device("g0", 99), Device("g1", 99)], stones, covens)
    book, estimates = DemandBook(model), Learner(model).estimates()
    book.add("x", "chat", "reflex", 0.0)
    assert set(book.queues(estimates)) == {"a", "b", "c"}
    assert set(book.queues(estimates, ["a"])) == {"a"}
    assert set(book.queues(estimates, ["a"], ["a"])) == {"a", "c"}


def test_the_budget_leaves_out_the_reserve_strangers_and_shared_soulstones():
    """W1, W5"""
    stones = [
        Soulstone("mine", {"g": 10}),
        Soulstone("theirs", {"g": 20}, authority="shared"),
        Soulstone("words", {"g": 3}, lexicon=True),
    ]
    model = Model([Device("g", 100)], stones, [], rules=Rules(lexical_reserve=5))
    ledger = Ledger(model)
    ledger.observe(Reading("g", 100, {}, foreign=7))
    assert ledger.memory().budget["g"] == 100 - 5 - 7 - 20
    assert model.always == {"theirs", "words"}


def test_memory_is_taken_until_it_is_seen_free_and_peaks_are_kept():
    """W2"""
    model = Model([Device("g", 100)], [Soulstone(n, {"g": 50}) for n in "ab"], [])
    ledger = Ledger(model)
    ledger.hold(["a"])
    ledger.observe(Reading("g", 100, {"a": 70}))
    assert ledger.need("a") == {"g": 70}
    assert "50" not in (ledger.refusal(["a"]) or "") and ledger.refusal(["b"]) is not None
    assert not ledger.release("a") and ledger.refusal(["b"]) is not None
    ledger.observe(Reading("g", 100, {}))
    assert ledger.release("a") and ledger.refusal(["b"]) is None


def test_those_in_conflict_go_and_where_memory_is_short_the_fewest_others():
    """W1, W3"""
    stones = [Soulstone(n, {"g": s}) for n, s in (("a", 60), ("b", 30), ("c", 50))]
    friends = {"a": ("b",), "b": ("a", "c"), "c": ("a", "b")}
    covens = [Coven(s.name, (s.name,), ("g",), friends[s.name]) for s in stones]
    model = Model([Device("g", 100)], stones, covens)
    memory = Memory({"g": 100}, {s.name: s.memory for s in stones})
    assert evictions(model, memory, ["b"], "a") == ()
    assert evictions(model, memory, ["a", "b"], "c") == ("a",)
    assert "needs" in evictions(
        model, Memory({"g": 5 << 20}, {**memory.need, "a": {"g": 9 << 20}}), [], "a"
    )


@given(st.data())
def test_the_planner_finds_the_best_of_all_residency_sets(data):
    """W6: exact"""
    count = data.draw(st.integers(1, 7))
    names = [f"s{i}" for i in range(count)]
    stones = [Soulstone(n, {"g": data.draw(st.integers(10, 80))}) for n in names]
    covens = [Coven(n, (n,), ("g",), tuple(names)) for n in names]
    roles = [
        Role(f"r{i}", tuple(data.draw(st.permutations(names))[: data.draw(st.integers(1, count))]))
        for i in range(3)
    ]
    model = Model([Device("g", 100)], stones, covens, roles)
    memory = Memory({"g": 100}, {s.name: s.memory for s in stones})
    wanted = {role.name: 1.0 + i for i, role in enumerate(roles)}
    best = plan(model, memory, wanted)

    def value(chosen):
        tiers = {}
        for role in roles:
            ranks = [i for i, n in enumerate(role.tiers) if n in chosen]
            if ranks:
                tiers[role.name] = ranks[0]
        return -sum(wanted[r] for r in tiers), sum(tiers.values())

    every = ([n for i, n in enumerate(names) if mask >> i & 1] for mask in range(1 << count))
    fitting = [c for c in every if compatible(model, c) and overflow(model, memory, c) is None]
    assert value(best.covens) == min(value(c) for c in fitting)


class Broken:
    name = "broken"

    def __init__(self, answer):
        self.answer = answer

    def decide(self, state, now):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RuntimeError("boom"), "RuntimeError: boom"),
        ("swap!", "answered str"),
        (Swap("", "x", 1.0, target="nowhere"), "no coven 'nowhere'"),
        (Swap("", "x", 1.0, target="a"), "open already"),
        (Swap("", "x", 1.0, target="b"), "excludes a"),
        (Swap("", "x", 1.0, target="b", evict=("c", "a")), "not open: c"),
        (Swap("", "x", 1.0, target="c", evict=("a",)), "quarantined"),
        (Stay("", "x", 1.0, until=0.0), "past"),
    ],
)
def test_a_broken_strategy_is_refused_with_the_reason_and_the_whim_decides(desk, answer, reason):
    """W17"""
    desk.ask_for("b")
    guarded = Guarded(desk.model, Broken(answer))
    decision = guarded.decide(desk.state(Occupant("a", 0.0), quarantined={"c": 99.0}), 1.0)
    assert reason in guarded.refused and decision.strategy == "whim" and decision.target == "b"
