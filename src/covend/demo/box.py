"""A box of its own for the demo: `covend serve` as a child, in folders that go with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from covend.protocol import (
    CONSOLE,
    EventsQuery,
    JobQuery,
    PsQuery,
    StatusQuery,
    SubmitJob,
    SwapRequest,
)
from covend.runtime import ActorError
from covend.runtime.wire import Node

ASK_SECONDS = 5.0


class DemoFailed(RuntimeError):
    """The box did not do what it must; says what, and where its logs are."""


class DemoBox:
    """`covend serve CONFIG` for as long as the ``with`` block lasts."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="covend-demo-"))
        self.run_dir = self.folder / "run"
        self.state_dir = self.folder / "state"
        self.log = self.folder / "serve.log"
        self.run_dir.mkdir(mode=0o700)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "covend.cli", "serve", str(self.config)]
        command += ["--run-dir", str(self.run_dir), "--state-dir", str(self.state_dir)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.wait_until_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until_up(self, seconds: float = 30.0) -> None:
        """Wait until the core answers; raises ``DemoFailed`` with the end of the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                if self.status()["gates"]:
                    return
            except (ActorError, OSError, KeyError):
                pass  # it is still starting
            time.sleep(0.05)
        raise DemoFailed(f"the box did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop the box as `covend stop` would, and remove its folders."""
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10.0)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ── asking ──────────────────────────────────────────────────────────────────────────────

    def ask(self, address: str, message: object, timeout: float = ASK_SECONDS) -> Any:
        """Ask an actor of the box; raises what the runtime raises."""
        with Node.client(self.run_dir) as client:
            return client.ask(address, message, timeout=timeout)

    def status(self) -> dict[str, Any]:
        return self.ask(CONSOLE, StatusQuery())

    def events(self, after: int) -> dict[str, Any]:
        return self.ask(CONSOLE, EventsQuery(after=after))

    def swap(self, coven: str) -> dict[str, Any]:
        return self.ask(CONSOLE, SwapRequest(coven=coven), timeout=120.0)

    def submit(self, job: SubmitJob) -> str:
        return self.ask(CONSOLE, job, timeout=20.0)

    def job(self, name: str) -> dict[str, Any]:
        return self.ask(CONSOLE, JobQuery(id=name))

    def pid_of(self, process: str) -> int:
        """The pid of one of the box's own processes, as the root knows it."""
        for child in self.ask("ps@root", PsQuery())["tree"]:
            if child["name"] == process and child["pid"]:
                return child["pid"]
        raise DemoFailed(f"the root knows no running process {process!r}")

    def soulstone_pid(self, name: str) -> int:
        """The pid of a soulstone, as the core sees it."""
        for coven in self.status()["covens"]:
            for stone in coven["soulstones"]:
                if stone["name"] == name and stone["pid"]:
                    return stone["pid"]
        raise DemoFailed(f"no process of soulstone {name!r} is known")


def kill(pid: int) -> None:
    """``kill -9``."""
    os.kill(pid, signal.SIGKILL)
