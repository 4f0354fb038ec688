"""Errors as the API says them: RFC 9457 problem details, with every fault by its path."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from covend.client.models import Fault, ProblemDetails
from covend.resolving import resolved

COME_AGAIN = (429, 503)
RETRY_AFTER = 1
"""Seconds: a core that restarts answers within about so many."""
MEDIA_TYPE = "application/problem+json"
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


def malformed(error: msgspec.MsgspecError, where: str) -> Problem:
    """What msgspec found wrong with a body or with parameters: 400, with the path of the fault."""
    text = str(error)
    found = _PATH.search(text)
    path = found.group(1) if found else "$"
    fault = Fault(path=path, problem=_PATH.sub("", text))
    return Problem(400, "malformed", f"the {where} does not hold: {text}", [fault])


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
    """Litestar's handler of its own errors: no such path, no such method, a body too large."""
    status = error.status_code
    code = http.HTTPStatus(status).name.lower()
    text = error.detail or http.HTTPStatus(status).phrase
    if status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        text = f"the body is too large: at most {request.app.request_max_body_size} bytes are right"
    response = respond(Problem(status, code, text))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
