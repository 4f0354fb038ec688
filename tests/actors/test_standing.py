"""Trust, delay and availability as they are learned (P8)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.actors.standing import (
    ABSENT_SECONDS,
    HALF_LIFE,
    MAX_FAILURES,
    Outcome,
    Standing,
    as_body,
    from_body,
    wilson,
)

NOW = 1_000_000_000


def after(*verdicts, at=NOW, delay=1.0):
    standing = Standing()
    for verdict in verdicts:
        standing = standing.after(Outcome("r", verdict, at, delay))
    return standing


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_nobody_is_trusted_other_than_configured_before_anything_happened(prior):
    """P8: an unknown one has 0.5."""
    assert Standing().trust(prior, NOW) == pytest.approx(prior)


def test_the_bound_is_wilsons():
    """Against a table: 8 of 10 at one-sided 95 %."""
    assert wilson(8, 10) == pytest.approx(0.5413, abs=1e-3)
    assert wilson(0, 10) == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.sampled_from(["good", "bad", "neutral", "unreachable"]), max_size=40))
def test_trust_stays_within_bounds_and_a_good_outcome_never_lowers_it(verdicts):
    before = after(*verdicts)
    trust = before.trust(0.5, NOW)
    assert 0 <= trust < 1
    assert before.after(Outcome("r", "good", NOW)).trust(0.5, NOW) >= trust
    assert before.after(Outcome("r", "bad", NOW)).trust(0.5, NOW) <= trust
    assert before.after(Outcome("r", "unreachable", NOW)).trust(0.5, NOW) == trust


def test_what_happened_fades():
    """An outcome of a half-life ago counts half; after many of them nothing is known again."""
    bad = after("bad", "bad", "bad")
    later = NOW + round(HALF_LIFE * 1e6)
    assert bad.trust(0.5, NOW) < bad.trust(0.5, later) < 0.5
    assert bad.trust(0.5, NOW + round(40 * HALF_LIFE * 1e6)) == pytest.approx(0.5)


def test_the_typical_delay_is_the_median_of_the_last():
    standing = Standing()
    for delay in [900.0, *range(1, 10)]:
        standing = standing.after(Outcome("r", "good", NOW, float(delay)))
    assert standing.delay() == 5.0
    assert Standing().delay() is None
    assert after("unreachable", delay=3.0).delay() is None


def test_who_cannot_be_reached_thrice_in_a_row_is_left_alone_for_a_while():
    """Transport errors count as availability only."""
    gone = after(*["unreachable"] * MAX_FAILURES)
    assert not gone.available(NOW)
    assert gone.available(NOW + round((ABSENT_SECONDS + 1) * 1e6))
    assert after(*["unreachable"] * (MAX_FAILURES - 1)).available(NOW)
    assert gone.after(Outcome("r", "bad", NOW)).available(NOW)
    assert gone.trust(0.5, NOW) == 0.5


def test_standings_are_stored_and_read_back():
    standings = {"r": after("good", "bad", "unreachable")}
    assert from_body(as_body(standings)) == standings
    assert not math.isnan(standings["r"].trust(0.5, NOW))
