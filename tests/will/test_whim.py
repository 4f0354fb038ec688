"""The default strategy, rule by rule. Loads are 10 s and inertia 2 s: one term is 82 s."""

from __future__ import annotations

import msgspec
import pytest

from covend.will.decision import Stay, Swap
from covend.will.model import Coven, Device, Model, Role, Rules, Soulstone
from covend.will.state import Estimates, Memory, Occupant, State, Streak
from covend.will.whim import Whim

TERM = 8 * 10 + 2
BUSY = (1, 0, 0, 0)
RITUAL = (0, 1, 0, 0)


def test_an_idle_coven_is_left_at_once(desk):
    """W13a"""
    desk.ask_for("b", at=50)
    decision = desk.decide(50, Occupant("a", 49.0))
    assert isinstance(decision, Swap) and (decision.target, decision.evict) == ("b", ("a",))


def test_among_equals_work_in_flight_is_left_only_after_the_term(desk):
    """W12: κ = 8"""
    desk.ask_for("b", at=1)
    stay = desk.decide(TERM - 0.1, Occupant("a", 0.0, BUSY))
    assert isinstance(stay, Stay) and stay.until == pytest.approx(TERM)
    assert isinstance(desk.decide(TERM + 0.1, Occupant("a", 0.0, BUSY)), Swap)


def test_the_gap_between_a_clients_requests_counts_as_work(desk):
    """W12: think"""
    desk.ask_for("b", at=10)
    ended = (10.0, -1e18, -1e18, -1e18)
    stay = desk.decide(10.4, Occupant("a", 0.0, ended=ended))
    assert isinstance(stay, Stay) and stay.until == pytest.approx(10.5)
    assert isinstance(desk.decide(10.6, Occupant("a", 0.0, ended=ended)), Swap)


def test_a_dominating_class_waits_half_a_load_while_swaps_cost_little(desk):
    """W12: κ = ½"""
    desk.ask_for("b", "reflex")
    assert isinstance(desk.decide(6.9, Occupant("a", 0.0, RITUAL)), Stay)
    assert isinstance(desk.decide(7.1, Occupant("a", 0.0, RITUAL)), Swap)


@pytest.mark.parametrize(("share", "kappa"), [(0.0, 0.5), (0.2, 0.5), (0.275, 2.25), (0.5, 4.0)])
def test_the_swap_budget_raises_what_a_dominating_class_must_wait(desk, share, kappa):
    """W12: the swap budget"""
    assert desk.whim.kappa_dominant(share) == pytest.approx(kappa)
    desk.ask_for("b", "reflex")
    term = kappa * 10 + 2
    late, early = term + 0.1, term - 0.1
    spent = {"gpu": share}
    assert isinstance(desk.decide(early, Occupant("a", 0.0, RITUAL), swap_share=spent), Stay)
    assert isinstance(desk.decide(late, Occupant("a", 0.0, RITUAL), swap_share=spent), Swap)


def test_a_lower_class_waits_four_terms(desk):
    """W13: a lower class takes A from a higher one only after four times the term"""
    desk.ask_for("b", "ritual")
    assert isinstance(desk.decide(4 * TERM - 1, Occupant("a", 0.0, BUSY)), Stay)
    assert isinstance(desk.decide(4 * TERM + 1, Occupant("a", 0.0, BUSY)), Swap)


def test_a_lower_class_waits_while_a_higher_one_lingers(desk):
    """W13a: linger is 30 s or one load time, the lesser"""
    desk.ask_for("b", "ritual", at=100)
    used = (100.0, -1e18, -1e18, -1e18)
    stay = desk.decide(109, Occupant("a", 90.0, ended=used))
    assert isinstance(stay, Stay) and stay.until == pytest.approx(110)
    assert {v.code for v in stay.verdicts} == {"linger"}
    assert isinstance(desk.decide(110.1, Occupant("a", 90.0, ended=used)), Swap)


def test_after_the_term_a_lesser_yield_waits_until_its_oldest_is_as_old_as_the_term(desk):
    """W13b"""
    desk.ask_for("a", at=90, times=50)
    desk.ask_for("b", at=90)
    stay = desk.decide(100, Occupant("a", 0.0, BUSY))
    assert isinstance(stay, Stay) and stay.until == pytest.approx(90 + TERM)
    assert stay.verdicts[0].code == "yield"
    assert isinstance(desk.decide(90 + TERM + 0.1, Occupant("a", 0.0, BUSY)), Swap)


def test_of_those_that_may_go_the_greatest_yield_goes(desk):
    """W13a, W9"""
    desk.ask_for("b", at=0, times=3)
    desk.ask_for("c", at=0, times=9)
    assert desk.decide(1, Occupant("a", 0.0)).target == "c"


def test_one_that_has_waited_a_whole_term_goes_before_a_greater_yield(desk):
    """W13, docs/decisions/0002"""
    desk.ask_for("b", at=0)
    desk.ask_for("c", at=50, times=9)
    assert desk.decide(TERM - 1, Occupant("a", 0.0)).target == "c"
    assert desk.decide(TERM + 1, Occupant("a", 0.0)).target == "b"


def test_old_ingestion_takes_the_next_swap(desk):
    """W16: served within the next swap once older than 15 min"""
    patient = type(desk)(rules=Rules(ingest_max_wait=5000.0, kappa=1000.0))
    for box in (desk, patient):
        box.ask_for("b", "ingest", at=0)
        box.ask_for("c", "reflex", at=895, times=9)
    assert desk.decide(899, Occupant("a", 890.0)).target == "b"
    assert patient.decide(899, Occupant("a", 890.0)).target == "c"


def test_ingestion_in_its_window_counts_double_but_never_before_a_waiting_reflex(desk):
    """W16"""
    desk.ask_for("b", "ingest", at=0, times=500)
    desk.ask_for("c", "reflex", at=0)
    outside = desk.state(Occupant("a", 0.0)).queues["b"].weight
    inside = desk.state(Occupant("a", 0.0), ingest_window=True)
    assert inside.queues["b"].weight == 2 * outside
    assert desk.whim.decide(inside, 1.0).target == "c"


def test_a_quarantined_coven_is_passed_over_until_its_time(desk):
    """W24"""
    desk.ask_for("b")
    stay = desk.decide(1, Occupant("a", 0.0), quarantined={"b": 40.0})
    assert isinstance(stay, Stay) and stay.until == 40.0
    assert isinstance(desk.decide(41, Occupant("a", 0.0), quarantined={"b": 40.0}), Swap)


def test_what_does_not_fit_is_never_chosen(desk):
    """W1"""
    desk.ask_for("b")
    desk.memory = Memory({"gpu": 50}, desk.memory.need)
    stay = desk.decide(1000, Occupant("a", 0.0))
    assert isinstance(stay, Stay) and stay.verdicts[0].code == "misfit"


def test_a_transition_under_way_is_never_overtaken(desk):
    """W19: one at a time"""
    desk.ask_for("b")
    assert isinstance(desk.decide(1000, Occupant("a", 0.0), transition="t1"), Stay)


def test_every_decision_says_why_each_alternative_lost(desk):
    """W18"""
    desk.ask_for("b", at=0, times=2)
    desk.ask_for("c", "ritual", at=0)
    record = desk.decide(10, Occupant("a", 0.0, BUSY)).explain()
    lost = {a["coven"]: a for a in record["alternatives"]}
    assert record["decision"] == "stay" and set(lost) == {"b", "c"}
    assert lost["b"]["D"] == pytest.approx(80) and lost["b"]["M"] == 10 and lost["b"]["I"] == 2
    assert lost["b"]["kappa"] == 8 and lost["b"]["term"] == TERM
    assert lost["b"]["term_left"] == pytest.approx(TERM - 10)
    assert lost["b"]["R"] == pytest.approx(8 / 22) and "repaid" in lost["b"]["reason"]
    assert {"b", "c"} == {s["coven"] for s in record["signals"]} and record["swap_share"] == 0
    msgspec.json.encode(record)


def tiered() -> tuple[Whim, Memory, Estimates]:
    stones = [
        Soulstone("big", {"gpu": 90}),
        Soulstone("small", {"gpu": 40}),
        Soulstone("eyes", {"gpu": 40}, serves=("vision",)),
    ]
    covens = [Coven("solo", ("big",), ("gpu",)), Coven("pair", ("small", "eyes"), ("gpu",))]
    model = Model([Device("gpu", 100)], stones, covens, [Role("reason", ("big", "small"))])
    memory = Memory({"gpu": 100}, {s.name: s.memory for s in stones})
    both = {"solo": 10.0, "pair": 10.0}
    return Whim(model), memory, Estimates(both, {s.name: 1.0 for s in stones}, both)


def test_down_a_tier_at_once_up_only_after_a_minute_of_demand():
    """W6"""
    whim, memory, estimates = tiered()
    reason, vision = Streak(0.0, 100.0), Streak(100.0, 100.0)
    open = (Occupant("pair", 0.0, BUSY),)
    alone = State(open, {}, memory, estimates, streaks={"reason": reason})
    up = whim.decide(alone, 100.0)
    assert isinstance(up, Swap) and up.target == "solo"
    early = msgspec.structs.replace(alone, streaks={"reason": Streak(50.0, 100.0)})
    assert isinstance(whim.decide(early, 100.0), Stay)
    seen = msgspec.structs.replace(alone, streaks={"reason": reason, "vision": vision})
    assert isinstance(whim.decide(seen, 100.0), Stay)
