"""The API on a port of its own, with a scripted desk behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
from tests.api.scripted_desk import ScriptedDesk

from covend.api.serving import Server, web_server
from covend.runtime import ActorRef, ThreadSystem
from covend.testing import eventually

QUERY: dict[str, Any] = {"question": "what is it?", "responders": [{"kind": "llm"}]}
TASK: dict[str, Any] = {
    "id": "t-1", "did": "did:ada", "state": "open", "thread": "q-1", "question": "Is it right?",
    "input": {"inline": "x = 1"}, "answer_shape": {"kind": "text"}, "opened": 1,
}  # fmt: skip
MAX_BODY = 1 << 20


class Served:
    """A running API; ``desk`` is the scripted desk, None while the core is away."""

    def __init__(self) -> None:
        self.system = ThreadSystem(node="core")
        self.desk: ActorRef | None = None
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.server: Server = web_server(self.system, MAX_BODY)
        self.thread = threading.Thread(target=self._serve, name="api server")
        self.thread.start()
        with self.connected() as client:  # what lives as long as the server starts now
            client.get("/api/queries")

    @contextlib.contextmanager
    def connected(self) -> Iterator[httpx.Client]:
        """A core and a client, for one test."""
        self.core_starts()
        try:
            with httpx.Client(base_url=self.url, timeout=20, trust_env=False) as self.client:
                yield self.client
        finally:
            if self.desk is not None:
                self.core_dies()
            self.cut()

    def cut(self) -> None:
        """Ends every connection at once, as a lost network does."""
        for connection in list(self.server.server_state.connections):
            loop = self.server.servers[0].get_loop()
            loop.call_soon_threadsafe(connection.transport.abort)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        asyncio.run(self.server.serve(sockets=[self.socket]))

    def core_starts(self, past: ScriptedDesk | None = None) -> None:
        self.desk = self.system.spawn(ScriptedDesk, past, name="desk")

    def core_dies(self) -> ScriptedDesk:
        """Returns what the next core would read from its records."""
        assert self.desk is not None
        state = self.actor
        self.desk.stop()
        assert self.system.join(self.desk, timeout=5)
        self.desk = None
        return state

    @property
    def actor(self) -> ScriptedDesk:
        assert self.desk is not None
        return self.desk.cell.actor

    def tell(self, message: object) -> None:
        assert self.desk is not None
        self.desk.tell(message)

    def heard(self, kind: type, count: int = 1) -> None:
        """Waits until the desk has heard so many messages of a kind."""

        def enough() -> bool:
            return sum(isinstance(message, kind) for message in self.actor.heard) >= count

        eventually(enough, 10, f"{count} {kind.__name__} heard")

    def submit(self, question: str = "what is it?", **params: Any) -> httpx.Response:
        body = {**QUERY, "question": question}
        return self.client.post("/api/queries", json=body, params=params)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.socket.close()
        self.system.shutdown(timeout=5)
