"""A model server without a model: a real process, real HTTP, real memory, faults on demand.

``python -m covend.testing.fake_soulstone --port 0 --load-seconds 0.3 --slots 4`` listens at once,
prints ``{"port": N, "pid": N}`` in one line, answers 503 until its load time is over, as
llama.cpp does, and then writes numbered tokens at a fixed pace. ``GET /stats`` tells an outside
observer what happened, ``POST /fault`` switches faults while it runs, and with ``--journal`` the
same is on disk when the process is dead.

One thread per connection and the standard library alone: it is up in some 30 ms, a third of
which an import of asyncio would already double.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, NoReturn, cast

from covend.testing import answers
from covend.testing.faults import FAULTS, parse_fault
from covend.testing.http import ClientGone, Connection, HttpError

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


class Server:
    """The routes, each one request of one connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.routes = {
            ("GET", "/health"): self.health,
            ("GET", "/stats"): self.stats,
            ("POST", "/fault"): self.fault,
            ("GET", "/v1/models"): self.models,
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.completion,
            ("POST", "/v1/embeddings"): self.embeddings,
            ("POST", "/v1/rerank"): self.rerank,
        }

    def serve(self, sock: socket.socket) -> None:
        """Answers one connection's requests until it ends. A thread of its own."""
        with sock:
            connection = Connection(sock)
            try:
                while connection.read_request():
                    try:
                        self.answer(connection)
                    except HttpError as error:
                        connection.send_error(error)
            except HttpError as error:
                connection.send_error(error)
            except (ClientGone, OSError):
                return  # gone, or cut by a fault: closing the socket is all that is left

    def answer(self, connection: Connection) -> None:
        route = self.routes.get((connection.method, connection.path))
        if route is None:
            raise HttpError(404, f"no such route: {connection.method} {connection.path}")
        if connection.path.startswith("/v1/") and self.engine.ready_at is None:
            raise HttpError(503, "Loading model")
        route(connection)

    def health(self, connection: Connection) -> None:
        if "unhealthy" in self.engine.faults:
            raise HttpError(500, "unhealthy, as told")
        if self.engine.ready_at is None:
            raise HttpError(503, "Loading model")
        connection.send_json({"status": "ok"})

    def stats(self, connection: Connection) -> None:
        connection.send_json(self.engine.stats())

    def fault(self, connection: Connection) -> None:
        """``{"fault": "hang:3"}`` adds one, ``{"fault": null}`` ends them all."""
        wanted = connection.json().get("fault")
        if wanted is None:
            self.engine.faults.clear()
        else:
            try:
                self.engine.set_fault(*parse_fault(str(wanted)))
            except ValueError as error:
                raise HttpError(400, str(error)) from None
        connection.send_json({"faults": self.engine.faults})

    def models(self, connection: Connection) -> None:
        model = {"id": self.engine.model, "object": "model", "owned_by": "covend"}
        connection.send_json({"object": "list", "data": [model]})

    def chat(self, connection: Connection) -> None:
        self.generate(connection, chat=True)

    def completion(self, connection: Connection) -> None:
        self.generate(connection, chat=False)

    def generate(self, connection: Connection, *, chat: bool) -> None:
        if self.engine.embedding:
            raise HttpError(501, "this soulstone only embeds")
        body = self.body(connection)
        try:
            ask = answers.parse_ask(body, chat=chat)
        except answers.BadRequest as error:
            raise HttpError(400, str(error)) from None
        with Request(self.engine, connection) as request:
            id, model = request.id, self.engine.model
            if ask.stream:
                connection.start_stream()
                connection.send_chunk(answers.opening(ask, id, model))
            for number in request.tokens(ask.tokens):
                if ask.stream:
                    connection.send_chunk(answers.piece(ask, id, model, number))
        # The slot is free before the client can know it, or its next request would find it taken.
        if ask.stream:
            connection.send_chunk(answers.closing(ask, id, model))
            connection.end_stream()
        else:
            connection.send_json(answers.whole(ask, id, model))

    def embeddings(self, connection: Connection) -> None:
        if not self.engine.embedding:
            raise HttpError(501, "this soulstone does not embed; start it with --embedding")
        self.at_once(connection, answers.embeddings)

    def rerank(self, connection: Connection) -> None:
        self.at_once(connection, answers.rerank)

    def at_once(self, connection: Connection, make: Any) -> None:
        try:
            made = make(self.body(connection), self.engine.model)
        except answers.BadRequest as error:
            raise HttpError(400, str(error)) from None
        with Request(self.engine, connection) as request:
            for _number in request.tokens(1):
                pass
        connection.send_json(made)

    def body(self, connection: Connection) -> dict[str, Any]:
        """The JSON body, checked for a model that this soulstone is (vLLM is as strict)."""
        body = connection.json()
        model = body.get("model", self.engine.model)
        if model != self.engine.model:
            raise HttpError(404, f"the model here is {self.engine.model!r}, not {model!r}")
        return body


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

    def tokens(self, count: int) -> Any:
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


def on_term(engine: Engine) -> None:
    """What SIGTERM does: an end at once, cutting what is in flight, unless a fault says else."""
    engine.journal.write("stopping", in_flight=engine.in_flight)
    if "ignore-term" in engine.faults:
        return
    delay = engine.faults.get("slow-stop")
    if delay is None:
        os._exit(0)
    threading.Timer(delay, os._exit, [0]).start()


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="covend.testing.fake_soulstone",
        description=cast(str, __doc__).partition("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(f"  {name:15} {what}" for name, (_, what) in FAULTS.items()),
    )
    parser.add_argument("--port", type=int, default=0, help="0: any, see the line printed")
    parser.add_argument("--model", default="fake", help="the name it answers to")
    parser.add_argument("--load-seconds", type=float, default=0.0, help="from the process's start")
    parser.add_argument("--tokens-per-second", type=float, default=100.0)
    parser.add_argument("--request-seconds", type=float, help="every request takes this instead")
    parser.add_argument("--memory-mib", type=float, default=0.0, help="allocated while it loads")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--embedding", action="store_true", help="embeds, and writes no text")
    parser.add_argument("--journal", metavar="FILE", help="append events as JSON lines")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[:VALUE]")
    options = parser.parse_args(argv)
    for name in ("tokens_per_second", "slots"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0")
    try:
        options.fault = [parse_fault(text) for text in options.fault]
    except ValueError as error:
        parser.error(str(error))
    return options


def main(argv: list[str] | None = None) -> NoReturn:
    """Serves until a signal or a fault ends the process."""
    options = parse(argv)
    engine = Engine(options)
    signal.signal(signal.SIGTERM, lambda _signum, _frame: on_term(engine))
    signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(130))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", options.port))
    except OSError as error:
        sys.exit(f"fake soulstone: cannot listen on 127.0.0.1:{options.port}: {error.strerror}")
    listener.listen(1024)
    port = listener.getsockname()[1]
    engine.journal.write("started", model=engine.model, port=port)
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    threading.Thread(target=engine.run, daemon=True).start()
    server = Server(engine)
    while True:
        sock, _peer = listener.accept()
        threading.Thread(target=server.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
