"""A provider that charges by the call, for the demo: a front of one of the box's own models.

It counts what it is paid for, and honours idempotency keys as such providers do: a key it has
answered gets the same answer again, and is not charged twice.
"""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ANSWER_SECONDS = 60.0


class Provider:
    """Listens on 127.0.0.1 for as long as the ``with`` block lasts; ``charged`` counts by key."""

    def __init__(self, port: int, gate: str) -> None:
        self.gate = urlsplit(gate)
        self.charged: dict[str, int] = {}
        self.asked = 0
        self._answers: dict[str, bytes] = {}
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                key = self.headers.get("Idempotency-Key", "")
                status, answer = provider.answer(self.path, key, self.rfile.read(length))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass  # the demo's screen is not its log

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer(self, path: str, key: str, body: bytes) -> tuple[int, bytes]:
        """The model's answer; charged once for a key."""
        with self._lock:
            self.asked += 1
            if key in self._answers:
                return 200, self._answers[key]
        connection = http.client.HTTPConnection(
            self.gate.hostname or "127.0.0.1", self.gate.port, timeout=ANSWER_SECONDS
        )
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status == 200:
            with self._lock:
                self.charged[key] = self.charged.get(key, 0) + 1
                self._answers[key] = answer
        return response.status, answer

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)
