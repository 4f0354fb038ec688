"""The life of a transition: its table, its deadlines, and that every failure has an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.will import quarantine
from covend.will import transition as t

LIMITS = t.Limits()


def begun() -> t.Transition:
    return t.Transition("t1", "b", ("a",), "demand", 0.0)


def walk(*events: str, at: float = 0.0) -> tuple[t.Transition, tuple[str, ...]]:
    here, effects = begun(), ()
    for event in events:
        here, effects = t.move(here, event, at, LIMITS)
    return here, effects


def test_the_straight_way_goes_through_every_phase_in_order():
    """W19"""
    here, effects = walk("begin", "paused", "confirmed", "taken", "started", "awake")
    phases = [move.phase for move in here.history]
    assert phases == [t.PAUSING, t.DRAINING, t.SIGNALLED, t.TRANSMUTING, t.AWAKENING, t.OPEN]
    assert effects == ("open_target",) and here.over and here.deadline is None


def test_deadlines_are_absolute_and_pausing_counts_as_draining():
    """W19: drain 120 s, host action 120 s, awakening 180 s"""
    here, _ = t.move(begun(), "begin", 10.0, LIMITS)
    here, _ = t.move(here, "paused", 50.0, LIMITS)
    assert here.deadline == 130 and not here.expired(129.9) and here.expired(130.0)
    here, _ = t.move(here, "confirmed", 100.0, LIMITS)
    assert here.deadline == 220
    here, _ = t.move(here, "started", 150.0, LIMITS)
    assert here.deadline == 330


def test_a_late_drain_reopens_and_blames_nobody():
    """W20, W24, docs/decisions/0001"""
    here, effects = walk("begin", "paused", "late")
    assert here.phase == t.FAILED and effects == ("reopen", "defer")


def test_a_demand_that_vanished_cancels_and_reopens():
    """W21"""
    here, effects = walk("begin", "paused", "vanished")
    assert here.phase == t.CANCELLED and effects == ("reopen",)


@pytest.mark.parametrize("event", ["late", "died", "refused"])
def test_an_uncertain_outcome_keeps_admission_closed_until_the_world_is_seen(event):
    """W24"""
    here, effects = walk("begin", "paused", "confirmed", "taken", event)
    assert here.phase == t.COMPENSATING and effects == ("observe",)
    here, effects = t.move(here, "late", 999.0, LIMITS)
    assert here.phase == t.COMPENSATING and "reopen" not in effects and "alert" in effects


def test_every_event_that_is_not_in_the_table_is_refused_by_name():
    for phase in t.PHASES:
        here = t.Transition("t1", "b", (), "", 0.0, phase)
        for event in set(t.EVENTS) - {e for p, e in t.TABLE if p == phase}:
            assert not here.knows(event)
            with pytest.raises(t.IllegalMove, match=f"'{event}' in phase {phase}"):
                t.move(here, event, 0.0, LIMITS)


def test_the_table_uses_only_declared_words_and_all_of_them():
    phases = {p for p, _ in t.TABLE} | {p for p, _ in t.TABLE.values()}
    effects = {e for _, row in t.TABLE.values() for e in row}
    assert phases == set(t.PHASES) and {e for _, e in t.TABLE} == set(t.EVENTS)
    assert effects == set(t.EFFECTS)


def test_every_phase_that_waits_has_a_deadline_and_a_way_out_when_it_passes():
    for phase in set(t.PHASES) - t.TERMINAL - {t.PLANNED}:
        assert LIMITS.of(phase) is not None and (phase, "late") in t.TABLE


@given(st.lists(st.sampled_from(sorted(t.EVENTS)), max_size=40))
def test_the_host_is_touched_only_after_the_drain_and_every_end_decides_admission(events):
    """W20, W24: DrainConfirm before every intent; nothing ends with admission undecided"""
    here, done = begun(), []
    for event in events:
        if here.knows(event):
            here, effects = t.move(here, event, 0.0, LIMITS)
            done += effects
    touched = "write_intent" in done
    assert not touched or "soft_stop" in done[: done.index("write_intent")]
    if here.over and "close_admission" in done:
        assert done.count("reopen") + done.count("open_target") + done.count("settle") == 1


@pytest.mark.parametrize(
    ("running", "ready", "seen"),
    [
        ("b", "b", "saw_target"),
        ("b", "", "saw_loading"),
        ("a", "a", "saw_previous"),
        ("ab", "ab", "saw_neither"),
        ("", "", "saw_neither"),
    ],
)
def test_the_world_is_named_by_what_runs_and_what_is_ready(running, ready, seen):
    """W24, W25"""
    assert t.observe({"b"}, {"a"}, set(running), set(ready)) == seen


def test_the_third_failure_resets_and_quarantines_ever_longer():
    """W24"""
    record = quarantine.Record()
    for quarantine_seconds in (30, 60, 120, 240, 480, 600, 600):
        for _ in range(2):
            verdict = quarantine.failed(record, 1000.0)
            assert not verdict.hard_reset
            record = verdict.record
        verdict = quarantine.failed(record, 1000.0)
        record = verdict.record
        assert verdict.hard_reset and record.until == 1000 + quarantine_seconds
    assert quarantine.succeeded() == quarantine.Record()


def test_late_drains_put_off_without_counting_as_failures():
    """docs/decisions/0001"""
    record = quarantine.drained_late(quarantine.drained_late(quarantine.Record(), 0.0), 100.0)
    assert record.until == 160 and record.failures == 0
