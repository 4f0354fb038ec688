"""What repeated failure costs a coven: three attempts, then a hard reset and a growing pause.

A late drain is not the target's fault: it only puts the next try off, so that what is open serves
on in the meantime (docs/decisions/0001-a-late-drain-reopens.md).
"""

from __future__ import annotations

import msgspec

BACKOFF = 30.0
BACKOFF_MAX = 600.0


class Record(msgspec.Struct, frozen=True):
    """Failures of one coven in a row, and until when (monotonic seconds) it may not be tried."""

    failures: int = 0
    late_drains: int = 0
    quarantines: int = 0
    until: float = 0.0


class Verdict(msgspec.Struct, frozen=True):
    """What a failure means: the new record, and whether the target must be hard-reset."""

    record: Record
    hard_reset: bool


def failed(record: Record, now: float, attempts: int = 3) -> Verdict:
    """Count a failed attempt; the third quarantines: 30 s, doubling to 10 min (W24)."""
    failures = record.failures + 1
    if failures < attempts:
        return Verdict(msgspec.structs.replace(record, failures=failures), hard_reset=False)
    quarantines = record.quarantines + 1
    until = now + min(BACKOFF_MAX, BACKOFF * 2 ** (quarantines - 1))
    return Verdict(Record(0, record.late_drains, quarantines, until), hard_reset=True)


def drained_late(record: Record, now: float) -> Record:
    """Put the next try off: 30 s, doubling to 10 min with every late drain in a row (W24)."""
    late = record.late_drains + 1
    until = max(record.until, now + min(BACKOFF_MAX, BACKOFF * 2 ** (late - 1)))
    return msgspec.structs.replace(record, late_drains=late, until=until)


def succeeded() -> Record:
    """The coven opened: everything held against it is forgotten."""
    return Record()
