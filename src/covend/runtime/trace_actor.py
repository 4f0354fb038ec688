"""The actor ``trace`` of every node: answers what its process's trace ring holds (X1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from covend.runtime.actor import Actor
from covend.runtime.errors import ReplyError
from covend.runtime.messages import Message, message
from covend.runtime.trace import TraceRecord

MAX_RECORDS = 20_000
"""Records in one answer; who wants more asks again from the last ``seq``."""


@message("trace.query")
class TraceQuery(Message, frozen=True):
    """Answered with records of this node's ring as ``{"node", "wall_ns", "last", "records"}``.

    ``last`` is the ring's newest ``seq`` (-1: none). Each record is a list in the order of
    ``TraceRecord``, oldest first: those after ``seq`` ``after`` that match every filter given; of
    more than ``limit``, the newest. ``about`` is a message id or a trace id.
    """

    after: int = -1
    actor: str = ""
    kinds: tuple[str, ...] = ()
    about: int = 0
    limit: int = 5_000


def matching(records: Iterable[TraceRecord], query: TraceQuery) -> list[TraceRecord]:
    """The records that a query asks for, oldest first."""
    found = [
        record
        for record in records
        if record.seq > query.after
        and (not query.actor or query.actor in (record.actor, record.other))
        and (not query.kinds or record.kind in query.kinds)
        and (not query.about or query.about in (record.msg_id, record.cause_id, record.trace_id))
    ]
    return found[-max(1, min(query.limit, MAX_RECORDS)) :]


class TraceActor(Actor):
    """Answers ``TraceQuery`` about its own process."""

    def on_receive(self, message: object) -> dict[str, Any]:
        if not isinstance(message, TraceQuery):
            raise ReplyError(f"trace answers TraceQuery, not {type(message).__name__}")
        ring = self.ctx.system.trace
        held = ring.snapshot(message.after)
        last = held[-1].seq if held else ring.newest()
        records = [list(record) for record in matching(held, message)]
        return {"node": ring.node, "wall_ns": ring.wall_ns, "last": last, "records": records}
