"""The tools of the MCP server; they ask the running box and decide nothing.

Needs the ``mcp`` extra. Every tool runs in the server's event loop and waits for the box through
the ``ask`` it was given; a refusal of the box becomes the tool's error, with everything that was
wrong in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from covend.patterns.draft import drafted
from covend.protocol import StatusQuery
from covend.questions import ActOnTask, ListTasks, RecordsOf, ShowQuery, ShowTask, SubmitQuery

Ask: TypeAlias = Callable[[str, object, float], Awaitable[Any]]
"""Asks an address of the box and gives its answer; raises an error that says what went wrong."""

DESK = "desk@core"
ASK_SECONDS = 10.0
POLL_SECONDS = 5.0
RETRY_SECONDS = 0.3

INSTRUCTIONS = """A box of local models. `query` asks a durable question: one model, several that
verify each other, a cascade, or people. It survives crashes; one that takes long is looked at
again with `query_result`. `inbox` shows what people are asked, `answer_task` answers for them."""


def server(ask: Ask, version: str) -> MCPServer[Any]:
    """The server with its tools, not yet running."""
    made: MCPServer[Any] = MCPServer("covend", version=version, instructions=INSTRUCTIONS)
    tools = Tools(ask)
    for tool in (tools.query, tools.query_result, tools.inbox, tools.answer_task, tools.status):
        made.add_tool(tool)
    return made


class Tools:
    """The tools, as methods whose signatures and docstrings the agents are shown."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def query(
        self,
        ctx: Context[Any],
        question: str,
        pattern: Literal[
            "single_shot",
            "verify",
            "waterfall",
            "retry_on_low_confidence",
            "escalate",
            "ensemble_with_audit",
        ] = "single_shot",
        who: list[str] | None = None,
        about: str | None = None,
        whole_query: dict[str, Any] | None = None,
        key: str | None = None,
        wait_seconds: float = 60.0,
    ) -> dict[str, Any]:
        """Ask the box's models or people a question, and wait for the answer.

        `who` names models, or people by did, in the pattern's order. `about` is the text in
        question. `whole_query` replaces all of these by a complete infer.query.v1. The same `key`
        is asked once. When `wait_seconds` are over the id comes back; use query_result with it.
        """
        body = whole_query or drafted(question, pattern, who or [], about)
        told = await self._desk(SubmitQuery(query=body, key=key))
        return await self._outcome(ctx, told["id"], wait_seconds)

    async def query_result(
        self, ctx: Context[Any], id: str, wait_seconds: float = 0.0
    ) -> dict[str, Any]:
        """How a query stands or ended: state, answer, confidence, cost, reasons."""
        return await self._outcome(ctx, id, wait_seconds)

    async def inbox(self, did: str | None = None) -> list[dict[str, Any]]:
        """What people are asked and have not answered yet: all of it, or one person's."""
        found = (await self._desk(ListTasks(did=did, limit=200)))["tasks"]
        return [task for task in found if task["state"] in ("open", "accepted")]

    async def answer_task(
        self,
        task: str,
        did: str,
        act: Literal["accept", "decline", "submit", "read"],
        answer: Any = None,
        reason: str | None = None,
        eta_seconds: float | None = None,
        confidence: float | None = None,
        rationale: str | None = None,
    ) -> dict[str, Any]:
        """Read a task of the inbox, accept it with an eta, decline it with a reason, answer it."""
        if act == "read":
            return await self._desk(ShowTask(task, did))
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
        return await self._ask("console@core", StatusQuery(), ASK_SECONDS)

    async def _desk(self, message: object, seconds: float = ASK_SECONDS) -> dict[str, Any]:
        answer: dict[str, Any] = await self._ask(DESK, message, seconds)
        refused: dict[str, Any] | None = answer.get("refused")
        if refused is None:
            return answer
        errors: list[dict[str, Any]] = refused.get("errors") or []
        parts = [f"{error['path']}: {error['problem']}" for error in errors]
        raise ToolError("; ".join([str(refused["message"]), *parts]))

    async def _outcome(self, ctx: Context[Any], id: str, seconds: float) -> dict[str, Any]:
        """Follow a query for so many seconds, telling each record as progress."""
        after, deadline = 0, time.monotonic() + seconds
        told_before = 0
        while (left := deadline - time.monotonic()) > 0:
            wait = min(POLL_SECONDS, left)
            try:
                told = await self._desk(
                    RecordsOf(id=id, after=after, wait=wait), wait + ASK_SECONDS
                )
            except TimeoutError:
                await asyncio.sleep(min(RETRY_SECONDS, left))  # the core is away, and comes back
                continue
            for entry in told["records"]:
                after = entry["seq"]
                told_before += 1
                await ctx.report_progress(told_before, message=entry["kind"])
            if told["ended"] and not told["records"]:
                break
        story = await self._desk(ShowQuery(id=id))
        return {name: story[name] for name in ("id", "state", "know", "spent") if name in story}
