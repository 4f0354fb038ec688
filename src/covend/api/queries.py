"""``/api/queries``: ask, wait, list, cancel, follow."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import Annotated, Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta

from covend.api import events
from covend.api.operations import OPERATORS, Call, Nothing, Stream, operation, reply
from covend.api.problems import Problem
from covend.api.shapes import answer_of, shaped, view_of
from covend.client.models import (
    Answer,
    Cancel,
    Event,
    ProblemDetails,
    QueryPage,
    QueryView,
    RecordPage,
    Settle,
    State,
    Ticket,
)
from covend.patterns.query.spec import Query, Spec
from covend.questions import (
    ASK_SECONDS,
    CancelQuery,
    EndOf,
    ListQueries,
    RecordsOf,
    SettleCall,
    ShowQuery,
    SubmitQuery,
    is_over,
)

MAX_WAIT = 3600.0
CANCEL_SECONDS = 30.0
MAX_CLOCK = 2**53 - 1
OWN = "A key that names a did cancels only what a key with the same did asked; else 403."

Wait = Annotated[float, Meta(ge=0, le=MAX_WAIT, description="Seconds to wait for it.")]
After = Annotated[int, Meta(ge=0, le=MAX_CLOCK, description="Only what comes after this.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="At most so many.")]


class SubmitParams(Spec, frozen=True, kw_only=True):
    """How long to wait for the answer; at once with where it will be if this is left out."""

    wait: Wait = 0.0


class ListParams(Spec, frozen=True, kw_only=True):
    """Which queries."""

    state: State | None = None
    parent: str | None = None
    limit: Limit = 50
    after: After = 0


class RecordParams(Spec, frozen=True, kw_only=True):
    """Which records."""

    after: After = 0
    wait: Wait = 0.0


class EventParams(Spec, frozen=True, kw_only=True):
    """Where to begin; ``Last-Event-ID`` wins."""

    after: After = 0


@operation(
    "POST",
    "/api/queries",
    "Ask a question, and wait for its answer or not",
    params=SubmitParams,
    body=Query,
    headers={"Idempotency-Key": "The same key is the same query, never a second one."},
    answers={200: Answer, 202: Ticket, 409: ProblemDetails, 422: ProblemDetails},
    returns={"Location": "Where the query is."},
    unread=True,
)
async def submit(call: Call[SubmitParams, Any]) -> Response[Any]:
    """Admit a query durably; 200 with its end if that came within ``wait``, else 202 (P7)."""
    # Without a key of the client's it gets one of ours: the core may have to be asked twice.
    key = call.idempotency_key() or secrets.token_hex(32)
    deadline = asyncio.get_running_loop().time() + seconds(call.params.wait)
    ticket = shaped(await call.desk.ask(SubmitQuery(call.body, key, call.speaker(None))), Ticket)
    where = f"/api/queries/{ticket.id}"
    if call.params.wait:
        end = await _until_ended(call, ticket, deadline)
        if end is not None:
            return reply(end, 200, Location=where)
    return reply(ticket, 202, Location=where)


async def _until_ended(
    call: Call[SubmitParams, Any], ticket: Ticket, deadline: float
) -> Answer | None:
    """The end of a query; None where it cannot be shown or come in time, or nobody waits."""
    loop = asyncio.get_running_loop()
    leaving = asyncio.ensure_future(call.request.receive())  # all that can come is the client's end
    try:
        while (left := deadline - loop.time()) > 0 and not leaving.done():
            wait = min(left, events.WAIT_SECONDS)
            told = await call.desk.ask(EndOf(ticket.id, wait), wait + ASK_SECONDS)
            if told["know"] is not None:
                return answer_of(ticket.id, shaped(told["know"], Answer))
            if told["state"] == "ended":
                return None  # its record is damaged, and nothing comes after it
        return None
    except Problem as problem:
        if problem.status == 503:
            return None  # it is admitted and durable: the client can look for it later
        raise
    finally:
        leaving.cancel()


def seconds(value: float) -> float:
    """A number of seconds; raises ``Problem`` (400) for what is none, which bounds let pass."""
    if math.isnan(value):
        raise Problem(400, "malformed", "wait: a number of seconds is right")
    return value


@operation("GET", "/api/queries", "The queries, newest first",
           params=ListParams, answers={200: QueryPage}, about=OPERATORS)  # fmt: skip
async def listing(call: Call[ListParams, Nothing]) -> Response[Any]:
    """One page of queries."""
    call.operators()
    params = call.params
    question = ListQueries(params.state, params.parent, params.limit, params.after)
    return reply(shaped(await call.desk.ask(question), QueryPage))


@operation("GET", "/api/queries/{id}", "One query, and its end once it has one",
           answers={200: QueryView, 404: ProblemDetails},
           about="For every key: an id cannot be guessed, and who knows it may read.")  # fmt: skip
async def show(call: Call[Nothing, Nothing]) -> Response[Any]:
    """One query."""
    return reply(view_of(await call.desk.ask(ShowQuery(call.part("id")))))


@operation("POST", "/api/queries/{id}/cancel", "Cancel a query",
           body=Cancel, body_required=False, about=OWN,
           answers={200: QueryView, 404: ProblemDetails, 409: ProblemDetails})  # fmt: skip
async def cancel(call: Call[Nothing, Cancel]) -> Response[Any]:
    """Cancel, and say what it ended as: its answer, if that was there first (P14)."""
    return await _cancel(call, call.body.reason)


@operation("DELETE", "/api/queries/{id}", "Cancel a query", about=OWN,
           answers={200: QueryView, 404: ProblemDetails, 409: ProblemDetails})  # fmt: skip
async def delete(call: Call[Nothing, Nothing]) -> Response[Any]:
    """The same as ``cancel``, without a reason."""
    return await _cancel(call, "")


async def _cancel(call: Call[Nothing, Any], reason: str) -> Response[Any]:
    name = call.part("id")
    await call.desk.ask(CancelQuery(name, reason, call.speaker(None)), CANCEL_SECONDS)
    return reply(view_of(await call.desk.ask(ShowQuery(name))))


@operation("POST", "/api/queries/{id}/settle", "Say what becomes of an unclear call",
           body=Settle, about=OPERATORS,
           answers={200: QueryView, 404: ProblemDetails, 409: ProblemDetails})  # fmt: skip
async def settle(call: Call[Nothing, Settle]) -> Response[Any]:
    """Of a query whose ``on_indeterminate`` is ``ask``, after a crash (P4)."""
    call.operators()
    name, body = call.part("id"), call.body
    await call.desk.ask(ShowQuery(name))
    await call.desk.ask(SettleCall(name, body.call, body.how))
    return reply(view_of(await call.desk.ask(ShowQuery(name))))


@operation("GET", "/api/queries/{id}/records", "What happened, record by record",
           params=RecordParams, answers={200: RecordPage, 404: ProblemDetails})  # fmt: skip
async def records(call: Call[RecordParams, Nothing]) -> Response[Any]:
    """The records after a sequence number, waiting for the first if there is none."""
    wait = min(seconds(call.params.wait), events.WAIT_SECONDS)
    question = RecordsOf(call.part("id"), call.params.after, wait)
    return reply(shaped(await call.desk.ask(question, wait + ASK_SECONDS), RecordPage))


@operation("GET", "/api/queries/{id}/events", "What happens, as it happens",
           params=EventParams,
           headers={"Last-Event-ID": "The sequence number to go on after."},
           answers={200: Stream(Event), 204: None, 404: ProblemDetails})  # fmt: skip
async def follow(call: Call[EventParams, Nothing]) -> Response[Any]:
    """Every record as an event, up to the end; 204 tells a client that has seen all to stop."""
    name, after = call.part("id"), last_event(call)
    if after is None:
        after = call.params.after
    found = await call.desk.ask(RecordsOf(name, after))
    if is_over(found):
        return Response(None, status_code=204)
    return events.stream(events.of_query(call.desk, name, after, found))


def last_event(call: Call[Any, Any]) -> int | None:
    """The number in ``Last-Event-ID``; raises ``Problem`` (400) for what is none."""
    given = call.header("last-event-id")
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and int(given[:17]) <= MAX_CLOCK):
        raise Problem(400, "last_event_id", "Last-Event-ID: a sequence number is right")
    return int(given[:17])


ROUTES: tuple[HTTPRouteHandler, ...] = (
    submit, listing, show, cancel, delete, settle, records, follow,
)  # fmt: skip
