"""The Python client of a box: ``covend.Client`` and ``covend.AsyncClient``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "AsyncClient": "aio",
    "Client": "blocking",
    "ApiError": "errors",
    "Conflict": "errors",
    "NotFound": "errors",
    "QueryInvalid": "errors",
    "StillRunning": "errors",
    "Unavailable": "errors",
}

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Conflict",
    "NotFound",
    "QueryInvalid",
    "StillRunning",
    "Unavailable",
]


def __getattr__(name: str) -> Any:
    """Import at first use: the API itself wants the models here and no HTTP client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
