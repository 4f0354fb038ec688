"""A provider on loopback that charges by the call and honours idempotency keys."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Provider:
    """Answers chat completions with what ``answers`` has for the model; counts what it is paid.

    A key it has answered gets the same answer again, free of charge. ``port`` is where it listens.
    """

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.charged: Counter[str] = Counter()
        self.asked = 0
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # it was killed while it asked
                model = json.loads(body)["model"]
                data = provider.answer(model, self.headers["Idempotency-Key"])
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass  # its counts are its log

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer(self, model: str, key: str) -> bytes:
        """One completion; charged the first time its key is seen."""
        with self._lock:
            self.asked += 1
            if not self.charged[key]:
                self.charged[key] += 1
        message = {"role": "assistant", "content": json.dumps(self.answers[model])}
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return json.dumps({"choices": [{"message": message}], "usage": usage}).encode()

    @property
    def paid(self) -> int:
        """How many calls were charged."""
        return self.charged.total()

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
