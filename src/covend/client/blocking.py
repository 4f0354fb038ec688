"""``covend.Client``: a box from Python, blocking."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
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


class Client:
    """A box, over HTTP. Any thread may use it; close it, or use it in a ``with`` block.

    ``patience`` is how many seconds a box that is away is waited for, each time. Every method
    raises ``QueryInvalid``, ``NotFound``, ``Conflict``, ``Unavailable``, or another ``ApiError``.
    Making one raises ``ValueError`` where ``url`` is no http://HOST:PORT.
    """

    def __init__(
        self, url: str = DEFAULT_URL, key: str | None = None, *, patience: float = 30.0
    ) -> None:
        self.url = url
        self.patience = patience
        self._http = httpx.Client(**requests.options(url, key))

    # ── queries ─────────────────────────────────────────────────────────────────────────────

    def query(
        self,
        query: Query | Mapping[str, Any],
        *,
        wait: float | None = None,
        on_progress: Callable[[Event], None] | None = None,
        key: str | None = None,
    ) -> Answer:
        """Ask, and wait for the end, at most ``wait`` seconds; a query's own limits always end it.

        ``on_progress`` gets every record as it comes, in this thread. Raises ``StillRunning`` once
        it is admitted, ``Unavailable`` where no box said so in time: the same ``key`` asks again;
        ``ApiError`` with the code ``damaged`` where the record of its end is, ``set_aside`` where
        it does not go on (P2).
        """
        deadline = math.inf if wait is None else time.monotonic() + wait
        ticket = self._send(requests.submit(query, key), deadline)
        try:
            for event in self._follow(ticket.id, 0, deadline):
                if on_progress is not None:
                    on_progress(event)
            view = self._send(requests.get(ticket.id), deadline)
        except Unavailable as error:
            if time.monotonic() < deadline:
                raise
            raise StillRunning(ticket.id, wait or 0.0) from error
        if view.know is None:
            raise requests.unended(view, wait or 0.0)
        return view.know

    def submit(self, query: Query | Mapping[str, Any], *, key: str | None = None) -> Ticket:
        """Admit a query and do not wait; ``key`` makes the same call again the same query (P7)."""
        return self._send(requests.submit(query, key))

    def get(self, id: str) -> QueryView:
        """One query: what was asked, and its end once it has one."""
        return self._send(requests.get(id))

    def queries(
        self, state: State | None = None, parent: str | None = None, limit: int = 50, after: int = 0
    ) -> QueryPage:
        """A page of queries, newest first; ``next`` is the ``after`` of the following one."""
        return self._send(requests.queries(state, parent, limit, after))

    def cancel(self, id: str, reason: str = "") -> QueryView:
        """Cancel a query; one that has its end keeps it (P14)."""
        return self._send(requests.cancel(id, reason))

    def settle(self, id: str, call: str, how: Literal["again", "failed"]) -> QueryView:
        """Say what becomes of a call that may have been carried out before a crash (P4)."""
        return self._send(requests.settle(id, call, how))

    def events(self, id: str, after: int = 0) -> Iterator[Event]:
        """Every record of a query as it comes, to its end, over lost connections and restarts."""
        return self._follow(id, after, math.inf)

    # ── people ──────────────────────────────────────────────────────────────────────────────

    def inbox(
        self,
        did: str | None = None,
        state: TaskState | None = None,
        limit: int = 50,
        after: int = 0,
    ) -> TaskPage:
        """A page of tasks, oldest first: of one person, or of all."""
        return self._send(requests.inbox(did, state, limit, after))

    def task(self, id: str, did: str | None = None) -> Task:
        """One task; of those who share it, this person's where one is named."""
        return self._send(requests.task(id, did))

    def accept(self, id: str, did: str, eta_secs: float) -> Task:
        """Take a task on, to be done in so many seconds from now; extends the wait (P18)."""
        return self._send(requests.accept(id, did, eta_secs))

    def decline(
        self, id: str, did: str, reason: DeclineReason = "other", note: str | None = None
    ) -> Task:
        """Decline a task for good (P18)."""
        return self._send(requests.decline(id, did, reason, note))

    def answer(
        self,
        id: str,
        did: str,
        value: Any,
        *,
        confidence: float | None = None,
        rationale: str | None = None,
    ) -> Task:
        """Submit a person's answer, which must have the shape that was asked for (P18)."""
        return self._send(requests.answer(id, did, value, confidence, rationale))

    # ── responders ──────────────────────────────────────────────────────────────────────────

    def responders(self) -> tuple[KnownResponder, ...]:
        """Who can be asked."""
        return self._send(requests.responders())

    def put_responder(self, responder: Responder) -> Responder:
        """Register a responder, or change what is registered under its id (P8)."""
        return self._send(requests.put_responder(responder))

    def remove_responder(self, id: str) -> None:
        """Retire a responder: it is asked no more."""
        self._send(requests.remove_responder(id))

    # ── sending ─────────────────────────────────────────────────────────────────────────────

    def _send(self, request: Request[T], deadline: float = math.inf) -> T:
        patience = Patience(self.patience, deadline)
        while True:
            try:
                return self._once(request, deadline)
            except Unavailable as error:
                if not request.repeatable:
                    raise
                time.sleep(patience.pause(error, time.monotonic()))

    def _once(self, request: Request[T], deadline: float) -> T:
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._http.request(
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

    def _follow(self, id: str, after: int, deadline: float) -> Iterator[Event]:
        reader = EventReader(after)
        patience = Patience(self.patience, deadline)
        while not reader.ended and time.monotonic() < deadline:
            error = Unavailable("the stream of events was cut")
            try:
                yield from self._stream(id, reader, deadline)
            except httpx.TransportError as broken:
                error = requests.unreachable(self.url, broken)
            except Unavailable as away:
                error = away
            if reader.heard:
                patience.heard()
            if reader.ended or time.monotonic() >= deadline:
                return
            time.sleep(patience.pause(error, time.monotonic()))

    def _stream(self, id: str, reader: EventReader, deadline: float) -> Iterator[Event]:
        """One connection's events; sets ``reader.ended`` where there are no more at all."""
        reader.begin_again()
        with self._http.stream(
            "GET",
            requests.events_path(id),
            headers={"Last-Event-ID": str(reader.after)},
            timeout=requests.silence(deadline, time.monotonic()),
        ) as response:
            if response.status_code == 204:
                reader.ended = True
                return
            if not response.is_success:
                response.read()
                raise _failure(response)
            with _cut(response, deadline):
                for data in response.iter_bytes():
                    yield from reader.feed(data)
                    if reader.ended:
                        return

    # ── leaving ─────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.contextmanager
def _cut(response: httpx.Response, deadline: float) -> Generator[None]:
    """Cuts a stream at the deadline: a timeout would not, beginning anew with every comment."""
    if math.isinf(deadline):
        yield
        return
    connection: socket.socket = response.extensions["network_stream"].get_extra_info("socket")

    def shut() -> None:
        with contextlib.suppress(OSError):  # it was lost, or left, at this very moment
            # Not TLS's own, which takes the session from under the thread that reads.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _failure(response: httpx.Response) -> ApiError:
    return requests.failure(
        response.status_code, response.headers.get("retry-after"), response.content
    )
