"""The purge: a run's working records are emptied some time after it ended (D4)."""

from __future__ import annotations

from covend.phylactery.database import Database
from covend.phylactery.projections import forget
from covend.phylactery.rows import PURGED_BODY
from covend.phylactery.schema import WORKING_KINDS

BATCH = 1000
"""Records in one transaction of the purge, so that nobody who appends waits long for it."""

_KINDS = ", ".join(f"'{kind}'" for kind in WORKING_KINDS)
_ENDED = "FROM thread WHERE kept = 1 AND ended < ?"


def is_due(db: Database, before: int) -> bool:
    """True if a run that ended before this clock still has working records."""
    return db.first(f"SELECT 1 {_ENDED} LIMIT 1", (before,)) is not None


def batch(db: Database, before: int, now: int, limit: int) -> int:
    """Purge whole runs, oldest end first, until ``limit`` records are emptied; in a transaction.

    What stays of an emptied record is its row: place, id, kind, clock and parents, so that gaps
    and parents can still be checked. Intend, know, cancel and trigger stay whole.
    """
    emptied = 0
    for (thread,) in list(db.rows(f"SELECT id {_ENDED} ORDER BY ended LIMIT ?", (before, limit))):
        if emptied >= limit:
            break
        emptied += db.change(
            f"UPDATE record SET body = ? WHERE thread = ? AND kind IN ({_KINDS}) AND body != ?",
            (PURGED_BODY, thread, PURGED_BODY),
        )
        forget(db, thread)
        mark(db, thread, now)
    return emptied


def mark(db: Database, thread: str, now: int) -> None:
    """Note that this thread was purged, up to its newest record."""
    db.change(
        "INSERT INTO purge (thread, upto, clock)"
        " SELECT thread, max(seq), ? FROM record WHERE thread = ? GROUP BY thread"
        " ON CONFLICT (thread) DO UPDATE SET upto = excluded.upto, clock = excluded.clock",
        (now, thread),
    )
