"""Errors as the API says them: RFC 9457 problem details, with every fault by its path."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import inspect

from covend.client.models import Fault, ProblemDetails
from covend.resolving import resolved

COME_AGAIN = (429, 503)
RETRY_AFTER = 1
"""Seconds: a core that restarts answers within about so many."""
MEDIA_TYPE = "application/problem+json"
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_PATH = re.compile(r" - at `(?:key in )?`?(\$[^`]*)`")


class Problem(Exception):
    """A request that is not carried out: HTTP status, a code for programs, a sentence for people.

    ``retry_after`` is in seconds: set for 429 and 503, else None. Raised by handlers and answered
    by the app.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Iterable[Fault] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = RETRY_AFTER if status in COME_AGAIN else None

    @classmethod
    def refused(cls, refusal: dict[str, Any]) -> Problem:
        """What the core refused, in its own words."""
        errors = msgspec.convert(refusal["errors"], resolved(list[Fault]))
        return cls(refusal["status"], refusal["code"], refusal["message"], errors)


def malformed(error: msgspec.MsgspecError, where: str, wanted: Any) -> Problem:
    """What msgspec found wrong with a body or with parameters: 400, with the path of the fault."""
    text = str(error)
    found = _PATH.search(text)
    path = found.group(1) if found else "$"
    problem = _PATH.sub("", text)
    if problem.startswith("Invalid enum value"):
        problem += f"; there are: {', '.join(values_at(wanted, path))}"
    fault = Fault(path=path, problem=problem)
    return Problem(400, "malformed", f"the {where} does not hold", [fault])


def values_at(wanted: Any, path: str) -> list[str]:
    """The values that a type knows at a path, where it knows a few and no others."""
    found = _alternatives(inspect.type_info(wanted))
    for name in _STEP.findall(path):
        inner = [one for outer in found for one in _inside(outer, name)]
        found = [each for one in inner for each in _alternatives(one)]
    return [str(value) for one in found if isinstance(one, inspect.LiteralType)
            for value in one.values]  # fmt: skip


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        return _alternatives(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [each for one in kind.types for each in _alternatives(one)]
    return [kind]


def _inside(kind: inspect.Type, name: str) -> list[inspect.Type]:
    """The types of a member, or of an item, whose name is empty."""
    match kind:
        case inspect.StructType():
            return [field.type for field in kind.fields if field.encode_name == name]
        case inspect.ListType() | inspect.VarTupleType() if not name:
            return [kind.item_type]
        case inspect.DictType() if not name:
            return [kind.value_type]
        case _:
            return []


def respond(problem: Problem) -> Response[bytes]:
    """The problem as an HTTP response."""
    phrase = http.HTTPStatus(problem.status).phrase
    body = ProblemDetails(
        type=f"urn:covend:problem:{problem.code}",
        title=phrase,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
        errors=problem.errors,
    )
    headers: dict[str, str] = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return Response(
        msgspec.json.encode(body),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def on_problem(_request: Request[Any, Any, Any], error: Problem) -> Response[bytes]:
    """Litestar's handler of ``Problem``."""
    return respond(error)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar's handler of its own errors: a body too large, a client that left."""
    status = error.status_code
    code = http.HTTPStatus(status).name.lower()
    text = error.detail or http.HTTPStatus(status).phrase
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        text = f"the body is too large: at most {request.app.request_max_body_size} bytes are right"
    return respond(Problem(status, code, text))
