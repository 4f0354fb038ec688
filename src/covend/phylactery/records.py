"""Records: what the phylactery keeps. A record is named by the hash of its content (D1)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any, Literal, cast, get_args

import msgspec

from covend.phylactery.canonical import MAX_SAFE_INTEGER, canonical, parse

Act = Literal["INTEND", "DO", "KNOW", "LEARN", "CALL", "GET", "PUT", "MAP"]
ACTS: frozenset[str] = frozenset(get_args(Act))

_encode = msgspec.json.Encoder().encode


class BadRecord(ValueError):
    """A record that may not be stored: says which member is wrong and what would be right."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that was intended, done or learned, and never changes again.

    ``thread`` groups the records of one story (a transition, a job, a soulstone), ``kind`` says
    what its body is, and ``text`` is that body's canonical JSON, empty where it was purged (D4).
    ``clock`` is a hybrid clock: microseconds since 1970 by the wall, but always later than every
    parent's. Build one with ``record()``: ``id`` follows from all the rest.
    """

    id: str
    thread: str
    actor: str
    act: Act
    kind: str
    text: str
    clock: int
    parents: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The body as data of the caller's own; raises ``BadRecord`` if it is not a JSON object."""
        return parse_body(self.text) if self.text else {}


class _Content(msgspec.Struct, frozen=True):
    """What an id is the hash of; the order of the members is that of canonical JSON."""

    act: str
    actor: str
    body: msgspec.Raw
    clock: int
    kind: str
    parents: tuple[str, ...]
    thread: str


def record(
    thread: str,
    kind: str,
    body: dict[str, Any],
    *,
    actor: str,
    act: Act = "KNOW",
    clock: int | None = None,
    parents: Iterable[Record | str] = (),
) -> Record:
    """A new record, with its id; ``clock`` is now unless given.

    Raises ``BadRecord`` for an unknown act or an empty name, ``NotCanonical`` for a body that is
    not JSON. Parents may be records (then the clock is set after theirs) or ids.
    """
    above = list(parents)
    if clock is None:
        known = (parent.clock + 1 for parent in above if isinstance(parent, Record))
        clock = max(time.time_ns() // 1000, *known, 0)
    ids = tuple([parent.id if isinstance(parent, Record) else parent for parent in above])
    if not (thread and kind and actor):
        names = f"thread {thread!r}, kind {kind!r}, actor {actor!r}"
        raise BadRecord(f"a record needs a thread, a kind and an actor, not {names}")
    if act not in ACTS:
        raise BadRecord(f"act is {act!r}: it must be one of {', '.join(sorted(ACTS))}")
    if not isinstance(cast(object, body), dict):
        raise BadRecord(f"the body of a {kind!r} record must be an object, not {body!r}")
    text = canonical(body).decode()
    if type(clock) is not int or abs(clock) > MAX_SAFE_INTEGER:
        raise BadRecord(f"the clock must be an integer within ±(2^53-1), not {clock!r}")
    return Record(
        id=content_id(thread, actor, act, kind, text, clock, ids),
        thread=thread,
        actor=actor,
        act=act,
        kind=kind,
        text=text,
        clock=clock,
        parents=ids,
    )


def content_id(
    thread: str, actor: str, act: str, kind: str, body: str, clock: int, parents: tuple[str, ...]
) -> str:
    """The id of a record: sha256 over the canonical JSON of everything else in it (D1).

    ``body`` is canonical JSON already and goes in as it is. Raises ``NotCanonical`` for a name
    that is not Unicode text.
    """
    content = _Content(act, actor, msgspec.Raw(body.encode()), clock, kind, parents, thread)
    try:
        text = _encode(content)
    except UnicodeEncodeError:
        text = canonical({**msgspec.structs.asdict(content), "body": None})  # says which name it is
    return hashlib.sha256(text).hexdigest()


def is_intact(entry: Record) -> bool:
    """True if the record's id is the hash of its content."""
    return entry.id == content_id(
        entry.thread, entry.actor, entry.act, entry.kind, entry.text, entry.clock, entry.parents
    )


def as_dict(entry: Record, seq: int) -> dict[str, Any]:
    """The record as plain data for a message, with its place in the store as ``seq``."""
    return {
        "seq": seq,
        "id": entry.id,
        "thread": entry.thread,
        "actor": entry.actor,
        "act": entry.act,
        "kind": entry.kind,
        "body": entry.body,
        "clock": entry.clock,
        "parents": list(entry.parents),
    }


def parse_body(text: str) -> dict[str, Any]:
    """The stored body as data; raises ``BadRecord`` if it is not a JSON object."""
    try:
        body = parse(text)
    except ValueError as error:
        raise BadRecord(f"the stored body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRecord("the stored body is not an object")
    return cast("dict[str, Any]", body)
