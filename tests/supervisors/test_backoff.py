"""Backoff (S7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.supervisors import Backoff


def test_waits_double_up_to_the_maximum() -> None:
    backoff = Backoff(base=0.5, maximum=6.0, jitter=0.0)
    assert [backoff.delay(n, 0.9) for n in range(6)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]


@given(
    base=st.floats(0.001, 10),
    times=st.floats(1, 1000),
    jitter=st.floats(0, 2),
    restarts=st.integers(0, 10_000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_the_formulas(
    base: float, times: float, jitter: float, restarts: int, chance: float
) -> None:
    """S7: min(max, base·2ⁿ)·(1+jitter), for any count without overflow."""
    maximum = base * times
    delay = Backoff(base, maximum, jitter).delay(restarts, chance)
    plain = maximum if restarts > 40 else min(maximum, base * 2**restarts)
    assert plain <= delay <= plain * (1 + jitter)
    assert delay == pytest.approx(plain * (1 + jitter * chance))


def test_a_stable_life_resets_the_count() -> None:
    backoff = Backoff(stable_for=10.0)
    assert backoff.counted(7, lived=9.99) == 7
    assert backoff.counted(7, lived=10.0) == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"base": 0}, "base is 0"),
        ({"maximum": float("inf")}, "maximum is inf"),
        ({"jitter": -0.1}, "jitter is -0.1"),
        ({"stable_for": float("nan")}, "stable_for is nan"),
        ({"base": 3, "maximum": 2}, "more than maximum"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Backoff(**wrong)
