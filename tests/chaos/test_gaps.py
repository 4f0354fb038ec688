"""A run killed between any two of its I/O calls pays and answers as if nothing had been (P4)."""

import pytest
from tools.bench.gaps import disturbed, ended_at, undisturbed

from covend.testing.crash import Fault, traceable

pytestmark = pytest.mark.skipif(bool(traceable()), reason=traceable() or "-")

FEW = 4
TEAR_EACH = 4


@pytest.fixture(scope="module")
def whole():
    return undisturbed()


def as_if_nothing_had_been(whole, fault):
    calls, undisturbed_run = whole
    outcome = disturbed(fault.damage, fault.at)
    if not outcome.struck:
        return False  # threads take turns as they like: this time it made fewer calls than that
    where = f"{fault.damage} at {fault.at}, {calls.calls[fault.at - 1]}"
    assert outcome.told == undisturbed_run.told, where
    assert outcome.paid == undisturbed_run.paid == 3, where
    return True


def kills_before(calls):
    return [Fault("kill", call.number) for call in calls]


def kills_after(calls):
    return [Fault("kill_after", number) for number in ended_at(calls)]


def torn(calls):
    """Half of a page, or of what comes before it, is in the database or its write-ahead log."""
    return [
        Fault("torn", call.number)
        for call in calls
        if call.what.endswith((".db-wal", ".db")) and call.name == "pwrite64"
    ]


def test_a_run_killed_at_gaps_all_along_its_way_pays_nothing_twice(whole):
    """D2, P3, P4: the first call, the last, and some between."""
    kills = kills_before(whole[0].calls)
    few = [kills[(len(kills) - 1) * step // FEW] for step in range(FEW)]
    assert sum(as_if_nothing_had_been(whole, fault) for fault in few) >= FEW - 1


def test_a_run_killed_when_it_has_just_asked_a_provider_pays_nothing_twice(whole):
    """P4: the provider is paid, and nobody is there to hear of it."""
    asked = next(call for call in whole[0].calls if call.what == "tcp")
    assert as_if_nothing_had_been(whole, Fault("kill_after", asked.number))


def test_a_run_whose_write_is_torn_pays_nothing_twice(whole):
    """D2: half of a page of the write-ahead log is on the disk."""
    faults = torn(whole[0].calls)
    few = [faults[len(faults) // 3], faults[2 * len(faults) // 3]]
    assert all(as_if_nothing_had_been(whole, fault) for fault in few)


def test_a_run_on_a_slow_disk_comes_to_the_same(whole):
    outcome = disturbed("slow", 0)
    assert outcome.struck
    assert (outcome.told, outcome.paid) == (whole[1].told, 3)


@pytest.mark.chaos
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "faults",
    [kills_before, kills_after, lambda calls: torn(calls)[::TEAR_EACH]],
    ids=["killed before", "killed after", "torn"],
)
def test_a_run_struck_at_every_gap_pays_nothing_twice(whole, faults):
    """P4: paid calls are those of the undisturbed run, whenever it dies."""
    struck = [as_if_nothing_had_been(whole, fault) for fault in faults(whole[0].calls)]
    assert sum(struck) >= len(struck) * 0.9
