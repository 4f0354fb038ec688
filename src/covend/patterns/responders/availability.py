"""Whether a responder can be asked at one moment, and why not: its status and its hours (P9)."""

from __future__ import annotations

from covend.patterns.responders.responder import Responder
from covend.patterns.state import SECOND


def is_available(responder: Responder, now: int) -> bool:
    """Whether it can be asked at ``now`` (µs): by its status, and by its hours if it has any."""
    if responder.status != "active" or not responder.available:
        return False
    hours = responder.hours
    if hours is None:
        return True
    local = now / SECOND + hours.utc_offset * 3600
    day, seconds = divmod(local, 86_400)
    weekday, hour = (int(day) + 3) % 7, seconds / 3600  # 1970 began on a Thursday
    if hours.start <= hours.end:
        return weekday in hours.days and hours.start <= hour < hours.end
    # A night shift belongs to the day on which it began.
    began = weekday if hour >= hours.start else (weekday - 1) % 7
    return began in hours.days and (hour >= hours.start or hour < hours.end)


def absence(responder: Responder, now: int) -> str | None:
    """Why it is not asked at ``now`` (µs), None where it is."""
    if is_available(responder, now):
        return None
    if responder.status != "active":
        return "retired"
    if not responder.available:
        return "switched off, or it failed too often of late"
    return "outside its hours"
