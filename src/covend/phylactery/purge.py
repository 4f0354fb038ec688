"""The purge: a run's working records are emptied some time after it ended (D4).

What this box's own workers were asked for it, and answered, is in threads of its jobs. A job is
emptied when it ended before that time and so did its run, or its run is not here.
"""

from __future__ import annotations

from covend.phylactery.database import Database
from covend.phylactery.projections import forget
from covend.phylactery.rows import PURGED_BODY
from covend.phylactery.schema import JOB, WORKING_KINDS

BATCH = 1000
"""Records in one transaction of the purge, so that nobody who appends waits long for it."""

_KINDS = ", ".join(f"'{kind}'" for kind in WORKING_KINDS)
_WORKING = f"(kind IN ({_KINDS}) OR (kind = '{JOB}' AND act != 'KNOW'))"
_RUNS = "SELECT id FROM thread WHERE kept = 1 AND ended < ? ORDER BY ended LIMIT ?"
_JOBS = (
    "SELECT thread FROM job WHERE ended < ? AND NOT EXISTS (SELECT 1 FROM thread"
    " WHERE thread.id = job.run AND (thread.ended IS NULL OR thread.ended >= ?))"
    " ORDER BY ended LIMIT ?"
)


def due(db: Database, before: int, limit: int) -> list[str]:
    """Threads to purge: runs that ended before this clock, then jobs; so many of each at most."""
    runs = [thread for (thread,) in db.rows(_RUNS, (before, limit))]
    return runs + [thread for (thread,) in db.rows(_JOBS, (before, before, limit))]


def batch(db: Database, before: int, now: int, limit: int) -> int:
    """Purge whole threads, oldest end first, until ``limit`` records are emptied; in a transaction.

    What stays of an emptied record is its row: place, id, kind, clock and parents, so that gaps
    and parents can still be checked. Intend, know, cancel and trigger stay whole, and a job's end.
    """
    emptied = 0
    for thread in due(db, before, limit):
        if emptied >= limit:
            break
        emptied += db.change(
            f"UPDATE record SET body = ? WHERE thread = ? AND {_WORKING} AND body != ?",
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
