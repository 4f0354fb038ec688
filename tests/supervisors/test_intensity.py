"""Restart intensity against its four-line model (S3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from covend.supervisors.intensity import NANOSECONDS, Intensity


def model(log: list[int], now: int, intensity: int, period: int) -> tuple[list[int], bool]:
    log = [t for t in log if t >= now - period] + [now]
    ok = len(log) <= intensity
    return log, ok


@given(
    limit=st.integers(0, 6),
    period=st.integers(1, 60),
    steps=st.lists(st.integers(0, 40), max_size=60),
)
def test_the_log_is_the_four_line_models(limit: int, period: int, steps: list[int]) -> None:
    """S3, at every step of any history, restarts at the same instant included."""
    intensity = Intensity(limit, period)
    log: tuple[int, ...] = ()
    expected: list[int] = []
    now = 0
    for step in steps:
        now += step
        log, allowed = intensity.add(log, now)
        expected, ok = model(expected, now, limit, period)
        assert (list(log), allowed) == (expected, ok)


def test_a_restart_exactly_one_period_ago_still_counts() -> None:
    intensity = Intensity.per_seconds(1, 5.0)
    log, allowed = intensity.add((), 0)
    assert allowed
    assert not intensity.add(log, 5 * NANOSECONDS)[1]
    assert intensity.add(log, 5 * NANOSECONDS + 1)[1]
