"""A box of fake soulstones to strike at: its file, its process, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from covend.boot import chaos
from covend.testing import eventually, fake_command, free_port
from tools.chaos.observer import Observer, Promise
from tools.chaos.processes import MARK, Processes

MIB = 1024 * 1024
START_SECONDS = 30.0
STOP_SECONDS = 60.0
LOGGED = ("core", "reactor", "gate-0")


@dataclass(frozen=True, slots=True)
class Stone:
    """One fake soulstone of the box: sizes in MiB, times in seconds.

    Without a coven it is the lexicon: always resident, on top of all covens (W5).
    """

    name: str
    coven: str
    slots: int = 1
    memory: int = 60
    load: float = 0.3
    tokens_per_second: float = 100.0
    request: float | None = None
    shared: bool = False
    faults: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)

    def command(self, journal: Path) -> tuple[str, ...]:
        """What starts it."""
        return fake_command(
            self.name,
            port=self.port,
            load_seconds=self.load,
            tokens_per_second=self.tokens_per_second,
            request_seconds=self.request,
            memory_mib=self.memory,
            slots=self.slots,
            embedding=not self.coven,
            journal=journal,
            faults=self.faults,
        )


class Box:
    """A whole box in a folder of its own, from ``with`` to the end of it, on real processes.

    ``budget`` is the capacity of its one device in MiB. ``extra`` is TOML put before the tables,
    ``tables`` replaces whole tables such as ``whim`` or ``watchdog`` by their settings.
    """

    def __init__(
        self,
        stones: Sequence[Stone],
        budget: int,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        extra: str = "",
    ) -> None:
        self.stones = {stone.name: stone for stone in stones}
        self.budget = budget
        self.port = free_port()
        # Short, and not below pytest's own folder: the path of a Unix socket holds 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="covend-"))
        self.config = self.folder / "box.toml"
        self.run_dir = self.folder / "run"
        self.config.write_text(self.toml(tables or {}, extra))
        self.log = self.folder / "box.log"
        self.processes = Processes(self.folder.name)
        self._process: subprocess.Popen[bytes] | None = None

    def journal(self, name: str) -> Path:
        """Where a soulstone writes down what happens to it."""
        return self.folder / f"{name}.jsonl"

    def toml(self, tables: Mapping[str, Mapping[str, Any]], extra: str) -> str:
        """The box file."""
        parts = [
            f"name = {value('chaos')}\nlisten = {value(f'127.0.0.1:{self.port}')}",
            f"run_dir = {value(str(self.run_dir))}",
            f"state_dir = {value(str(self.folder / 'state'))}",
            extra,
            table("[device]", {"name": "host", "kind": "host", "capacity": self.budget * MIB}),
        ]
        covens: dict[str, list[str]] = {}
        for stone in self.stones.values():
            if stone.coven and not stone.shared:
                covens.setdefault(stone.coven, []).append(stone.name)
            parts.append(table("[soulstone]", self.settings(stone)))
        for name, members in covens.items():
            parts.append(table("[coven]", {"name": name, "soulstones": members}))
        parts += [table(name, settings) for name, settings in tables.items()]
        return "\n".join(part for part in parts if part) + "\n"

    def settings(self, stone: Stone) -> dict[str, Any]:
        """One soulstone's table."""
        common = {
            "name": stone.name,
            "endpoint": f"http://127.0.0.1:{stone.port}",
            "discipline": "titan" if stone.slots == 1 else "kinetic",
            "slots": stone.slots,
            "service_seconds": stone.request or 0.2,
        }
        if stone.shared:
            return {**common, "authority": "shared"}
        return {
            **common,
            "command": list(stone.command(self.journal(stone.name))),
            # The interpreter needs some memory besides what the fake is told to hold.
            "memory": {"host": (stone.memory + 16) * MIB},
            "load_seconds": stone.load,
            "lexicon": not stone.coven,
            "stop_seconds": 5.0,
        }

    def promise(self) -> Promise:
        """What an observer holds this box to."""
        owned = [s for s in self.stones.values() if s.coven and not s.shared]
        return Promise(
            covens={stone.name: (stone.coven, frozenset({"host"})) for stone in owned},
            budget=self.budget * MIB,
            journals=[self.journal(stone.name) for stone in owned],
        )

    def observe(self) -> Observer:
        """An observer of this box, not yet started."""
        return Observer(self.processes, self.promise())

    def start(self) -> None:
        """Starts the box; returns once its gate answers. Raises AssertionError with its log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tools.chaos.serve", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, MARK: self.folder.name, chaos.VARIABLE: "1"},
            )
        try:
            eventually(self.answers, START_SECONDS, "the box's gate answers")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def answers(self) -> bool:
        """Whether the gate lists its models."""
        assert self._process is not None and self._process.poll() is None, self.tail()
        try:
            return self.get("/v1/models")[0] == 200
        except (OSError, HTTPException):
            return False

    def get(self, path: str, seconds: float = 5.0) -> tuple[int, bytes]:
        """Status and body of a GET at the gate."""
        return self.request("GET", path, None, seconds)

    def chat(
        self, model: str, tokens: int = 3, seconds: float = 30.0, klass: str = "reflex"
    ) -> tuple[int, Any]:
        """Status and JSON of one small chat request."""
        message = {"role": "user", "content": "hello"}
        body = {"model": model, "max_tokens": tokens, "messages": [message]}
        status, raw = self.request("POST", "/v1/chat/completions", body, seconds, klass)
        return status, json.loads(raw)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        seconds: float,
        klass: str = "reflex",
    ) -> tuple[int, bytes]:
        """Status and body of one request at the gate, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        headers = {"Content-Type": "application/json", "X-Covend-Class": klass}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends the box as ``covend stop`` does, by SIGTERM to its root, and waits for it."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the box did not stop within {STOP_SECONDS:g} s\n{self.tail()}"
            ) from None

    def tail(self, size: int = 4000) -> str:
        """The ends of the box's logs: the root's, and those of the nodes that decide."""
        logs = [self.log, *(self.run_dir / "logs" / f"{node}.log" for node in LOGGED)]
        return "\n".join(
            f"── {path.stem}\n{path.read_text(errors='replace')[-size:]}"
            for path in logs
            if path.exists()
        )

    def __enter__(self) -> Box:
        try:
            self.start()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._clear()

    def _clear(self) -> None:
        """Ends by force whatever is left, for the next test's sake, and removes the folder."""
        for sight in self.processes.look():
            try:
                os.kill(sight.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # ended on its own meanwhile
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        eventually(lambda: not [s for s in self.processes.look() if s.runs], 10, "all are gone")
        shutil.rmtree(self.folder, ignore_errors=True)


def table(name: str, settings: Mapping[str, Any]) -> str:
    """A TOML table; ``[name]`` for one of an array of tables.

    >>> table("whim", {"kappa": 2.0})
    '[whim]\\nkappa = 2.0'
    """
    return "\n".join([f"[{name}]", *(f"{key} = {value(item)}" for key, item in settings.items())])


def value(item: Any) -> str:
    """A TOML value: texts, numbers, booleans, lists, and tables of them in one line."""
    if isinstance(item, Mapping):
        inner = ", ".join(f"{key} = {value(part)}" for key, part in item.items())  # pyright: ignore[reportUnknownVariableType]
        return "{ " + inner + " }"
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(value(part) for part in item) + "]"  # pyright: ignore[reportUnknownVariableType]
    return json.dumps(item)  # texts, numbers and booleans look the same in both
