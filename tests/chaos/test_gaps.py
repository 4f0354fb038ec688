"""A run killed between any two of its I/O calls pays and answers as if nothing had been (P4)."""

import pytest
from tools.bench.gaps import disturbed, undisturbed

from covend.testing.crash import traceable

pytestmark = pytest.mark.skipif(bool(traceable()), reason=traceable() or "-")

FEW = 4


@pytest.fixture(scope="module")
def whole():
    return undisturbed()


def as_if_nothing_had_been(whole, damage, gap):
    calls, undisturbed_run = whole
    outcome = disturbed(damage, gap)
    if not outcome.struck:
        return False  # threads take turns as they like: this time it made fewer calls than that
    where = f"{damage} at {gap}, {calls.calls[gap - 1]}"
    assert outcome.told == undisturbed_run.told, where
    assert outcome.paid == undisturbed_run.paid == 3, where
    return True


def test_a_run_killed_at_gaps_all_along_its_way_pays_nothing_twice(whole):
    """D2, P3, P4: the first call, the last, and some between."""
    last = len(whole[0].calls)
    gaps = sorted({1 + (last - 1) * step // FEW for step in range(FEW)})
    assert sum(as_if_nothing_had_been(whole, "kill", gap) for gap in gaps) >= FEW - 1


def test_a_run_whose_write_is_torn_pays_nothing_twice(whole):
    """D2: half of a page of the write-ahead log is on the disk."""
    writes = [call.number for call in whole[0].calls if call.what.endswith("-wal")]
    assert as_if_nothing_had_been(whole, "torn", writes[len(writes) // 2])


def test_a_run_on_a_slow_disk_comes_to_the_same(whole):
    outcome = disturbed("slow", 0)
    assert (outcome.told, outcome.paid) == (whole[1].told, 3)


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_a_run_killed_at_every_gap_pays_nothing_twice(whole):
    """P4: paid calls are those of the undisturbed run, whenever it dies."""
    struck = [as_if_nothing_had_been(whole, "kill", call.number) for call in whole[0].calls]
    assert sum(struck) >= len(struck) * 0.9
