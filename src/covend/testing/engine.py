"""The inside of a fake soulstone: its memory, its slots, its faults, its journal, its pace.

The standard library alone: it is imported by every fake soulstone, which is up in some 30 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NoReturn

from covend.testing.http import ClientGone, Connection

MIB = 1024 * 1024
_BLOCK = 8 * MIB
_TICK = 0.02
_GRACE = 0.05
"""Whoever sends us work counts a slot free when it closes a connection; we see that a bit later."""


class Journal:
    """Events as JSON lines, each written whole at once, readable after a SIGKILL."""

    def __init__(self, path: str | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = None if path is None else os.open(path, flags, 0o644)

    def write(self, event: str, **more: object) -> None:
        """Appends one event with its monotonic time and this process's id."""
        if self._fd is not None:
            line = {"t": time.monotonic(), "pid": os.getpid(), "event": event, **more}
            os.write(self._fd, json.dumps(line).encode() + b"\n")


class Slots:
    """So many requests at once, the rest in order of arrival.

    Who waits longer than the grace was admitted by somebody who counts wrongly.
    """

    def __init__(self, count: int) -> None:
        self.free = count
        self.over_admitted = 0
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def enter(self, connection: Connection) -> bool:
        """Takes a slot, after a wait where there is none; False if the wait was a long one.

        Raises ClientGone when the client leaves meanwhile.
        """
        with self._lock:
            if self.free > 0:
                self.free -= 1
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        late = time.monotonic() + _GRACE
        try:
            while not turn.wait(_TICK):
                connection.check()
        except ClientGone:
            with self._lock:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                    raise
            self.leave()  # the turn came as the client went
            raise
        in_time = time.monotonic() < late
        with self._lock:
            self.over_admitted += not in_time
        return in_time

    def leave(self) -> None:
        """Gives the slot to the first that waits."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self.free += 1


class Engine:
    """The state of one fake soulstone: its memory, its slots, its faults, what it has seen."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model: str = options.model
        self.embedding: bool = options.embedding
        self.load_seconds: float = options.load_seconds
        self.memory_mib: float = options.memory_mib
        self.tokens_per_second: float = options.tokens_per_second
        self.request_seconds: float | None = options.request_seconds
        self.slot_count: int = options.slots
        self.slots = Slots(options.slots)
        self.journal = Journal(options.journal)
        self.faults: dict[str, float] = {}
        self.fault_set_at = 0.0
        self.started_at = process_start()
        self.ready_at: float | None = None
        self.lock = threading.Lock()
        self.requests = self.finished = self.unclean = self.in_flight = 0
        self.max_concurrent = self.tokens = 0
        self._memory: list[bytes] = []
        for fault in options.fault:
            self.set_fault(*fault)

    def set_fault(self, name: str, value: float) -> None:
        """Adds a fault; its clock starts now."""
        self.faults[name] = value
        self.fault_set_at = time.monotonic()
        self.journal.write("fault", name=name, value=value)

    def run(self) -> NoReturn:
        """Loads, becomes ready, and then lives with its faults. A thread of its own."""
        held = 0.0
        done = self.started_at + self.load_seconds
        span = max(_TICK, done - time.monotonic())
        while (left := done - time.monotonic()) > 0 or held < self.memory_mib:
            held = self._allocate(held, self.memory_mib * min(1.0, 1 - left / span))
            time.sleep(max(0.0, min(_TICK, done - time.monotonic())))
        while "never-ready" in self.faults:
            time.sleep(_TICK)
        self.ready_at = time.monotonic()
        self.journal.write("ready")
        leaked = 0.0
        while True:
            time.sleep(_TICK)
            alive = time.monotonic() - self.fault_set_at
            if alive >= self.faults.get("die-after", float("inf")):
                die()
            wanted = leaked + self.faults.get("leak", 0.0) * _TICK
            leaked = self._allocate(leaked, wanted) if wanted - leaked else leaked

    def _allocate(self, held: float, wanted: float) -> float:
        """Takes memory and touches every page of it; returns what is held then, in MiB."""
        while held < wanted:
            size = min(_BLOCK, max(1, round((wanted - held) * MIB)))
            self._memory.append(b"\1" * size)
            held += size / MIB
        return held

    def stats(self) -> dict[str, Any]:
        """What an outside observer asks for at ``GET /stats``."""
        return {
            "model": self.model,
            "pid": os.getpid(),
            "started_at": self.started_at,
            "ready_at": self.ready_at,
            "slots": self.slot_count,
            "requests": self.requests,
            "finished": self.finished,
            "unclean": self.unclean,
            "in_flight": self.in_flight,
            "max_concurrent": self.max_concurrent,
            "over_admitted": self.slots.over_admitted,
            "tokens": self.tokens,
            "memory_bytes": sum(map(len, self._memory)),
            "faults": dict(self.faults),
        }

    def step_seconds(self, tokens: int) -> float:
        """The pace of an answer of so many tokens."""
        if self.request_seconds is not None:
            return self.request_seconds / tokens
        return 1 / self.tokens_per_second

    def before_token(self, number: int, connection: Connection) -> None:
        """Has the faults that are due once an answer has ``number`` tokens."""
        never = float("inf")
        if number >= self.faults.get("die-mid-stream", never):
            die()
        if number >= self.faults.get("cut", never):
            raise ClientGone("cut by the fault")
        while number >= self.faults.get("hang", never):
            connection.wait_until(time.monotonic() + _TICK)


class Request:
    """One request in a slot: counted in, counted out, whatever happens in between."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self.engine = engine
        self.connection = connection

    def __enter__(self) -> Request:
        engine = self.engine
        with engine.lock:
            engine.requests += 1
            self.id = f"fake-{os.getpid()}-{engine.requests}"
        key = self.connection.headers.get("idempotency-key")
        engine.journal.write("request", id=self.id, key=key)
        try:
            if not engine.slots.enter(self.connection):
                engine.journal.write("over_admitted", id=self.id)
        except ClientGone:
            with engine.lock:
                engine.unclean += 1
            raise
        with engine.lock:
            engine.in_flight += 1
            engine.max_concurrent = max(engine.max_concurrent, engine.in_flight)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        engine = self.engine
        with engine.lock:
            engine.in_flight -= 1
            engine.finished += kind is None
            engine.unclean += kind is not None
        engine.slots.leave()

    def tokens(self, count: int) -> Iterator[int]:
        """Yields the numbers of tokens, each when its time has come."""
        start = time.monotonic()
        step = self.engine.step_seconds(count)
        for number in range(count):
            self.engine.before_token(number, self.connection)
            self.connection.wait_until(start + (number + 1) * step)
            with self.engine.lock:
                self.engine.tokens += 1
            yield number


def process_start() -> float:
    """When this process was created, on the monotonic clock, to 10 ms."""
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rsplit(b")", 1)[1].split()[19])
    now = time.monotonic()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    # In some sandboxes the tick count is of another clock: then its start is now.
    return now - age if 0 <= age < 60 else now


def die() -> NoReturn:
    """Ends this process as the kernel's out-of-memory killer would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a SIGKILL to oneself does not return")
