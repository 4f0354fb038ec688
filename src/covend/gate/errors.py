"""Refusals: what was wrong, where, what would be right, in the dialect of the API asked (X6)."""

from __future__ import annotations

import math

import msgspec

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_ANTHROPIC = {**_TYPES, 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}


class Refusal(Exception):
    """A request that is not served: HTTP status, machine-readable code, a sentence for people.

    ``where`` names the part of the request at fault (``$.model``, a header's name).
    ``retry_after`` is in seconds. ``allow`` lists the methods of a 405. Raised and answered in
    the gate's loop.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        where: str | None = None,
        retry_after: float | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.where = where
        self.retry_after = retry_after
        self.allow = allow


def as_json(refusal: Refusal, anthropic: bool = False) -> bytes:
    """The error object of the OpenAI API, or of the Anthropic API."""
    status = refusal.status
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if anthropic:
        kind = _ANTHROPIC.get(status, "api_error" if status >= 500 else kind)
        error = {"type": kind, "message": refusal.message}
        return msgspec.json.encode({"type": "error", "error": error})
    if status == 429:
        kind = "rate_limit_error"
    return msgspec.json.encode(
        {
            "error": {
                "message": refusal.message,
                "type": _TYPES.get(status, kind),
                "param": refusal.where,
                "code": refusal.code,
            }
        }
    )


def as_event(refusal: Refusal, anthropic: bool = False) -> bytes:
    """The same as one server-sent event, for a stream whose status is already out (G4)."""
    name = b"event: error\n" if anthropic else b""
    return name + b"data: " + as_json(refusal, anthropic) + b"\n\n"


def headers(refusal: Refusal) -> list[tuple[str, str]]:
    """The headers that belong to the refusal itself: Retry-After (G3), Allow, WWW-Authenticate."""
    found: list[tuple[str, str]] = []
    if refusal.retry_after is not None:
        found.append(("Retry-After", str(max(1, math.ceil(refusal.retry_after)))))
    if refusal.allow is not None:
        found.append(("Allow", refusal.allow))
    if refusal.status == 401:
        found.append(("WWW-Authenticate", 'Bearer realm="covend"'))
    return found
