"""The jobs in the store: what is kept of each, and how the book of them is made again.

A job is a thread of records, ``job:ID``: INTEND is the job, each DO one step's result, KNOW the
end; of a job that says ``once``, each PUT whether somebody has begun it. INTEND names the ``run``
that the job works for, if it does: of such a job only the end stays, once both are over (D4).
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from covend.actors.asking_store import SERVING_SECONDS, ask_store
from covend.actors.jobs.book import JobBook
from covend.actors.runs.legible import legible
from covend.phylactery.messages import Append, Query
from covend.phylactery.records import Act, record
from covend.protocol import Job
from covend.resolving import resolved
from covend.runtime import Context

KEEP_ENDED = 1000
"""Jobs that have ended are kept in memory up to this many; the store has the others."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The body of a ``jobs`` record: these jobs, and all after ``upto``, have to be read back."""

    upto: int = 0
    jobs: tuple[str, ...] = ()
    done: int = 0
    failed: int = 0


def as_checkpoint(entry: dict[str, Any]) -> Checkpoint:
    """What a ``jobs`` record says; raises ``msgspec.ValidationError``."""
    return msgspec.convert(entry["body"], resolved(Checkpoint))


class JobRecords:
    """Part of the broker, in its handlers alone; waits for the store each time."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        # It only has to grow over restarts of the core, which are a process start apart.
        self.book = JobBook(epoch=int(time.time() * 1000))

    def keep(self, job: str, act: Act, body: dict[str, Any]) -> None:
        """Make one step of a job's story durable before it counts."""
        entry = record(f"job:{job}", "job", body, actor="broker", act=act)
        ask_store(self.ctx, Append([entry]), SERVING_SECONDS)

    def mark(self, job: Job, begun: bool) -> None:
        """Make durable whether a ghoul may be in the middle of a ``once`` job (P4)."""
        if job.once:
            self.keep(job.id, "PUT", {"begun": begun})

    def recalled(self, job: str) -> bool:
        """Whether a job is known: from memory, or read back from the store."""
        if job not in self.book.jobs:
            self._read_back(thread=f"job:{job}")
            entry = self.book.jobs.get(job)
            if entry is not None and not entry.open:
                self.book.forgotten[entry.status] -= 1  # counted where it is now
        return job in self.book.jobs

    def checkpoint(self) -> None:
        """Forget jobs that ended long ago, and store from where the next broker has to read."""
        self.book.forget(KEEP_ENDED)
        newest = ask_store(self.ctx, Query(kind="job", limit=1, damaged=True), SERVING_SECONDS)
        body = {
            "upto": newest[0]["seq"],
            "jobs": list(self.book.jobs),
            **self.book.forgotten,
        }
        entry = record("jobs", "jobs", body, actor="broker", act="LEARN")
        ask_store(self.ctx, Append([entry]), SERVING_SECONDS)

    def restore(self) -> JobBook:
        """Read the jobs back, those that ended long ago excepted; the book that they make."""
        query = Query(kind="jobs", thread="jobs", limit=1, damaged=True)
        last = ask_store(self.ctx, query, SERVING_SECONDS)
        found = legible(self.ctx, last, as_checkpoint)
        checkpoint = found[0] if found else Checkpoint()
        for job in checkpoint.jobs:
            self._read_back(thread=f"job:{job}")
        self._read_back(after=checkpoint.upto)
        self.book.forgotten = {"done": checkpoint.done, "failed": checkpoint.failed}
        self.book.forget(KEEP_ENDED)
        return self.book

    def _read_back(self, thread: str | None = None, after: int = 0) -> None:
        query = Query(kind="job", thread=thread, after=after, newest_first=False, damaged=True)
        legible(self.ctx, ask_store(self.ctx, query), self._restore_one)

    def _restore_one(self, entry: dict[str, Any]) -> None:
        job_id, body = str(entry["thread"]).removeprefix("job:"), entry["body"]
        match entry["act"]:
            case "INTEND" if entry.get("purged"):
                self._restore_purged(job_id)
            case _ if entry.get("purged"):
                pass
            case "INTEND":
                self.book.submit(msgspec.convert(body["job"], resolved(Job)), self.ctx.now())
            case "DO":
                self.book.step(self.book.jobs[job_id], body["index"], body["result"])
            case "PUT":
                self.book.jobs[job_id].begun = body["begun"]
            case "KNOW":
                self.book.end(self.book.jobs[job_id], body["error"])
            case _:
                pass

    def _restore_purged(self, job: str) -> None:
        """A job that has ended, and of which nobody knows what it was; its KNOW says how."""
        nothing = Job(id=job, capability="", klass="", steps=[])
        entry = self.book.submit(nothing, self.ctx.now())
        entry.purged = True
        self.book.end(entry, None)
