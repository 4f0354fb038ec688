"""A box that loses answers and cuts streams, each request by its script."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMENT = b":\n\n"


class Exchange(BaseHTTPRequestHandler):
    """One request; a connection ends with it, so that returning cuts a stream."""

    server: LossyBox

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append(f"{self.command} {self.path}")
        self.server.script.pop(0)(self)

    do_POST = do_DELETE = do_GET

    def says(self, status: int, content: bytes = b"", kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def event(self, seq: int, kind: str) -> None:
        told = {"seq": seq, "id": f"r-{seq}", "thread": "q-1", "kind": kind, "act": "DO",
                "actor": "a", "clock": 1, "body": {}}  # fmt: skip
        self.wfile.write(f"id: {seq}\ndata: {json.dumps(told)}\n\n".encode())

    def left(self, seconds: float) -> bool:
        """Whether the client leaves within so many seconds."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


Answer = Callable[[Exchange], None]


class LossyBox(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, *script: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.script = list(script)
        self.heard: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> LossyBox:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()


def lost(_: Exchange) -> None:
    """It was heard, and the connection is gone before the answer."""


def says(answer: Any = None, status: int = 200) -> Answer:
    content = b"" if answer is None else json.dumps(answer).encode()
    return lambda exchange: exchange.says(status, content)


def streams(then: Answer) -> Answer:
    """The head of a stream, and what then happens on it."""

    def begin(exchange: Exchange) -> None:
        exchange.says(200, kind="text/event-stream")
        then(exchange)

    return begin
