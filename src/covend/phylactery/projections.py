"""The projections: what is open, due and asked, kept beside the records it follows from (P3, D5).

Each record of a run changes them in the transaction that stores it; a record that contradicts
them is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from covend.phylactery.bodies import Call, Do, Intend, Job, Learn, Tick, Timers, read
from covend.phylactery.database import Database
from covend.phylactery.errors import Conflict
from covend.phylactery.records import Record
from covend.phylactery.schema import JOB, PROJECTION_TABLES, WORKING_KINDS

ACCEPTED = "accepted"
TASK_ENDS = {"ok": "submitted", "declined": "declined", "timeout": "expired"}
"""What a human's answer makes of his task; any other answer withdraws it."""
_AT = "thread = ? AND slot = ? AND attempt = ?"
_NOT_AFTER_KNOW = frozenset({"call", "learn", "know"})


def project(db: Database, seq: int, entry: Record) -> None:
    """Change the projections as a newly stored record says; inside its transaction (D5).

    A record of neither a run's kind nor a job's changes nothing. Raises ``Conflict`` for one that
    contradicts what is stored and ``BadRecord`` for a body without what the projections need.
    """
    if entry.kind == "intend":
        _open(db, seq, entry)
        return
    if entry.kind == JOB:
        _job(db, entry)
        return
    step = _STEPS.get(entry.kind)
    if step is None or (entry.kind == "do" and _answers(db, entry)):
        return
    thread = db.first("SELECT know, kept FROM thread WHERE id = ?", (entry.thread,))
    if thread is None:
        raise Orphan(
            f"{_named(entry)} is for the thread {entry.thread!r}, which has no intend: "
            "append that first, or in the same batch"
        )
    know, kept = thread
    if know is not None and entry.kind in _NOT_AFTER_KNOW:
        raise Conflict(f"{_named(entry)} comes after the know {know} of {entry.thread!r}")
    if not kept and entry.kind in WORKING_KINDS:
        db.change("UPDATE thread SET kept = 1 WHERE id = ?", (entry.thread,))
    step(db, seq, entry)


class Orphan(Conflict):
    """A record of a thread that nothing opened, or an answer to what nobody called."""


def clear(db: Database) -> None:
    """Empty every projection; inside the transaction that fills them again."""
    for name, definition in PROJECTION_TABLES.items():
        if definition.startswith("CREATE TABLE"):
            db.change(f"DELETE FROM {name}")


def forget(db: Database, thread: str) -> None:
    """Remove what followed from the working records of a thread that are purged (D4)."""
    for table in ("attempt", "task", "job"):
        db.change(f"DELETE FROM {table} WHERE thread = ?", (thread,))
    db.change("UPDATE thread SET kept = 0 WHERE id = ?", (thread,))


# ── one step for each kind ───────────────────────────────────────────────────────────────────


def _open(db: Database, seq: int, entry: Record) -> None:
    body = read(entry, Intend)
    opened = db.change(
        "INSERT INTO thread (id, seq, intend, state, opened, parent, pattern, kept)"
        " VALUES (?, ?, ?, 'open', ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING",
        (entry.thread, seq, entry.id, entry.clock, body.parent, body.pattern),
    )
    if not opened:
        other = db.first("SELECT intend FROM thread WHERE id = ?", (entry.thread,))
        raise Conflict(f"{_named(entry)}: {entry.thread!r} was opened by {_first(other)}")
    _set_timers(db, entry, body)


def _call(db: Database, seq: int, entry: Record) -> None:
    body = read(entry, Call)
    place = (entry.thread, body.slot, body.attempt)
    claimed = db.change(
        "INSERT INTO attempt (thread, slot, attempt, seq, call, responder, due, key, open)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (thread, slot, attempt) DO NOTHING",
        (*place, seq, entry.id, body.responder.kind, body.deadline, body.key),
    )
    if not claimed:
        other = db.first(f"SELECT call FROM attempt WHERE {_AT}", place)
        raise _taken(entry, place, _first(other))
    if body.responder.kind == "actor":
        db.change(
            "INSERT INTO task (thread, slot, attempt, seq, did, state, due, opened)"
            " VALUES (?, ?, ?, ?, ?, 'open', ?, ?)",
            (*place, seq, body.responder.did or "", body.deadline, entry.clock),
        )
    _set_timers(db, entry, body)


def _answers(db: Database, entry: Record) -> bool:
    """Whether a call waited for this; a human's ``accepted`` only says that one will come (P18).

    Claims the slot's answer (P12). Where a call waits its thread goes on, and needs no look.
    """
    body = read(entry, Do)
    place = (entry.thread, body.slot, body.attempt)
    if body.status == ACCEPTED:
        state = ACCEPTED
        waits = f"SELECT responder FROM attempt WHERE {_AT} AND answer IS NULL"
        call = db.first(waits, place)
    else:
        state = TASK_ENDS.get(body.status or "", "withdrawn")
        claim = (
            f"UPDATE attempt SET answer = ?, open = 0 WHERE {_AT} AND answer IS NULL"
            " RETURNING responder"
        )
        call = db.first(claim, (entry.id, *place))
    if call is not None and call[0] == "actor":
        _move_task(db, place, state)
    return call is not None


def _late(db: Database, seq: int, entry: Record) -> None:
    """What no call waits for any more (P12)."""
    body = read(entry, Do)
    place = (entry.thread, body.slot, body.attempt)
    attempt = db.first(f"SELECT answer FROM attempt WHERE {_AT}", place)
    if attempt is not None:
        if not (body.late or body.conflict):
            raise _taken(entry, place, attempt[0])
    elif not _has_ended(db, entry.thread):  # else it was purged
        raise Orphan(
            f"{_named(entry)}: slot {body.slot!r}, attempt {body.attempt} of {entry.thread!r} has "
            "no call: append that before it is dispatched"
        )


def _tick(db: Database, seq: int, entry: Record) -> None:
    name = read(entry, Tick).name
    if name is not None:
        db.change("DELETE FROM timer WHERE thread = ? AND name = ?", (entry.thread, name))


def _learn(db: Database, seq: int, entry: Record) -> None:
    """Calls that nobody waits for any more, deadlines that an eta moved, delegates (P18)."""
    body = read(entry, Learn)
    _set_timers(db, entry, body)
    for name, status in body.closed.items():
        place = (entry.thread, *_place(name))
        db.change(f"UPDATE attempt SET open = 0 WHERE {_AT}", place)
        _move_task(db, place, TASK_ENDS.get(status, "withdrawn"))
    for name, due in body.extended.items():
        for table in ("attempt", "task"):
            db.change(f"UPDATE {table} SET due = ? WHERE {_AT}", (due, entry.thread, *_place(name)))
    for name, did in body.delegate.items():
        db.change(
            "INSERT INTO task (thread, slot, attempt, seq, did, state, due, opened)"
            f" SELECT thread, slot, attempt, ?, ?, 'open', due, ? FROM attempt WHERE {_AT}"
            " AND open = 1 ON CONFLICT (thread, slot, attempt, did) DO NOTHING",
            (seq, did, entry.clock, entry.thread, *_place(name)),
        )


def _place(name: str) -> tuple[str, int]:
    """The slot and the attempt of a call's name, ``SLOT#ATTEMPT``."""
    slot, _, attempt = name.rpartition("#")
    return slot, int(attempt)


def _know(db: Database, seq: int, entry: Record) -> None:
    """End the thread: nothing of it is open, due or asked any more (P3, P20)."""
    db.change(
        "UPDATE thread SET state = 'ended', ended = ?, know = ? WHERE id = ?",
        (entry.clock, entry.id, entry.thread),
    )
    db.change("DELETE FROM timer WHERE thread = ?", (entry.thread,))
    db.change("UPDATE attempt SET open = 0 WHERE thread = ? AND open = 1", (entry.thread,))
    _withdraw_tasks(db, seq, entry)


def _job(db: Database, entry: Record) -> None:
    """A run's own job has bodies for the purge, once it has ended; others are nobody's (D4)."""
    if entry.act == "INTEND":
        run = read(entry, Job).run
        if run is not None:
            db.change(
                "INSERT INTO job (thread, run) VALUES (?, ?) ON CONFLICT (thread) DO NOTHING",
                (entry.thread, run),
            )
    elif entry.act == "KNOW":
        db.change("UPDATE job SET ended = ? WHERE thread = ?", (entry.clock, entry.thread))


def _move_task(db: Database, place: tuple[str, str, int], state: str) -> None:
    db.change(
        f"UPDATE task SET state = ? WHERE {_AT} AND state IN ('open', 'accepted')", (state, *place)
    )


def _withdraw_tasks(db: Database, seq: int, entry: Record) -> None:
    """Whose time was over when the run ended did not answer; of others nobody waits (P14)."""
    db.change(
        "UPDATE task SET state = CASE WHEN due <= ? THEN 'expired' ELSE 'withdrawn' END"
        " WHERE thread = ? AND state IN ('open', 'accepted')",
        (entry.clock, entry.thread),
    )


_STEPS: dict[str, Callable[[Database, int, Record], None]] = {
    "call": _call,
    "do": _late,
    "tick": _tick,
    "learn": _learn,
    "know": _know,
    "cancel": _withdraw_tasks,
}


def _set_timers(db: Database, entry: Record, body: Timers) -> None:
    for name in body.cancel_timers:
        db.change("DELETE FROM timer WHERE thread = ? AND name = ?", (entry.thread, name))
    for timer in body.timers:
        db.change(
            "INSERT INTO timer (thread, name, due) VALUES (?, ?, ?)"
            " ON CONFLICT (thread, name) DO UPDATE SET due = excluded.due",
            (entry.thread, timer.name, timer.due),
        )


def _has_ended(db: Database, thread: str) -> bool:
    return db.first("SELECT 1 FROM thread WHERE id = ? AND know IS NOT NULL", (thread,)) is not None


def _taken(entry: Record, place: tuple[str, str, int], other: object) -> Conflict:
    thread, slot, attempt = place
    return Conflict(
        f"{_named(entry)}: slot {slot!r}, attempt {attempt} of {thread!r} has the "
        f"{entry.kind} {other}"
    )


def _first(row: tuple[object, ...] | None) -> object:
    return row[0] if row else None


def _named(entry: Record) -> str:
    return f"the {entry.kind} {entry.id}"
