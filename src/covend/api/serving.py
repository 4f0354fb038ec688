"""The web server of the API process: uvicorn, for the gates alone."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, cast

import uvicorn

from covend.api.app import build
from covend.api.desk import Desk
from covend.runtime import System

STOP_SECONDS = 1
"""How long requests in hand may take to end when the box stops; streams take as long as they
may, and go on elsewhere after their last event."""


class Server(uvicorn.Server):
    """A uvicorn that leaves the signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing to capture: whoever runs it sets ``should_exit``."""
        yield


def web_server(system: System, max_body: int) -> Server:
    """A server of the API, to be run on sockets that listen; ``max_body`` is in bytes."""
    config = uvicorn.Config(
        cast(Any, build(Desk(system), max_body)),
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config)
