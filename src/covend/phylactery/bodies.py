"""What the projections read in the bodies of a run's records; the rest is the executor's (P1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

import msgspec

from covend.phylactery.records import BadRecord, Record
from covend.resolving import resolved

CallName = Annotated[str, msgspec.Meta(pattern=r"#-?\d{1,15}$")]
"""``SLOT#ATTEMPT``."""


class Timer(msgspec.Struct, frozen=True):
    """A timer to set; ``due`` is microseconds since 1970. The same name replaces it."""

    name: str
    due: int


class Timers(msgspec.Struct, frozen=True, kw_only=True):
    """The timers that a record sets and cancels; a cancelled one may be set again by it."""

    timers: list[Timer] = []
    cancel_timers: list[str] = []


class Responder(msgspec.Struct, frozen=True):
    """Who is asked: a human or an outside agent (``actor``) has a ``did``."""

    kind: str | None = None
    did: str | None = None


class Intend(Timers, frozen=True, kw_only=True):
    """Opens a thread; ``parent`` is the thread that asked for it."""

    parent: str | None = None
    query: Any = None

    @property
    def pattern(self) -> str | None:
        """The pattern that the query names, if it names one."""
        found = self.query
        for name in ("orchestration", "pattern"):
            found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
        return found if isinstance(found, str) else None


class Call(Timers, frozen=True, kw_only=True):
    """One try of a slot, written before it is dispatched; ``key`` is its idempotency key."""

    slot: str
    attempt: int
    responder: Responder = Responder()
    deadline: int | None = None
    key: str | None = None


class Do(msgspec.Struct, frozen=True, kw_only=True):
    """A response; ``late`` and ``conflict`` ones are kept beside the one that counts (P12)."""

    slot: str
    attempt: int
    status: str | None = None
    late: bool = False
    conflict: bool = False


class Learn(Timers, frozen=True, kw_only=True):
    """What a run noted: by ``SLOT#ATTEMPT``, what calls were closed as, until when they were
    extended, and who was asked beside who is silent.
    """

    closed: dict[CallName, str] = {}
    extended: dict[CallName, int] = {}
    delegate: dict[CallName, str] = {}


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A timer that fired."""

    name: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a job: the ``run`` that it works for, if it does."""

    run: str | None = None


Body = TypeVar("Body", bound=msgspec.Struct)


@lru_cache
def _decoder(form: type[Body]) -> msgspec.json.Decoder[Body]:
    return msgspec.json.Decoder(resolved(form))


def read(entry: Record, form: type[Body]) -> Body:
    """The body of a record in this form; raises ``BadRecord`` saying which member is wrong."""
    try:
        return _decoder(form).decode(entry.text)
    except msgspec.ValidationError as error:
        raise BadRecord(f"the body of the {entry.kind!r} record {entry.id}: {error}") from None
