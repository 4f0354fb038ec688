"""Carrying one call out: a request to an endpoint, a command, a function (P8).

Requests run in one loop in a thread of its own, commands are processes: any of them can be given up
at its deadline or before. A function runs in a daemon thread, which can only be left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from covend.actors.calls.computing import compute, request
from covend.actors.calls.programs import Program
from covend.actors.calls.replies import failed
from covend.config import PlaceholderError, expand_command
from covend.patterns.answers.understanding import Raw
from covend.patterns.responders.responder import Responder
from covend.runtime import Workers

if TYPE_CHECKING:
    from covend.actors.calls.web import Web

STOP_SECONDS = 5.0
LOOKUPS = 256
"""So many names of hosts are looked up at once: one that nobody knows may take its thread half a
minute, and each name but an address is looked up, ``localhost`` as well.
"""


class Loop:
    """One event loop in a thread of its own; ``run`` from any thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, f"{name}-lookup"))
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Raw], done: Callable[[Raw], None]) -> Future[Raw]:
        """Begin some work; ``done`` hears its end in the loop's thread, unless it was cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)

        def ended(settled: Future[Raw]) -> None:
            if not settled.cancelled():
                error = settled.exception()
                done(settled.result() if error is None else failed(error, transport=False))

        future.add_done_callback(ended)
        return future

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Give up all work, do the ``last`` of it, end the thread; each within ``STOP_SECONDS``."""
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_give_up(last), self._loop).result(STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


async def _give_up(last: Callable[[], Awaitable[None]]) -> None:
    me = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not me]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last()


# ── what is asked ────────────────────────────────────────────────────────────────────────────


def completion(call: Mapping[str, Any], responder: Responder) -> dict[str, Any]:
    """The body of the chat completion that puts a call to a model."""
    ask = call["ask"]
    dial = ask["dial"]
    body: dict[str, Any] = {"model": responder.model, "messages": ask["messages"], "stream": False}
    for name in ("temperature", "max_tokens", "seed"):
        if dial.get(name) is not None:
            body[name] = dial[name]
    if dial.get("logprobs"):
        body["logprobs"] = True
    schema = ask["shape"].get("schema")
    if ask["shape"].get("kind") == "json":
        body["response_format"] = (
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
            if schema
            else {"type": "json_object"}
        )
    return {**body, **dial.get("extra", {})}


# ── which of them it is ──────────────────────────────────────────────────────────────────────


class Work(Protocol):
    """Something under way outside, which can be given up."""

    def cancel(self) -> object:
        """Nothing is heard of it any more. Any thread."""
        ...


class Done(Protocol):
    """Hears what came of a call, or why a function has no answer; in any thread."""

    def __call__(self, raw: Raw, declined: str | None = None) -> None: ...


class Outside:
    """Everything that carries calls out, for one owner; commands are looked up from ``here``."""

    def __init__(self, here: Path) -> None:
        self._here = here
        self._loop = Loop("courier-loop")
        self._hands = Workers()
        self._web: Web | None = None  # the loop's own

    def carry(
        self, call: Mapping[str, Any], responder: Responder, seconds: float, done: Done
    ) -> Work | None:
        """Begin a call to whoever is not of this box; None where it cannot be given up.

        Raises ``RuntimeError`` where the machine has no more threads.
        """
        if responder.kind == "pattern":
            name = responder.function or ""
            self._hands.run(lambda: done(*compute(name, call)), f"function-{name[:20]}")
            return None
        if responder.command:
            try:
                command = expand_command(responder.command, self._here, os.environ)
            except PlaceholderError as error:
                done(Raw(failure=str(error), transport=False))
                return None
            return Program(command, request(call), seconds, done)
        return self._loop.run(self._post(call, responder, seconds), done)

    async def _post(self, call: Mapping[str, Any], responder: Responder, seconds: float) -> Raw:
        # Only here, as it brings httpx: the core starts sooner, and many a box never needs it.
        from covend.actors.calls.web import Web, chat_url

        if self._web is None:
            self._web = Web()
        key = str(call["key"])
        if responder.url is not None:
            return await self._web.post(responder.url, request(call), key, seconds, None)
        url, body = chat_url(responder.endpoint or ""), completion(call, responder)
        return await self._web.post(url, body, key, seconds, responder.api_key_env)

    async def _hang_up(self) -> None:
        if self._web is not None:
            await self._web.close()

    def close(self) -> None:
        """Give up what the loop is at, and end all threads that are idle."""
        self._hands.close(STOP_SECONDS)
        self._loop.close(self._hang_up)
