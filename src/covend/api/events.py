"""Server-sent events: a query's records, and what changes in an inbox.

A stream is a loop of asks, so it outlives a core that restarts; a comment now and then shows both
ends that the other is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from litestar import Response
from litestar import response as responses

from covend.api.desk import Desk
from covend.api.problems import Problem
from covend.api.shapes import task_of, tasks_of
from covend.client.models import Event, Task
from covend.questions import ASK_SECONDS, WAITING, ListTasks, RecordsOf, ShowTask, is_over
from covend.resolving import resolved

log = logging.getLogger(__name__)

WAIT_SECONDS = 15.0
"""How long one ask waits for something new; a comment follows where nothing came."""
INBOX_SECONDS = 5.0
"""As long for an inbox, where a new task ends the wait and not every change of an old one does."""
PATIENCE_SECONDS = WAIT_SECONDS + ASK_SECONDS
RESTING_SECONDS = 1.0
"""Between two looks at an inbox, however much happens in it, and before asking a core again."""
RESTING_SHARE = 10.0
"""And so many times as long as the look took: a page of thousands leaves the core to others."""
PAGE = 200
MAX_TASKS = 2000
"""Of one state in one inbox: the oldest, of which a person can hardly see the end."""
COMMENT = b":\n\n"
LAST_KIND = "know"
Key: TypeAlias = tuple[str, str | None]
"""A task and its person: where a delegate was asked as well, two people have one task."""
NOTHING_YET: dict[str, Any] = {"records": [], "ended": False, "set_aside": False}


class Told(msgspec.Struct, frozen=True):
    """The event ``told``: every task that waits has been told of; ``more`` if some have not.

    What was told of earlier, in another connection, and not in this one waits no more.
    """

    tasks: int
    more: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What waits in an inbox, after what sequence a new task comes, and whether there is more."""

    tasks: dict[Key, Task]
    after: int
    more: bool


def frame(name: str, value: msgspec.Struct, number: int | None = None) -> bytes:
    """One event; its number is what ``Last-Event-ID`` resumes after."""
    head = f"event: {name}\n" if number is None else f"id: {number}\nevent: {name}\n"
    return head.encode() + b"data: " + msgspec.json.encode(value) + b"\n\n"


def stream(events: AsyncIterator[bytes]) -> Response[Any]:
    """A response that lasts as long as its events and its client."""
    return responses.Stream(
        events,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def of_query(
    desk: Desk, name: str, after: int, found: dict[str, Any]
) -> AsyncIterator[bytes]:
    """Every record after sequence ``after``, to the one that ends the query.

    ``found`` is the desk's first answer, so that an unknown query is refused with a status.
    """
    while True:
        for entry in found["records"]:
            event = msgspec.convert(entry, resolved(Event))
            yield frame(event.kind, event, event.seq)
            if event.kind == LAST_KIND:
                return
            after = event.seq
        if is_over(found):
            return
        if not found["records"]:
            yield COMMENT
        try:
            found = await desk.ask(
                RecordsOf(id=name, after=after, wait=WAIT_SECONDS), PATIENCE_SECONDS
            )
        except Problem as problem:
            if not await _rest(problem):
                return
            found = NOTHING_YET


async def of_inbox(desk: Desk, did: str | None) -> AsyncIterator[bytes]:
    """Every task that waits for its person, and each again whenever it has changed (P18).

    Once all that waits was told comes ``told``.
    """
    loop = asyncio.get_running_loop()
    known: dict[Key, Task] = {}
    begun = False
    while True:
        try:
            started = loop.time()
            now = await _waiting(desk, did)
            gone = await _gone(desk, known.keys() - now.tasks.keys())
            took = loop.time() - started
            for task in [*now.tasks.values(), *gone]:
                if known.get(_key(task)) != task:
                    yield frame("task", task)
            known = now.tasks
            if not begun:
                yield frame("told", Told(len(known), now.more))
                begun = True
            await asyncio.sleep(max(RESTING_SECONDS, RESTING_SHARE * took))
            news = ListTasks(did=did, state="open", after=now.after, limit=1, wait=INBOX_SECONDS)
            await desk.ask(news, INBOX_SECONDS + PATIENCE_SECONDS)
        except Problem as problem:
            if not await _rest(problem):
                return
        yield COMMENT


async def _waiting(desk: Desk, did: str | None) -> Look:
    """The tasks that are open or accepted, page by page up to ``MAX_TASKS`` of each state."""
    found: dict[Key, Task] = {}
    after, more = 0, False
    for state in WAITING:
        come: int | None = 0
        listed = 0
        while come is not None and listed < MAX_TASKS:
            page = await desk.ask(ListTasks(did=did, state=state, limit=PAGE, after=come))
            tasks = tasks_of(page)
            found.update((_key(task), task) for task in tasks)
            after = max([after, *(task.seq for task in tasks)])
            listed += len(tasks)
            come = page["next"]
        more = more or come is not None
    return Look(found, after, more)


async def _gone(desk: Desk, keys: set[Key]) -> list[Task]:
    """What became of tasks that wait no more; nothing is said of those that are purged."""
    found: list[Task] = []
    for name, did in keys:
        try:
            found.append(task_of(await desk.ask(ShowTask(name, did))))
        except Problem as problem:
            if problem.status != 404:
                raise
    return found


def _key(task: Task) -> Key:
    return (task.id, task.did)


async def _rest(problem: Problem) -> bool:
    """Wait before the next ask of a core that is away; False where asking again cannot help.

    The stream then ends, and its client hears why when it comes again.
    """
    if problem.status != 503:
        log.warning("a stream of events ends: %s", problem)
        return False
    await asyncio.sleep(RESTING_SECONDS)
    return True
