"""``/api/inbox``: what people are asked, and their word on it (P18)."""

from __future__ import annotations

import secrets
from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from covend.api import events
from covend.api.operations import Call, Nothing, Stream, operation, reply
from covend.api.queries import After, Limit
from covend.api.shapes import shaped, task_of
from covend.client.models import (
    Accept,
    Decline,
    ProblemDetails,
    Submission,
    Task,
    TaskPage,
    TaskState,
)
from covend.patterns.query.spec import Spec
from covend.questions import ActOnTask, ListTasks, ShowTask

WORD = {200: Task, 404: ProblemDetails, 409: ProblemDetails, 422: ProblemDetails}
"""How a person's word may be answered: 409 once the task has had its last."""


class ListParams(Spec, frozen=True, kw_only=True):
    """Whose tasks, in which state; everybody's, or the key's own, if nobody is named."""

    did: str | None = None
    state: TaskState | None = None
    limit: Limit = 50
    after: After = 0


class PersonParams(Spec, frozen=True, kw_only=True):
    """Whose; everybody's, or the key's own, if nobody is named."""

    did: str | None = None


@operation("GET", "/api/inbox", "The tasks of one person, or of all",
           params=ListParams, answers={200: TaskPage})  # fmt: skip
async def listing(call: Call[ListParams, Nothing]) -> Response[Any]:
    """One page of tasks, oldest first."""
    params = call.params
    did = call.speaker(params.did)
    question = ListTasks(did, params.state, params.limit, params.after)
    return reply(shaped(await call.desk.ask(question), TaskPage))


@operation("GET", "/api/inbox/events", "Tasks as they come and change",
           params=PersonParams, answers={200: Stream(Task)},
           about="Events `task`; once every task that waits has come, one event `told` says how "
           "many they are, and whether there are more than it tells of. What an earlier stream "
           "told of and this one has not by then waits no more.")  # fmt: skip
async def follow(call: Call[PersonParams, Nothing]) -> Response[Any]:
    """A stream without end: first every task that waits, then each that is new or changes."""
    did = call.speaker(call.params.did)
    await call.desk.ask(ListTasks(did, limit=1))
    return events.stream(events.of_inbox(call.desk, did))


@operation("GET", "/api/inbox/{task}", "One task",
           params=PersonParams, answers={200: Task, 404: ProblemDetails},
           about="A task and each delegate's share its id: `did` says whose is meant.")  # fmt: skip
async def show(call: Call[PersonParams, Nothing]) -> Response[Any]:
    """One task; for a key that names a did, one of its own."""
    question = ShowTask(call.part("task"), call.speaker(call.params.did))
    return reply(task_of(await call.desk.ask(question)))


@operation(
    "POST",
    "/api/inbox/{task}/accept",
    "Take a task on",
    body=Accept,
    answers=WORD,
    headers={"Idempotency-Key": "The same key is the same word: its eta counts once."},
)
async def accept(call: Call[Nothing, Accept]) -> Response[Any]:
    """Accept with an eta, which extends the wait."""
    word = call.body
    # Without a key of the client's it gets one of ours: the core may have to be asked twice.
    key = call.idempotency_key() or secrets.token_hex(32)
    message = ActOnTask(call.part("task"), "accept", word.did, eta_secs=word.eta_secs, key=key)
    return await _act(call, message)


@operation("POST", "/api/inbox/{task}/decline", "Decline a task for good",
           body=Decline, answers=WORD)  # fmt: skip
async def decline(call: Call[Nothing, Decline]) -> Response[Any]:
    """Decline, with a reason."""
    word = call.body
    message = ActOnTask(
        call.part("task"), "decline", word.did, reason=word.reason, rationale=word.note
    )
    return await _act(call, message)


@operation("POST", "/api/inbox/{task}/submit", "Answer a task", body=Submission, answers=WORD)
async def submit(call: Call[Nothing, Submission]) -> Response[Any]:
    """Submit an answer, which must have the shape that was asked for."""
    word = call.body
    message = ActOnTask(
        call.part("task"),
        "submit",
        word.did,
        value=word.value,
        confidence=word.confidence,
        rationale=word.rationale,
    )
    return await _act(call, message)


async def _act(call: Call[Nothing, Any], message: ActOnTask) -> Response[Any]:
    call.speaker(message.did)
    await call.desk.ask(message)
    return reply(task_of(await call.desk.ask(ShowTask(message.id, message.did))))


ROUTES: tuple[HTTPRouteHandler, ...] = (listing, follow, show, accept, decline, submit)
