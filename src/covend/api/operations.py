"""Operations: a route, what it takes and everything it may answer, said once.

From the same ``Operation`` a request is read and the OpenAPI document is written, so neither can
say what the other does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast
from urllib.parse import unquote

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from covend.api.desk import Desk
from covend.api.origin import KEY_HEADER, check_origin
from covend.api.problems import Problem, malformed
from covend.client.models import Fault
from covend.duplicates import duplicate
from covend.patterns.query.spec import Spec
from covend.resolving import resolved

Method = Literal["GET", "POST", "PUT", "DELETE"]
DID_HEADER = "x-covend-did"
"""For whom the key speaks, where it is one person's; a client's own is never passed on either."""
MAX_KEY = 200
OPERATORS = "Not for a key that names a did: it is refused with 403."


class Nothing(Spec, frozen=True):
    """No parameters, or no body."""


P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer of server-sent events, each with this type as its data."""

    event: type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; ``answers`` has every status it may give, but the common ones.

    A body that is ``unread`` goes on as plain data, to whoever finds everything wrong with it.
    ``about`` says what the summary leaves open. With ``slashes`` the last part of the path may have
    some, plain or encoded.
    """

    method: Method
    path: str
    summary: str
    params: type[msgspec.Struct]
    body: type[msgspec.Struct]
    body_required: bool
    headers: Mapping[str, str]
    answers: Mapping[int, type[msgspec.Struct] | Stream | None]
    returns: Mapping[str, str]
    unread: bool = False
    about: str = ""
    slashes: bool = False


class Call(Generic[P, B]):
    """One request that holds: its parameters and body are read, its sender may ask."""

    def __init__(self, request: Request[Any, Any, Any], params: P, body: B) -> None:
        self.request = request
        self.desk = cast("Desk", request.app.state.desk)
        self.params = params
        self.body = body

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def rest(self, after: str) -> str:
        """All of the path that comes after this, slashes and all, as its sender means it."""
        # The router's own parameter has lost what looks double to it: slashes, and escapes.
        return unquote(self.request.scope["raw_path"].decode("latin-1").partition(after)[2])

    def header(self, name: str) -> str | None:
        """A header's value, or None."""
        return self.request.headers.get(name)

    @property
    def who(self) -> str:
        """The name of the API key, empty for whoever is on this machine and needs none."""
        return self.header(KEY_HEADER) or ""

    @property
    def personal(self) -> bool:
        """Whether the key is one person's, and not an operator's."""
        return self.header(DID_HEADER) is not None

    def speaker(self, did: str | None) -> str | None:
        """For whom a request speaks that names this did, or none: the key's own, if it has one.

        Raises ``Problem`` (403) where the key is another's; a key without a did may name any.
        """
        own = self.header(DID_HEADER)
        if own is not None and did not in (None, own):
            text = f"the key {self.who!r} speaks for {own} alone, not for {did[:200]!r}"
            raise Problem(403, "not_your_did", text)
        return own or did

    def operators(self) -> None:
        """Raise ``Problem`` (403) where the key is a person's: what is asked is the operator's."""
        own = self.header(DID_HEADER)
        if own is not None:
            text = f"the key {self.who!r} speaks for {own}: this takes a key without a did"
            raise Problem(403, "operators_only", text)

    def idempotency_key(self) -> str | None:
        """The client's ``Idempotency-Key``, made the sender's own; raises ``Problem`` (400)."""
        given = self.header("idempotency-key")
        if given is None:
            return None
        if not 0 < len(given) <= MAX_KEY or not given.isascii() or not given.isprintable():
            text = f"Idempotency-Key: 1 to {MAX_KEY} printable ASCII characters are right"
            raise Problem(400, "idempotency_key", text)
        return hashlib.sha256(f"{self.who}\n{given}".encode()).hexdigest()


def operation(
    method: Method,
    path: str,
    summary: str,
    *,
    answers: Mapping[int, type[msgspec.Struct] | Stream | None],
    params: type[P] = Nothing,
    body: type[B] = Nothing,
    body_required: bool = True,
    headers: Mapping[str, str] | None = None,
    returns: Mapping[str, str] | None = None,
    unread: bool = False,
    about: str = "",
    slashes: bool = False,
) -> Callable[[Callable[[Call[P, B]], Awaitable[Response[Any]]]], HTTPRouteHandler]:
    """Make a Litestar route of a function from ``Call`` to response."""
    said = Operation(
        method, path, summary, params, body, body_required, headers or {}, answers, returns or {},
        unread, about, slashes,
    )  # fmt: skip

    def decorate(function: Callable[[Call[P, B]], Awaitable[Response[Any]]]) -> HTTPRouteHandler:
        async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
            check_origin(request)
            given = _params(request, params)
            return await function(Call(request, given, await _body(request, said, body)))

        template = path.replace("}", ":path}" if slashes else ":str}")
        # 200 only so that Litestar accepts it: every response brings its own status.
        route = HTTPRouteHandler(
            template, http_method=method, status_code=200, opt={"operation": said}
        )
        return route(handle)

    return decorate


def reply(value: msgspec.Struct, status: int = 200, **headers: str) -> Response[bytes]:
    """A response with a JSON body."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers={name.replace("_", "-"): text for name, text in headers.items()},
    )


def _params(request: Request[Any, Any, Any], wanted: type[P]) -> P:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise Problem(400, "malformed", f"the parameter {name[:50]!r} comes more than once")
        given[name] = value
    try:
        return msgspec.convert(given, resolved(wanted), strict=False)
    except msgspec.MsgspecError as error:
        raise malformed(error, "query string", wanted) from error


async def _body(request: Request[Any, Any, Any], said: Operation, wanted: type[B]) -> B:
    if said.body is Nothing:
        return wanted()
    content = await request.body()
    if not content and not said.body_required:
        return wanted()
    kind = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Browsers send other types across origins without asking; this one they must ask for.
        text = f"Content-Type is {kind[:50]!r}: application/json is right"
        raise Problem(415, "unsupported_media_type", text)
    kind_of_body: Any = dict[str, Any] if said.unread else wanted
    try:
        body = cast(B, msgspec.json.decode(content, type=resolved(kind_of_body)))
        path = duplicate(content)
    except msgspec.MsgspecError as error:
        raise malformed(error, "body", kind_of_body) from error
    except RecursionError as error:
        raise Problem(400, "malformed", "the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Problem(400, "malformed", f"the body is no UTF-8: {error}") from error
    if path is not None:
        fault = Fault(path=path, problem="the member is there more than once")
        raise Problem(400, "malformed", "the body says one thing twice", [fault])
    return body
