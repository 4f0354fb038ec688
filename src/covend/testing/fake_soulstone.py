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
from typing import Any, NoReturn, cast

from covend.testing import answers
from covend.testing.engine import Engine, Request
from covend.testing.faults import FAULTS, parse_fault
from covend.testing.http import ClientGone, Connection, HttpError


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
