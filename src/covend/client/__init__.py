"""The Python client of a box: ``covend.Client`` and ``covend.AsyncClient``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covend.client.aio import AsyncClient
    from covend.client.blocking import Client
    from covend.client.errors import (
        ApiError,
        Conflict,
        NotFound,
        QueryInvalid,
        StillRunning,
        Unavailable,
    )
    from covend.client.models import (
        Answer,
        Event,
        Fault,
        QueryLine,
        QueryPage,
        QueryView,
        RecordPage,
        Responders,
        Task,
        TaskPage,
        Ticket,
    )
    from covend.patterns.query.spec import Query
    from covend.patterns.responders.responder import KnownResponder, Responder

_HOMES = {
    "covend.client.aio": ("AsyncClient",),
    "covend.client.blocking": ("Client",),
    "covend.client.errors": (
        "ApiError", "Conflict", "NotFound", "QueryInvalid", "StillRunning", "Unavailable",
    ),
    "covend.client.models": (
        "Answer", "Event", "Fault", "QueryLine", "QueryPage", "QueryView", "RecordPage",
        "Responders", "Task", "TaskPage", "Ticket",
    ),
    "covend.patterns.responders.responder": ("KnownResponder", "Responder"),
    "covend.patterns.query.spec": ("Query",),
}  # fmt: skip
"""Where each name is defined."""
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "Client",
    "Conflict",
    "Event",
    "Fault",
    "KnownResponder",
    "NotFound",
    "Query",
    "QueryInvalid",
    "QueryLine",
    "QueryPage",
    "QueryView",
    "RecordPage",
    "Responder",
    "Responders",
    "StillRunning",
    "Task",
    "TaskPage",
    "Ticket",
    "Unavailable",
]

if not TYPE_CHECKING:  # a type checker must know each name, and no others

    def __getattr__(name: str) -> object:
        """Import at first use: the API itself wants the models here and no HTTP client."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)
