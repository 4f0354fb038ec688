"""The tools of the MCP server; they ask the running box and decide nothing.

Needs the ``mcp`` extra. Every tool runs in the server's event loop and waits for the box through
the ``ask`` it was given; a refusal of the box becomes the tool's error, with everything that was
wrong in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeAlias

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import Field

from covend.patterns.query.draft import drafted
from covend.patterns.query.names import DeclineReason, Pattern
from covend.patterns.responders.view import responder_view
from covend.protocol import CONSOLE, StatusQuery
from covend.questions import (
    ASK_SECONDS,
    AWAY,
    DESK,
    POLL_SECONDS,
    RETRY_SECONDS,
    SUBMIT_SECONDS,
    WAITING,
    ActOnTask,
    CancelQuery,
    ListResponders,
    ListTasks,
    RecordsOf,
    ShowQuery,
    ShowTask,
    SubmitQuery,
    faults,
    in_doubt,
    is_over,
    submission,
    unfit,
)

Ask: TypeAlias = Callable[[str, object, float], Awaitable[Any]]
"""Asks an address of the box and gives its answer, or raises what went wrong.

``OSError`` (such as ``TimeoutError``) is a box that is away, ``ValueError`` its refusal.
"""

Who: TypeAlias = Annotated[
    list[str] | None,
    Field(
        description="Whom to ask, in the pattern's order: a model's name, `id:NAME` of anybody "
        "that `responders` lists, or the did of a person; left out: any model that costs nothing."
    ),
]
Wait: TypeAlias = Annotated[
    float,
    Field(
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="So many seconds are waited for the end; the query goes on after them.",
    ),
]
About: TypeAlias = Annotated[str | None, Field(description="The text that the question is about.")]
Key: TypeAlias = Annotated[
    str | None, Field(description="What is asked again with the same key is asked once.")
]
MaxCost: TypeAlias = Annotated[
    float | None,
    Field(ge=0, allow_inf_nan=False, description="US dollars that all of it may cost at most."),
]
Whole: TypeAlias = Annotated[
    dict[str, Any] | None,
    Field(description="A complete infer.query.v1, in place of all that is said beside it."),
]
Id: TypeAlias = Annotated[str, Field(description="The id of the query, as `query` told it.")]
Did: TypeAlias = Annotated[str, Field(description="The did of the person who says so.")]
Reason: TypeAlias = Annotated[
    DeclineReason | None, Field(description="Why the task is declined; left out: other.")
]
Eta: TypeAlias = Annotated[
    float | None, Field(description="In so many seconds the answer is promised.")
]
Confidence: TypeAlias = Annotated[
    float | None,
    Field(ge=0, le=1, allow_inf_nan=False, description="How sure the answer is, from 0 to 1."),
]
Rationale: TypeAlias = Annotated[
    str | None,
    Field(
        description="Why, in a sentence for people: the note of a decline, or the reasons of an "
        "answer."
    ),
]

PAGE_TASKS = 200
MAX_TASKS = 500
"""So many tasks of each state are shown at most."""

INSTRUCTIONS = """A box of local models. `query` asks a durable question: one model, several that
verify each other, a cascade, or people; `responders` lists them. It survives crashes; one that
takes long is looked at again with `query_result`. `inbox` shows what people are asked,
`answer_task` answers for them."""


class BoxAway(ToolError):
    """The box did not answer, or not for now: nobody knows what it did of what it was asked."""


def server(ask: Ask, version: str) -> MCPServer[Any]:
    """The server with its tools, not yet running."""
    tools = Tools(ask)
    asking = (tools.query, tools.query_result, tools.cancel_query, tools.responders)
    offered = [exact(tool) for tool in (*asking, tools.inbox, tools.answer_task, tools.status)]
    return MCPServer("covend", version=version, instructions=INSTRUCTIONS, tools=offered)


def exact(method: Callable[..., Any]) -> Tool:
    """The method as a tool that refuses what it does not know: a limit misspelled is no limit."""
    tool = Tool.from_function(method)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema(by_alias=True)
    return tool


class Tools:
    """The tools, as methods whose signatures and docstrings the agents are shown."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def query(
        self,
        ctx: Context[Any],
        question: str | None = None,
        pattern: Pattern = "single_shot",
        who: Who = None,
        about: About = None,
        max_cost_usd: MaxCost = None,
        whole_query: Whole = None,
        key: Key = None,
        wait_seconds: Wait = 60.0,
    ) -> dict[str, Any]:
        """Ask the box's models or people a question, and wait for the answer.

        When `wait_seconds` are over the id comes back; use query_result with it. Whoever stops
        waiting does not stop the query: cancel_query does.
        """
        if (question is None) == (whole_query is None):
            raise ToolError("give either a question, or a whole_query with the question in it")
        beside = {"who": who, "about": about, "max_cost_usd": max_cost_usd}
        if whole_query is not None and (given := [n for n, v in beside.items() if v is not None]):
            raise ToolError(f"say {', '.join(given)} in the whole_query: it is taken as it is")
        try:
            known = await self._known() if who else ()
            body = (
                drafted(str(question), pattern, who or [], about, max_cost_usd, known)
                if whole_query is None
                else whole_query
            )
        except ValueError as error:
            raise ToolError(str(error)) from error
        _bounded(body, "the query")
        told = await self._submitted(submission(body, key))
        return await self._outcome(ctx, told["id"], wait_seconds)

    async def query_result(
        self, ctx: Context[Any], id: Id, wait_seconds: Wait = 0.0
    ) -> dict[str, Any]:
        """How a query stands or ended: state, answer, confidence, cost, reasons."""
        return await self._outcome(ctx, id, wait_seconds)

    async def cancel_query(self, id: Id, reason: str = "") -> dict[str, Any]:
        """End a query that nobody needs any more; one that has ended stays as it is."""
        return await self._desk(CancelQuery(id, reason))

    async def responders(self) -> list[dict[str, Any]]:
        """Who can be asked: models, functions, programs, people; how trusted, how slow, if now."""
        now = time.time_ns() // 1000
        return [responder_view(one, now) for one in await self._known()]

    async def inbox(self, did: str | None = None) -> list[dict[str, Any]]:
        """What people are asked and have not answered yet: all of it, or one person's.

        Where there is more than is shown, an entry at the end says so in its member `more`.
        """
        found: list[dict[str, Any]] = []
        more: list[dict[str, Any]] = []
        for state in WAITING:
            tasks, complete = await self._tasks(did, state)
            # Meanwhile one may have been accepted: then its later state is the right one.
            names = {(task["id"], task.get("did")) for task in tasks}
            found = [task for task in found if (task["id"], task.get("did")) not in names] + tasks
            if not complete:
                told = f"these are the oldest {len(tasks)} that are {state}; `did` asks for fewer"
                more.append({"more": told})
        return found + more

    async def answer_task(
        self,
        task: str,
        did: Did,
        act: Literal["accept", "decline", "submit", "read"],
        answer: Any = None,
        reason: Reason = None,
        eta_seconds: Eta = None,
        confidence: Confidence = None,
        rationale: Rationale = None,
    ) -> dict[str, Any]:
        """Read a task of the inbox, accept it with an eta, decline it with a reason, answer it."""
        if act == "read":
            return await self._desk(ShowTask(task, did))
        _bounded(answer, "the answer")
        return await self._desk(
            ActOnTask(
                id=task,
                act=act,
                did=did,
                eta_secs=eta_seconds,
                reason=reason,
                value=answer,
                confidence=confidence,
                rationale=rationale,
            )
        )

    async def status(self) -> dict[str, Any]:
        """What is resident on the box, what waits, and the swap under way."""
        return await self._asked(CONSOLE, StatusQuery(), ASK_SECONDS)

    async def _asked(self, address: str, message: object, seconds: float) -> dict[str, Any]:
        """The box's answer; what went wrong becomes the tool's error, or no agent would see it."""
        try:
            return await self._ask(address, message, seconds)
        except OSError as error:
            raise BoxAway(str(error)) from error
        except ValueError as error:
            raise ToolError(str(error)) from error

    async def _submitted(self, order: SubmitQuery) -> dict[str, Any]:
        """The query's ticket; a core that is away is asked again, under the same key (P7)."""
        deadline = time.monotonic() + SUBMIT_SECONDS
        while True:
            try:
                return await self._desk(order)
            except BoxAway as error:
                if time.monotonic() >= deadline:
                    raise ToolError(in_doubt(error, f"key={order.key!r}")) from error
            await asyncio.sleep(RETRY_SECONDS)

    async def _known(self) -> list[dict[str, Any]]:
        return (await self._desk(ListResponders()))["responders"]

    async def _tasks(self, did: str | None, state: str) -> tuple[list[dict[str, Any]], bool]:
        """The tasks of one state, oldest first, and whether these are all of them."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None and len(found) < MAX_TASKS:
            limit = min(PAGE_TASKS, MAX_TASKS - len(found))
            order = ListTasks(did=did, state=state, limit=limit, after=after)
            page = await self._desk(order)
            found += page["tasks"]
            after = page["next"]
        return found, after is None

    async def _desk(self, message: object, wait: float = 0.0) -> dict[str, Any]:
        """The desk's answer, which may wait so many seconds itself; a refusal is the tool's."""
        answer = await self._asked(DESK, message, wait + ASK_SECONDS)
        refused: dict[str, Any] | None = answer.get("refused")
        if refused is None:
            return answer
        kind = BoxAway if refused["status"] == AWAY else ToolError
        raise kind("; ".join([str(refused["message"]), *faults(refused)]))

    async def _outcome(self, ctx: Context[Any], id: str, seconds: float) -> dict[str, Any]:
        """Follow a query for so many seconds, telling each record as progress."""
        after, deadline = 0, time.monotonic() + seconds
        told_before = 0
        while (left := deadline - time.monotonic()) > 0:
            wait = min(POLL_SECONDS, left)
            try:
                told = await self._desk(RecordsOf(id=id, after=after, wait=wait), wait)
            except BoxAway:
                await asyncio.sleep(min(RETRY_SECONDS, left))  # the core is away, and comes back
                continue
            for entry in told["records"]:
                after = entry["seq"]
                told_before += 1
                await ctx.report_progress(told_before, message=entry["kind"])
            if is_over(told):
                break
        try:
            story = await self._desk(ShowQuery(id=id))
        except BoxAway as error:
            raise ToolError(f"{error}; query_result tells later what became of {id}") from error
        always = {name: story[name] for name in ("id", "state", "know", "spent") if name in story}
        return always | {name: story[name] for name in ("damaged", "set_aside") if story.get(name)}


def _bounded(value: object, what: str) -> None:
    """Raise ``ToolError`` where this is more than the box takes, or no text."""
    if problem := unfit(value, what):
        raise ToolError(problem)
