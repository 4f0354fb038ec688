"""``covend.AsyncClient``: a box from Python, for asyncio."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx

from covend.client import requests
from covend.client.errors import ApiError, StillRunning, Unavailable
from covend.client.models import (
    Answer,
    Event,
    QueryPage,
    QueryView,
    State,
    Task,
    TaskPage,
    TaskState,
    Ticket,
)
from covend.client.patience import Patience
from covend.client.requests import DEFAULT_URL, Request
from covend.client.stream import EventReader
from covend.patterns.query.names import DeclineReason
from covend.patterns.query.spec import Query
from covend.patterns.responders.responder import KnownResponder, Responder

T = TypeVar("T")


class AsyncClient:
    """A box, over HTTP. Use it in one loop; close it, or use it in an ``async with`` block.

    ``patience`` is how many seconds a box that is away is waited for, each time. Every method
    raises ``QueryInvalid``, ``NotFound``, ``Conflict``, ``Unavailable``, or another ``ApiError``.
    Making one raises ``ValueError`` where ``url`` is no http://HOST:PORT.
    """

    def __init__(
        self, url: str = DEFAULT_URL, key: str | None = None, *, patience: float = 30.0
    ) -> None:
        self.url = url
        self.patience = patience
        self._http = httpx.AsyncClient(**requests.options(url, key))

    # ── queries ─────────────────────────────────────────────────────────────────────────────

    async def query(
        self,
        query: Query | Mapping[str, Any],
        *,
        wait: float | None = None,
        on_progress: Callable[[Event], None] | None = None,
        key: str | None = None,
    ) -> Answer:
        """Ask, and wait for the end, at most ``wait`` seconds; a query's own limits always end it.

        ``on_progress`` gets every record as it comes, in this loop. Raises ``StillRunning`` once
        it is admitted, ``Unavailable`` where no box said so in time: the same ``key`` asks again;
        ``ApiError`` with the code ``damaged`` where the record of its end is, ``set_aside`` where
        it does not go on (P2).
        """
        deadline = math.inf if wait is None else time.monotonic() + wait
        ticket = await self._send(requests.submit(query, key), deadline)
        try:
            async for event in self._follow(ticket.id, 0, deadline):
                if on_progress is not None:
                    on_progress(event)
            view = await self._send(requests.get(ticket.id), deadline)
        except Unavailable as error:
            if time.monotonic() < deadline:
                raise
            raise StillRunning(ticket.id, wait or 0.0) from error
        if view.know is None:
            raise requests.unended(view, wait or 0.0)
        return view.know

    async def submit(self, query: Query | Mapping[str, Any], *, key: str | None = None) -> Ticket:
        """Admit a query and do not wait; ``key`` makes the same call again the same query (P7)."""
        return await self._send(requests.submit(query, key))

    async def get(self, id: str) -> QueryView:
        """One query: what was asked, and its end once it has one."""
        return await self._send(requests.get(id))

    async def queries(
        self, state: State | None = None, parent: str | None = None, limit: int = 50, after: int = 0
    ) -> QueryPage:
        """A page of queries, newest first; ``next`` is the ``after`` of the following one."""
        return await self._send(requests.queries(state, parent, limit, after))

    async def cancel(self, id: str, reason: str = "") -> QueryView:
        """Cancel a query; one that has its end keeps it (P14)."""
        return await self._send(requests.cancel(id, reason))

    async def settle(self, id: str, call: str, how: Literal["again", "failed"]) -> QueryView:
        """Say what becomes of a call that may have been carried out before a crash (P4)."""
        return await self._send(requests.settle(id, call, how))

    def events(self, id: str, after: int = 0) -> AsyncIterator[Event]:
        """Every record of a query as it comes, to its end, over lost connections and restarts."""
        return self._follow(id, after, math.inf)

    # ── people ──────────────────────────────────────────────────────────────────────────────

    async def inbox(
        self,
        did: str | None = None,
        state: TaskState | None = None,
        limit: int = 50,
        after: int = 0,
    ) -> TaskPage:
        """A page of tasks, oldest first: of one person, or of all."""
        return await self._send(requests.inbox(did, state, limit, after))

    async def task(self, id: str, did: str | None = None) -> Task:
        """One task; of those who share it, this person's where one is named."""
        return await self._send(requests.task(id, did))

    async def accept(self, id: str, did: str, eta_secs: float) -> Task:
        """Take a task on, to be done in so many seconds from now; extends the wait (P18)."""
        return await self._send(requests.accept(id, did, eta_secs))

    async def decline(
        self, id: str, did: str, reason: DeclineReason = "other", note: str | None = None
    ) -> Task:
        """Decline a task for good (P18)."""
        return await self._send(requests.decline(id, did, reason, note))

    async def answer(
        self,
        id: str,
        did: str,
        value: Any,
        *,
        confidence: float | None = None,
        rationale: str | None = None,
    ) -> Task:
        """Submit a person's answer, which must have the shape that was asked for (P18)."""
        return await self._send(requests.answer(id, did, value, confidence, rationale))

    # ── responders ──────────────────────────────────────────────────────────────────────────

    async def responders(self) -> tuple[KnownResponder, ...]:
        """Who can be asked."""
        return await self._send(requests.responders())

    async def put_responder(self, responder: Responder) -> Responder:
        """Register a responder, or change what is registered under its id (P8)."""
        return await self._send(requests.put_responder(responder))

    async def remove_responder(self, id: str) -> None:
        """Retire a responder: it is asked no more."""
        await self._send(requests.remove_responder(id))

    # ── sending ─────────────────────────────────────────────────────────────────────────────

    async def _send(self, request: Request[T], deadline: float = math.inf) -> T:
        patience = Patience(self.patience, deadline)
        while True:
            try:
                return await self._once(request, deadline)
            except Unavailable as error:
                if not request.repeatable:
                    raise
                await asyncio.sleep(patience.pause(error, time.monotonic()))

    async def _once(self, request: Request[T], deadline: float) -> T:
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = await self._http.request(
                request.method,
                request.path,
                params=dict(request.params),
                content=request.body,
                headers=headers,
                timeout=requests.silence(deadline, time.monotonic()),
            )
        except httpx.TransportError as error:
            raise requests.unreachable(self.url, error) from error
        if not response.is_success:
            raise _failure(response)
        return request.read(response.content)

    async def _follow(self, id: str, after: int, deadline: float) -> AsyncIterator[Event]:
        reader = EventReader(after)
        patience = Patience(self.patience, deadline)
        while not reader.ended and time.monotonic() < deadline:
            error = Unavailable("the stream of events was cut")
            try:
                async for event in self._stream(id, reader, deadline):
                    yield event
            except httpx.TransportError as broken:
                error = requests.unreachable(self.url, broken)
            except Unavailable as away:
                error = away
            if reader.heard:
                patience.heard()
            if reader.ended or time.monotonic() >= deadline:
                return
            await asyncio.sleep(patience.pause(error, time.monotonic()))

    async def _stream(self, id: str, reader: EventReader, deadline: float) -> AsyncIterator[Event]:
        """One connection's events; sets ``reader.ended`` where there are no more at all."""
        reader.begin_again()
        async with self._http.stream(
            "GET",
            requests.events_path(id),
            headers={"Last-Event-ID": str(reader.after)},
            timeout=requests.silence(deadline, time.monotonic()),
        ) as response:
            if response.status_code == 204:
                reader.ended = True
                return
            if not response.is_success:
                await response.aread()
                raise _failure(response)
            async for data in _until(deadline, response.aiter_bytes()):
                for event in reader.feed(data):
                    yield event
                if reader.ended:
                    return

    # ── leaving ─────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


async def _until(deadline: float, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces by the deadline: a timeout of HTTP's would begin anew with every comment."""
    while True:
        left = None if math.isinf(deadline) else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                piece = await anext(pieces)
        except (StopAsyncIteration, TimeoutError):
            return
        yield piece


def _failure(response: httpx.Response) -> ApiError:
    return requests.failure(
        response.status_code, response.headers.get("retry-after"), response.content
    )
