"""Runs a fake soulstone from a test, and asks it what it saw."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any

from covend.testing.waiting import eventually

_START_SECONDS = 10.0


def fake_command(
    model: str = "fake",
    *,
    port: int | str = 0,
    load_seconds: float = 0.0,
    tokens_per_second: float = 1000.0,
    request_seconds: float | None = None,
    memory_mib: float = 0.0,
    slots: int = 1,
    embedding: bool = False,
    journal: str | os.PathLike[str] | None = None,
    faults: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command line of a fake soulstone, for a box file or a process of your own.

    Times are seconds, memory is MiB. ``port`` may be a placeholder of the box file (``"{port}"``).

    >>> fake_command("chat", port=8080)[1:6]
    ('-m', 'covend.testing.fake_soulstone', '--model', 'chat', '--port')
    """
    command = [sys.executable, "-m", "covend.testing.fake_soulstone"]
    command += ["--model", model, "--port", str(port), "--load-seconds", f"{load_seconds:g}"]
    command += ["--tokens-per-second", f"{tokens_per_second:g}", "--memory-mib", f"{memory_mib:g}"]
    command += ["--slots", str(slots)]
    if request_seconds is not None:
        command += ["--request-seconds", f"{request_seconds:g}"]
    if embedding:
        command.append("--embedding")
    if journal is not None:
        command += ["--journal", os.fspath(journal)]
    for fault in faults:
        command += ["--fault", fault]
    return tuple(command)


class FakeSoulstone:
    """A fake soulstone's process, for the length of a ``with`` block.

    Takes the arguments of ``fake_command``. On entry it is listening, and ready too unless it was
    told never to be; on exit it is gone for certain. All methods block the calling thread, none
    longer than its deadline.

    >>> with FakeSoulstone("chat", slots=4) as stone:
    ...     stone.stats()["slots"]
    4
    """

    def __init__(self, model: str = "fake", **options: Any) -> None:
        self.model = model
        self.command = fake_command(model, **options)
        self._waits = "never-ready" not in options.get("faults", ())
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running (or ended) process; raises RuntimeError before the start."""
        if self._process is None:
            raise RuntimeError(f"the fake soulstone {self.model!r} was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> FakeSoulstone:
        """Starts it; returns once it listens. Raises RuntimeError when it does not."""
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        try:
            self.port = json.loads(self._first_line())["port"]
        except BaseException:
            self.stop(0.0)
            raise
        return self

    def _first_line(self) -> bytes:
        output = self.process.stdout
        assert output is not None
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            heard = selector.select(_START_SECONDS)
        line = output.readline() if heard else b""
        if not line:
            status = self.process.poll()
            raise RuntimeError(f"the fake soulstone said nothing (exit status {status})")
        return line

    def wait_ready(self, seconds: float = 10.0) -> None:
        """Returns once it is healthy; raises AssertionError after ``seconds``."""
        eventually(lambda: self.get("/health")[0] == 200, seconds, f"{self.model} is ready")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET. Raises OSError when it cannot be reached."""
        return self.request("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON of a POST. Raises OSError when it cannot be reached."""
        return self.request("POST", path, body)

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = 10.0
    ) -> tuple[int, Any]:
        """Status and JSON of one request on a connection of its own.

        Raises OSError or HTTPException when there is no whole answer within ``seconds``.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def stats(self) -> dict[str, Any]:
        """What it has seen: requests, most at once, over-admitted, unclean ends, times."""
        return self.get("/stats")[1]

    def set_fault(self, fault: str | None) -> None:
        """Gives it a fault while it runs, or takes them all away. Raises ValueError."""
        try:
            status, answer = self.post("/fault", {"fault": fault})
        except (OSError, HTTPException):
            if fault is not None and fault.startswith("die"):
                return  # it died before it could say so
            raise
        if status != 200:
            raise ValueError(answer["error"]["message"])

    def stop(self, seconds: float = 5.0) -> int:
        """Ends it with SIGTERM, after ``seconds`` with SIGKILL; returns its exit status."""
        process = self.process
        if seconds > 0:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass  # told to ignore it, perhaps: SIGKILL is next
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        return process.wait(_START_SECONDS)

    def kill(self) -> int:
        """Ends it with SIGKILL; returns its exit status."""
        return self.stop(0.0)

    def __enter__(self) -> FakeSoulstone:
        started = time.monotonic()
        self.start()
        if self._waits:
            try:
                self.wait_ready(_START_SECONDS + 60 - (time.monotonic() - started))
            except BaseException:
                self.kill()
                raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()
