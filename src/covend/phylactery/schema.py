"""The tables of the store, in the SQL that SQLite and PostgreSQL share (D1, D5, P3)."""

from __future__ import annotations

from covend.phylactery.records import Act

SCHEMA_VERSION = 3
"""Version 1 had the ``record`` table alone, version 2 no ``job``."""

# Invariants of ``record``:
# - a row is never deleted, and never changed but by the purge, which empties its body (D4);
# - ``seq`` is the order of appending, without gaps;
# - ``id`` is the sha256 of the row's content without ``seq`` (records.content_id), so a row that
#   was damaged is recognised when it is read;
# - ``body`` is a canonical JSON object, ``parents`` a canonical JSON array of ids.
RECORD_TABLES = {
    "record": """CREATE TABLE record (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  thread TEXT NOT NULL,
  actor TEXT NOT NULL,
  act TEXT NOT NULL,
  kind TEXT NOT NULL,
  clock INTEGER NOT NULL,
  body TEXT NOT NULL,
  parents TEXT NOT NULL
) STRICT""",
    "record_id": "CREATE UNIQUE INDEX record_id ON record (id)",
    "record_thread": "CREATE INDEX record_thread ON record (thread, kind, seq)",
    "record_kind": "CREATE INDEX record_kind ON record (kind, seq)",
}

# Up to which record, and when, the working records of a thread were emptied.
PURGE_TABLES = {
    "purge": """CREATE TABLE purge (
  thread TEXT PRIMARY KEY,
  upto INTEGER NOT NULL,
  clock INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
}

# The projections: every row follows from the records, is written in the transaction that stores
# the record it follows from, and never otherwise (D5). Clocks are microseconds since 1970.
# - thread: a run; ``seq`` and ``intend`` are the record that opened it, ``know`` the one that
#   ended it, ``kept`` is 1 while it has working records that the purge has not emptied;
# - attempt: one try of a slot: the call and the answer that claimed it, each at most once (P3);
#   ``open`` is 1 while the call waits for its answer;
# - task: what a human is asked to do, and each delegate in his place; timer: what is to fire,
#   and when;
# - job: a call of the ``run`` that this box's own workers make, while it has records that the
#   purge has not emptied; ``ended`` is when it was over.
JOB_TABLES = {
    "job": """CREATE TABLE job (
  thread TEXT PRIMARY KEY,
  run TEXT NOT NULL,
  ended INTEGER
) STRICT, WITHOUT ROWID""",
    "job_ended": "CREATE INDEX job_ended ON job (ended)",
}
PROJECTION_TABLES = {
    "thread": """CREATE TABLE thread (
  id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  intend TEXT NOT NULL,
  state TEXT NOT NULL,
  opened INTEGER NOT NULL,
  ended INTEGER,
  parent TEXT,
  pattern TEXT,
  know TEXT,
  kept INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    "thread_seq": "CREATE INDEX thread_seq ON thread (seq)",
    "thread_state": "CREATE INDEX thread_state ON thread (state, seq)",
    "thread_parent": "CREATE INDEX thread_parent ON thread (parent, seq) WHERE parent IS NOT NULL",
    "thread_kept": "CREATE INDEX thread_kept ON thread (ended) WHERE kept = 1",
    "attempt": """CREATE TABLE attempt (
  thread TEXT NOT NULL,
  slot TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  call TEXT NOT NULL,
  answer TEXT,
  responder TEXT,
  due INTEGER,
  key TEXT,
  open INTEGER NOT NULL,
  PRIMARY KEY (thread, slot, attempt)
) STRICT, WITHOUT ROWID""",
    "attempt_open": "CREATE INDEX attempt_open ON attempt (seq) WHERE open = 1",
    "task": """CREATE TABLE task (
  thread TEXT NOT NULL,
  slot TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  did TEXT NOT NULL,
  state TEXT NOT NULL,
  due INTEGER,
  opened INTEGER NOT NULL,
  PRIMARY KEY (thread, slot, attempt, did)
) STRICT, WITHOUT ROWID""",
    "task_seq": "CREATE INDEX task_seq ON task (seq)",
    "task_did": "CREATE INDEX task_did ON task (did, state, seq)",
    "task_state": "CREATE INDEX task_state ON task (state, seq)",
    "timer": """CREATE TABLE timer (
  thread TEXT NOT NULL,
  name TEXT NOT NULL,
  due INTEGER NOT NULL,
  PRIMARY KEY (thread, name)
) STRICT, WITHOUT ROWID""",
    "timer_due": "CREATE INDEX timer_due ON timer (due, thread, name)",
    **JOB_TABLES,
}

TABLES = {**RECORD_TABLES, **PURGE_TABLES, **PROJECTION_TABLES}

PROJECTIONS = {
    "thread": "id, seq, intend, state, opened, ended, parent, pattern, know, kept",
    "attempt": "thread, slot, attempt, seq, call, answer, responder, due, key, open",
    "task": "thread, slot, attempt, seq, did, state, due, opened",
    "timer": "thread, name, due",
    "job": "thread, run, ended",
}
"""The columns of each projection, to compare what is stored with what follows from the records."""

RUN_ACTS: dict[str, Act] = {
    "intend": "INTEND",
    "call": "CALL",
    "do": "DO",
    "learn": "LEARN",
    "know": "KNOW",
    "tick": "GET",
    "cancel": "PUT",
    "trigger": "PUT",
}
"""The kinds of record a run consists of, with their acts; others in its thread are beside it."""

WORKING_KINDS = ("call", "do", "learn", "tick")
"""The kinds of record that belong to a run while it lives and are emptied after it (D4)."""

JOB = "job"
"""The kind of all records of a job, which their acts tell apart."""


def is_working(kind: str, act: str) -> bool:
    """Whether the purge may empty such a record (D4)."""
    return kind in WORKING_KINDS or (kind == JOB and act != "KNOW")


def is_end(kind: str, act: str) -> bool:
    """Whether such a record is the end of its thread."""
    return kind == "know" or (kind == JOB and act == "KNOW")
