"""What a client may be told instead of an answer."""

from __future__ import annotations

from collections.abc import Iterable

from covend.client.models import Fault


class ApiError(Exception):
    """A request that the box did not carry out.

    ``status`` is HTTP's (0 where there was no answer), ``code`` is for programs, ``errors`` names
    every fault by its path.
    """

    def __init__(
        self, message: str, status: int = 0, code: str = "", errors: Iterable[Fault] = ()
    ) -> None:
        self.status = status
        self.code = code
        self.errors = tuple(errors)
        lines = [message, *(f"  {fault.path}: {fault.problem}" for fault in self.errors)]
        super().__init__("\n".join(lines))


class QueryInvalid(ApiError):
    """The request does not hold (400, 413, 415, 422); ``errors`` says what and where."""


class NotFound(ApiError):
    """There is no such query, task or responder (404)."""


class Conflict(ApiError):
    """It does not fit what has happened already (409)."""


class Unavailable(ApiError):
    """The box cannot be reached, is restarting, or takes no more now (429, 502, 503, 504).

    ``retry_after`` is in seconds, None where the box named none.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        code: str = "",
        errors: Iterable[Fault] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status, code, errors)
        self.retry_after = retry_after


class StillRunning(TimeoutError):
    """The query goes on, and the time to wait for it is over; ``id`` finds it again."""

    def __init__(self, id: str, seconds: float) -> None:
        super().__init__(f"query {id} has no end after {seconds:g} s; client.get({id!r}) looks")
        self.id = id
