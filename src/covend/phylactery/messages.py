"""What the phylactery actor is asked. A refusal is a ``ReplyError``.

Its text begins with ``conflict:`` for records that contradict stored ones, ``not stored:``,
``not known to be stored:`` where the server was lost meanwhile, or ``not read:``. Clocks are
microseconds since 1970. Of pages, ``after`` is the last ``seq`` seen and ``limit=None`` is all.
"""

from __future__ import annotations

import msgspec

from covend.phylactery.records import Record
from covend.runtime import Message

NOT_NOW = ("not stored:", "not known to be stored:", "not read:")
"""So a refusal begins that may be over when the same is asked again, as of a full disk."""


class Append(Message, frozen=True):
    """Store these records, all or none, and in the same commit those that follow from them.

    ``then`` is all or none as well, and nothing where ``records`` are refused. Asked, it is
    answered with how many were new once all are durable; told, nobody waits.
    """

    records: list[Record]
    then: list[Record] = msgspec.field(default_factory=list[Record])


class Query(Message, frozen=True):
    """Answered with records as plain dicts (``seq``, ``id``, ``thread``, …, ``body``).

    ``after`` is a ``seq``; ``limit=None`` is all of them. Where one is not what was stored, all
    are refused; but with ``damaged`` that one has only its ``seq`` and what is wrong, ``damaged``.
    """

    kind: str | None = None
    thread: str | None = None
    after: int = 0
    limit: int | None = None
    newest_first: bool = True
    damaged: bool = False


class Latest(Message, frozen=True):
    """Answered with the newest record of this kind in this thread, or None."""

    kind: str
    thread: str


class Find(Message, frozen=True):
    """Answered with the record of this id, or None."""

    id: str


class Thread(Message, frozen=True):
    """Answered with the row of this run as in ``Threads``, or None."""

    name: str


class Threads(Message, frozen=True):
    """Answered with runs, oldest first unless told otherwise, as plain dicts.

    They have ``seq``, ``id``, ``intend`` (a record's id), ``state`` (``open`` or ``ended``),
    ``opened``, ``ended``, ``parent``, ``pattern`` and ``know`` (a record's id). Newest first,
    ``after`` is the ``seq`` to come before.
    """

    state: str | None = None
    parent: str | None = None
    after: int = 0
    limit: int | None = None
    newest_first: bool = False


class Unfinished(Message, frozen=True):
    """Answered with the ids of open runs whose last record is one of these kinds (P4).

    With the kinds that come from outside, these are the runs of which something may be missing.
    """

    kinds: list[str]


class Tasks(Message, frozen=True):
    """Answered with what humans are asked to do, oldest first, as plain dicts (P18).

    They have ``seq``, ``thread``, ``slot``, ``attempt``, ``did``, ``state``, ``due`` and
    ``opened``.
    """

    did: str | None = None
    state: str | None = None
    after: int = 0
    limit: int | None = None
    thread: str | None = None


class OpenCalls(Message, frozen=True):
    """Answered with the calls that wait for their answer, oldest first, as plain dicts (P4).

    They have ``seq``, ``thread``, ``slot``, ``attempt``, ``call``, ``responder``, ``due``, ``key``.
    """

    thread: str | None = None
    after: int = 0
    limit: int | None = None


class Due(Message, frozen=True):
    """Answered with the timers due at ``now``, earliest first (``thread``, ``name``, ``due``)."""

    now: int
    limit: int | None = None


class NextDue(Message, frozen=True):
    """Answered with the clock of the earliest timer that is due after this one, or None."""

    after: int = 0


class Purge(Message, frozen=True):
    """Empty the working records of runs that ended before this clock (D4).

    Done in bounded batches between which appends are stored; answered with how many were emptied.
    """

    before: int
