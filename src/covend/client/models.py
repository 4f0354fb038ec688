"""What the HTTP API answers, as types: the API writes them and the client reads them.

Clocks are microseconds since 1970. Members that a newer box adds are dropped when read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from covend.patterns.query.names import DeclineReason, Status
from covend.patterns.query.spec import AnswerShape
from covend.patterns.responders.responder import KnownResponder

State: TypeAlias = Literal["open", "ended"]
TaskState: TypeAlias = Literal["open", "accepted", "submitted", "declined", "expired", "withdrawn"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer of the API has in common."""


class Spent(Model, frozen=True, kw_only=True):
    """US dollars: settled by answers, still reserved by open calls, and spent over the limit."""

    settled: float = 0.0
    reserved: float = 0.0
    overrun: float = 0.0


class Part(Model, frozen=True, kw_only=True):
    """What one responder said, whether or not it went into the answer."""

    call: str
    responder: str = ""
    status: str = ""
    value: Any = None
    problem: Any = None


class Answer(Model, frozen=True, kw_only=True):
    """The end of a query: its answer, or the code and the reason why there is none.

    ``folded`` names the calls the answer was made of; ``partial`` is what the others said.
    ``audit``, ``advisory`` and ``disagreement`` are what the patterns of those names add;
    ``stage``, ``tier`` and ``attempts`` say where a waterfall, an escalation or a retry ended.
    ``obligations`` are what was promised by the answers it was made of.
    ``left_out`` names, by path, what was too large to be shown and is null here.
    """

    id: str = ""
    status: Status
    answer: Any = None
    confidence: float | None = None
    code: str | None = None
    reason: str | None = None
    folded: tuple[str, ...] = ()
    partial: tuple[Part, ...] = ()
    cost: Spent = Spent()
    audit: Any = None
    advisory: Any = None
    disagreement: Any = None
    stage: str | None = None
    tier: str | None = None
    attempts: int | None = None
    obligations: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()


class Ticket(Model, frozen=True, kw_only=True):
    """A query that was admitted and is durable, and where it stands."""

    id: str
    state: State = "open"


class QueryLine(Model, frozen=True, kw_only=True):
    """One query in a list."""

    id: str
    state: State
    opened: int = 0
    ended: int | None = None
    question: str | None = None
    pattern: str | None = None
    parent: str | None = None
    status: str | None = None


class QueryPage(Model, frozen=True, kw_only=True):
    """Queries, newest first; ``next`` is the ``after`` of the following page."""

    queries: tuple[QueryLine, ...]
    next: int | None = None


class DamagedRecord(Model, frozen=True, kw_only=True):
    """A record that is not what was stored: its place in the store, and what is wrong with it."""

    seq: int
    problem: str


class QueryView(Model, frozen=True, kw_only=True):
    """One query: what was asked, whom it called, and its end once it has one.

    ``damaged`` are those of its records of which nothing is shown: ``query`` is null without the
    first, ``know`` without the end, and calls and costs are as the others say.
    ``set_aside`` is why the box does not go on with it; null where it does.
    ``left_out`` names, by path, what was too large to be shown and is null here; the end says its
    own.
    """

    id: str
    state: State
    query: dict[str, Any] | None = None
    opened: int = 0
    ended: int | None = None
    know: Answer | None = None
    calls: tuple[dict[str, Any], ...] = ()
    spent: Spent = Spent()
    damaged: tuple[DamagedRecord, ...] = ()
    set_aside: str | None = None
    left_out: tuple[str, ...] = ()


class Event(Model, frozen=True, kw_only=True):
    """One record of a query's thread: what happened, in ``seq`` order.

    ``left_out`` names, by path, what was too large to be sent and is null here.
    """

    seq: int
    id: str
    thread: str
    kind: str
    act: str
    actor: str
    clock: int
    body: dict[str, Any]
    parents: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class RecordPage(Model, frozen=True, kw_only=True):
    """Records after a sequence number; ``ended`` once the query has its end.

    ``set_aside`` says that it does not go on, and why is said with the query.
    ``damaged`` are those among them that are not what was stored, and are not shown.
    ``next`` is the ``after`` of the following page, where this one is full.
    """

    records: tuple[Event, ...]
    damaged: tuple[DamagedRecord, ...] = ()
    ended: bool
    set_aside: bool = False
    next: int | None = None


class Task(Model, frozen=True, kw_only=True):
    """What a person was asked: the question, what it is about, what an answer must look like.

    ``thread`` is the query that asks.
    ``role`` is why: to answer, to verify, to break a tie, to judge, to audit what ``show`` shows.
    ``due`` is when it expires; accepting it with an eta may move that.
    ``in_place_of`` is whom a delegate stands in for, who is asked as well; null of anybody else.
    ``promised_by`` are those who accepted it and are waited for: all who share it see that.
    ``left_out`` names, by path, what was too large to be shown and is null here.
    """

    id: str
    thread: str = ""
    state: TaskState
    did: str | None = None
    in_place_of: str | None = None
    promised_by: tuple[str, ...] = ()
    role: str = "answer"
    question: str = ""
    input: Any = None
    show: Any = None
    answer_shape: AnswerShape = AnswerShape()
    opened: int = 0
    due: int | None = None
    seq: int = 0
    left_out: tuple[str, ...] = ()


class TaskPage(Model, frozen=True, kw_only=True):
    """Tasks, oldest first; ``next`` is the ``after`` of the following page."""

    tasks: tuple[Task, ...]
    next: int | None = None


class Responders(Model, frozen=True, kw_only=True):
    """Who can be asked, with trust and delays as learned."""

    responders: tuple[KnownResponder, ...]


class Accept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person takes a task on; ``eta_secs`` counts from now and extends the wait (P18)."""

    did: str
    eta_secs: Annotated[float, Meta(gt=0)]


class Decline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person declines a task for good; ``note`` is for people (P18)."""

    did: str
    reason: DeclineReason = "other"
    note: str | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's answer, how sure they are (0 to 1), and why."""

    did: str
    value: Any
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    rationale: str | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a query is cancelled."""

    reason: str = ""


class Settle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a call that may have been carried out before a crash (P4).

    ``call`` is ``SLOT#ATTEMPT``; ``again`` sends it once more, ``failed`` counts it as failed.
    """

    call: str
    how: Literal["again", "failed"]


class Fault(Model, frozen=True, kw_only=True):
    """One thing that is wrong with a request, by its JSON path."""

    path: str
    problem: str


class ProblemDetails(Model, frozen=True, kw_only=True):
    """An error as RFC 9457 has it; ``code`` is for programs, ``detail`` for people."""

    type: str = "about:blank"
    title: str = ""
    status: int
    detail: str = ""
    code: str = ""
    errors: tuple[Fault, ...] = ()


class GateErrorBody(Model, frozen=True, kw_only=True):
    """What the gate says is wrong."""

    message: str
    type: str = ""
    param: str | None = None
    code: str | None = None


class GateError(Model, frozen=True, kw_only=True):
    """An error of the gate, which stands before the API: keys, limits, the API being away."""

    error: GateErrorBody
