"""When ingestion counts double: windows by time of day and week, or by backlog (W16)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60


class Window(msgspec.Struct, frozen=True):
    """A time of day (``HH:MM``, may run past midnight) on some days, or a backlog, or both.

    No ``days`` means every day; a day is the one on which the window starts.
    """

    start: str = ""
    end: str = ""
    days: tuple[str, ...] = ()
    backlog: int | None = None


def window_open(windows: Iterable[Window], weekday: int, minute: int, backlog: int) -> bool:
    """Whether any window is open on this weekday (0 is Monday) at this minute of the day (W16).

    A window with a backlog opens when so many ingest signals wait; one with times and a backlog
    needs both.
    """
    return any(_is_open(window, weekday, minute, backlog) for window in windows)


def _is_open(window: Window, weekday: int, minute: int, backlog: int) -> bool:
    if window.backlog is not None and backlog < window.backlog:
        return False
    if not window.start and not window.end:
        return window.backlog is not None
    start = _minute(window.start or "00:00")
    end = _minute(window.end or "00:00")
    length = (end - start) % MINUTES or MINUTES
    for days_ago in (0, 1):
        if window.days and DAYS[(weekday - days_ago) % 7] not in window.days:
            continue
        if 0 <= minute + days_ago * MINUTES - start < length:
            return True
    return False


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
