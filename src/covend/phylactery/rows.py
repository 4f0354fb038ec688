"""Between a record and its row in the store; what is read is compared with its id (D1, D5)."""

from __future__ import annotations

from typing import Any

import msgspec

from covend.phylactery.database import Row
from covend.phylactery.records import BadRecord, Record, as_dict, content_id, is_intact
from covend.phylactery.schema import is_working

COLUMNS = "seq, id, thread, actor, act, kind, clock, body, parents"
INSERT = (
    f"INSERT INTO record ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
PURGED_BODY = ""
"""No canonical JSON, so it cannot be taken for the body of a record."""

NewRow = tuple[str, str, str, str, str, int, str, str]
"""A row without its ``seq``."""


_TYPES = (int, str, str, str, str, str, int, str, str)
_encode = msgspec.json.Encoder().encode
_parents = msgspec.json.Decoder(tuple[str, ...]).decode


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record in its place; where it was ``purged``, its body is empty and its hash unknown."""

    seq: int
    record: Record
    purged: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a message; a purged record says so under ``purged``."""
        plain = as_dict(self.record, self.seq)
        return {**plain, "purged": True} if self.purged else plain


def to_row(entry: Record) -> NewRow:
    """The row of a record; raises ``BadRecord`` if the record is not named by its content (D1)."""
    if not is_intact(entry):
        raise BadRecord(f"record {entry.id!r} is not named by its content: use record()")
    return _row(entry, entry.text)


def to_purged_row(entry: Record) -> NewRow:
    """The row of a record whose body was purged elsewhere (D4)."""
    return _row(entry, PURGED_BODY)


def from_row(row: Row) -> Entry:
    """The record of a row; raises ``ValueError`` if the row is not what was stored."""
    if tuple(map(type, row)) != _TYPES:
        raise BadRecord("its columns have the wrong types")
    seq, id_, thread, actor, act, kind, clock, body, parents_text = row
    parents = _parents(parents_text)
    purged = body == PURGED_BODY
    if purged:
        if not is_working(kind, act):
            raise BadRecord(f"a {kind!r} record has no body, and its kind is never purged")
    elif content_id(thread, actor, act, kind, body, clock, parents) != id_:
        raise BadRecord("its content is not what its id names")
    entry = Record(
        id=id_,
        thread=thread,
        actor=actor,
        act=act,
        kind=kind,
        text=body,
        clock=clock,
        parents=parents,
    )
    return Entry(seq, entry, purged)


def _row(entry: Record, body: str) -> NewRow:
    return (
        entry.id,
        entry.thread,
        entry.actor,
        entry.act,
        entry.kind,
        entry.clock,
        body,
        _encode(entry.parents).decode(),
    )
