"""Every request of the API as data, and how its answers are read. Pure: both clients send these."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from covend.client.errors import (
    ApiError,
    Conflict,
    NotFound,
    QueryInvalid,
    StillRunning,
    Unavailable,
)
from covend.client.models import (
    Accept,
    Cancel,
    Decline,
    GateError,
    ProblemDetails,
    QueryPage,
    QueryView,
    Responders,
    Settle,
    State,
    Submission,
    Task,
    TaskPage,
    TaskState,
    Ticket,
)
from covend.patterns.query.names import DeclineReason
from covend.patterns.query.spec import Query
from covend.patterns.responders.responder import KnownResponder, Responder
from covend.resolving import resolved

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:7878"
KEY_VARIABLE = "COVEND_API_KEY"
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""A stream brings a comment every 15 s at least, so silence of a minute is a dead connection."""
LEAST = 1.0
"""Seconds that a box has for its answer, however soon whoever asks wants to leave."""

_ERRORS: dict[int, type[ApiError]] = {
    400: QueryInvalid, 404: NotFound, 409: Conflict, 413: QueryInvalid, 415: QueryInvalid,
    422: QueryInvalid, 429: Unavailable, 502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One request; ``repeatable`` if the box may hear it twice without doing it twice."""

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    repeatable: bool = True


def base_headers(key: str | None) -> dict[str, str]:
    """What every request carries: the API key given, or the one in ``COVEND_API_KEY``."""
    key = key or os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


class Options(TypedDict):
    """What both HTTP clients begin with."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    trust_env: bool


def options(url: str, key: str | None) -> Options:
    """How a box is spoken to: no proxy where it is on this machine.

    Raises ``ValueError`` for what is no address of a box.
    """
    try:
        split = urlsplit(url)
        sound = split.scheme in ("http", "https") and split.hostname and split.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(
            f"{url!r} is no address of a box: http://HOST:PORT is right, such as {DEFAULT_URL}"
        )
    return {
        "base_url": url,
        "headers": base_headers(key),
        "timeout": TIMEOUT,
        "trust_env": not is_local(url),
    }


def silence(deadline: float, now: float) -> httpx.Timeout:
    """How long the box may be silent, as a timeout; both in seconds of one clock."""
    left = max(LEAST, deadline - now)
    return httpx.Timeout(
        min(TIMEOUT.read or left, left), connect=min(TIMEOUT.connect or left, left)
    )


def is_local(url: str) -> bool:
    """Whether a box is on this machine, so that no proxy is asked for it."""
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, where no one else reaches it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def failure(status: int, retry_after: str | None, content: bytes) -> ApiError:
    """The error of an answer that is none, whether the API or the gate before it said so."""
    message, code, errors = f"the box answered {status}", "", ()
    try:
        problem = msgspec.json.decode(content, type=resolved(ProblemDetails))
        message, code, errors = problem.detail or problem.title, problem.code, problem.errors
    except msgspec.MsgspecError:
        try:
            said = msgspec.json.decode(content, type=resolved(GateError)).error
            message, code = said.message, said.code or ""
        except msgspec.MsgspecError:
            pass  # neither's form: the status is all there is
    kind = _ERRORS.get(status, ApiError)
    if kind is Unavailable:
        seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
        return Unavailable(message, status, code, errors, seconds)
    return kind(message, status, code, errors)


def unreachable(url: str, error: Exception) -> Unavailable:
    """The error of a request that got no answer."""
    return Unavailable(f"the box at {url} cannot be reached: {str(error) or type(error).__name__}")


# ── the requests ─────────────────────────────────────────────────────────────────────────────


def submit(query: Query | Mapping[str, Any], key: str | None) -> Request[Ticket]:
    """Admit a query; with a key, so that it may be sent again."""
    body = msgspec.json.encode(query)
    headers = {"Idempotency-Key": key or secrets.token_hex(16)}
    return Request("POST", "/api/queries", _reader(Ticket), body=body, headers=headers)


def get(id: str) -> Request[QueryView]:
    """One query."""
    return Request("GET", f"/api/queries/{_part(id)}", _reader(QueryView))


def queries(state: State | None, parent: str | None, limit: int, after: int) -> Request[QueryPage]:
    """A page of queries."""
    params = _params(state=state, parent=parent, limit=limit, after=after)
    return Request("GET", "/api/queries", _reader(QueryPage), params)


def cancel(id: str, reason: str) -> Request[QueryView]:
    """Cancel a query; one that has its end keeps it."""
    path = f"/api/queries/{_part(id)}/cancel"
    return Request(
        "POST", path, _reader(QueryView), body=msgspec.json.encode(Cancel(reason=reason))
    )


def settle(id: str, call: str, how: Literal["again", "failed"]) -> Request[QueryView]:
    """Say what becomes of an unclear call; a second time it is refused, being clear by then."""
    path = f"/api/queries/{_part(id)}/settle"
    body = msgspec.json.encode(Settle(call=call, how=how))
    return Request("POST", path, _reader(QueryView), body=body, repeatable=False)


def events_path(id: str) -> str:
    """Where a query's events are."""
    return f"/api/queries/{_part(id)}/events"


def inbox(did: str | None, state: TaskState | None, limit: int, after: int) -> Request[TaskPage]:
    """A page of tasks."""
    params = _params(did=did, state=state, limit=limit, after=after)
    return Request("GET", "/api/inbox", _reader(TaskPage), params)


def task(id: str, did: str | None) -> Request[Task]:
    """One task; of those who share it, this person's."""
    return Request("GET", f"/api/inbox/{_part(id)}", _reader(Task), _params(did=did))


def accept(id: str, did: str, eta_secs: float) -> Request[Task]:
    """A person takes a task on; with a key, so that the same eta never counts twice (P18)."""
    headers = {"Idempotency-Key": secrets.token_hex(16)}
    return _word(id, "accept", Accept(did=did, eta_secs=eta_secs), headers)


def decline(id: str, did: str, reason: DeclineReason, note: str | None) -> Request[Task]:
    """A person declines a task."""
    return _word(id, "decline", Decline(did=did, reason=reason, note=note))


def answer(
    id: str, did: str, value: Any, confidence: float | None, rationale: str | None
) -> Request[Task]:
    """A person answers a task."""
    word = Submission(did=did, value=value, confidence=confidence, rationale=rationale)
    return _word(id, "submit", word)


def responders() -> Request[tuple[KnownResponder, ...]]:
    """Who can be asked."""

    def read(content: bytes) -> tuple[KnownResponder, ...]:
        return msgspec.json.decode(content, type=resolved(Responders)).responders

    return Request("GET", "/api/responders", read)


def put_responder(responder: Responder) -> Request[Responder]:
    """Register or change a responder."""
    path = f"/api/responders/{_part(responder.id)}"
    return Request("PUT", path, _reader(Responder), body=msgspec.json.encode(responder))


def remove_responder(id: str) -> Request[None]:
    """Retire a responder; one that is retired stays so."""
    return Request("DELETE", f"/api/responders/{_part(id)}", lambda _: None)


def unended(view: QueryView, seconds: float) -> Exception:
    """What is raised of a query that was followed so long, and has no end to show."""
    if view.set_aside is not None:
        text = f"query {view.id} was set aside and does not go on: {view.set_aside}"
        return ApiError(text, 200, "set_aside")
    if view.state == "open":
        return StillRunning(view.id, seconds)
    wrong = "; ".join(f"record {one.seq} is damaged: {one.problem}" for one in view.damaged)
    return ApiError(
        f"query {view.id} has ended, and its end cannot be shown: {wrong}", 200, "damaged"
    )


def _word(
    id: str, act: str, word: msgspec.Struct, headers: Mapping[str, str] | None = None
) -> Request[Task]:
    """A person's word; said again it is taken for the first (P18)."""
    path = f"/api/inbox/{_part(id)}/{act}"
    body = msgspec.json.encode(word)
    return Request("POST", path, _reader(Task), body=body, headers=headers or {})


def _reader(kind: type[T]) -> Callable[[bytes], T]:
    return lambda content: msgspec.json.decode(content, type=resolved(kind))


def _part(name: str) -> str:
    return quote(name, safe="")


def _params(**given: str | float | None) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value is not None}
