"""What the actors of a run say to each other inside the core (P1–P4).

Everything for a run goes through the desk, which knows whether its execution is there and starts
it where it is not. A *call* here is the body of a ``call`` record; clocks are microseconds.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from covend.actors.responders.trust import Outcome
from covend.patterns.answers.understanding import Raw
from covend.patterns.responders.responder import Responder
from covend.phylactery.records import Record
from covend.questions import ActOnTask
from covend.runtime import Message, Promise

Happening: TypeAlias = Literal["assigned", "reminder", "delegated", "withdrawn"]
"""What a person is told about a task (P18)."""

# ── to an execution, through the desk ────────────────────────────────────────────────────────


class Routed(Message, frozen=True):
    """A message for a run, numbered by the desk so that it knows what has been handled."""

    number: int
    message: object


class Rouse(Message, frozen=True):
    """Be there: read the run's records and go on with it."""


class Returned(Message, frozen=True):
    """What came of one call, repeated until it is ``Recorded``.

    ``declined`` says why a function has no answer to such a question.
    """

    thread: str
    call: str
    raw: Raw
    declined: str | None = None


class Unclear(Message, frozen=True):
    """A call may have been carried out before a crash, and its query says to ask (P4)."""

    thread: str
    call: str


class Ticked(Message, frozen=True):
    """A timer of a run is due."""

    thread: str
    name: str
    due: int


class Word(Message, frozen=True):
    """A person's word on a task (P18)."""

    call: str
    order: ActOnTask
    promise: Promise


class Cancelling(Message, frozen=True):
    """Cancel the run (P14)."""

    reason: str
    promise: Promise


# ── from an execution ────────────────────────────────────────────────────────────────────────


class Resting(Message, frozen=True):
    """To the desk: nothing to do after message ``number``; the run may be passivated (P6)."""

    thread: str
    number: int


class Wrote(Message, frozen=True):
    """To the desk: the run has new records, and began these others.

    ``know`` is its end's body, ``due`` when the earliest timer is due that they set.
    """

    thread: str
    begun: tuple[str, ...] = ()
    know: dict[str, Any] | None = None
    due: int | None = None


class SetAside(Message, frozen=True):
    """To the desk: the run is quarantined; nobody shall rouse it (P2)."""

    thread: str


class Notice(Message, frozen=True):
    """To the desk, and on to the herald: tell a person about a task (P18).

    ``dids`` are who is to be told; a ``question`` of None is read when it is needed. ``live`` are
    those whose page is open and was told. ``accepted`` says that somebody promised an answer.
    ``ticks`` are the clocks at which its reminders were due.
    """

    happening: Happening
    task: str
    dids: tuple[str, ...]
    question: str | None
    due: int
    asked: int
    live: tuple[str, ...] = ()
    accepted: bool = False
    ticks: tuple[int, ...] = ()


class PageClosed(Message, frozen=True):
    """To the herald: this person looks at no page any more."""

    did: str


class OpenPages(Message, frozen=True):
    """An ask to the desk, answered with the dids of those who look at their page, a tuple."""


class Joining(Message, frozen=True):
    """An ask to the desk: store these records, and what the joins among them begin (P7).

    ``joins`` are trigger bodies with a join. Answered with the threads that were begun.
    """

    records: tuple[Record, ...]
    joins: tuple[dict[str, Any], ...]


class Dispatch(Message, frozen=True):
    """To the courier: carry this call out, once.

    ``again`` says that it may have been carried out before; ``policy`` is the query's
    ``on_indeterminate`` (P4). ``recorded`` is as in ``Recorded``.
    """

    thread: str
    call: dict[str, Any]
    responder: Responder
    klass: str
    policy: Literal["redispatch", "fail", "ask"]
    again: bool = False
    recorded: tuple[str, ...] = ()


class Recorded(Message, frozen=True):
    """To the courier: the answers to these calls are durable and need not be kept.

    Calls are named as by ``call_name``.
    """

    calls: tuple[str, ...]


class Withdraw(Message, frozen=True):
    """To the courier: nobody waits for these calls any more (P12, P14).

    Calls are named as by ``call_name``. It never overtakes their ``Dispatch``.
    """

    calls: tuple[str, ...]


def call_name(thread: str, call: str) -> str:
    """The name of a call among those of all runs.

    Usually also the idempotency key; work sent again keeps its first attempt's key.

    >>> call_name("q-1", "primary/0#2")
    'q-1/primary/0#2'
    """
    return f"{thread}/{call}"


class Look(Message, frozen=True):
    """To the timekeeper: see what is due now."""


class Looked(Message, frozen=True):
    """From the timekeeper: when the next timer is due of those that were stored when it looked."""

    due: int


class Learned(Message, frozen=True):
    """To the registry: what an ended run says of those it asked (P8)."""

    thread: str
    outcomes: tuple[Outcome, ...]


# ── other ────────────────────────────────────────────────────────────────────────────────────


class Known(Message, frozen=True):
    """An ask to the registry, answered with every responder as it is now, a tuple."""


class Recover(Message, frozen=True):
    """To the desk, when all who serve runs are there: go on where the last core stopped (P4)."""
