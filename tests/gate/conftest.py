"""A gate in the test's own loop, with scripted soulstones behind it and raw sockets before it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from covend.config import Box, GateLimits, Soulstone
from covend.gate import Gate
from covend.protocol import Admission

SECONDS = 10.0

# The first loop of a process opens a pair of pipes for signals that stay until it ends.
uvloop.run(asyncio.sleep(0))


@dataclass
class Answer:
    """One response as a client reads it. ``whole`` is False where the connection ended early."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True
    chunks: list[bytes] = field(default_factory=list)

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


class Conn:
    """A raw client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def ask(
        self,
        body: object = None,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        version: str = "1.1",
        **headers: str,
    ) -> None:
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        lines = [f"{method} {path} HTTP/{version}", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if raw or method == "POST":
            lines.append(f"Content-Length: {len(raw)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + raw)

    async def head(self) -> Answer:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines if line]
        return Answer(int(first.split()[1]), {n.lower(): v for n, _, v in pairs}, b"")

    async def answer(self, head_only: bool = False) -> Answer:
        answer = await self.head()
        if head_only or answer.status in (204, 304):
            return answer
        try:
            if answer.headers.get("transfer-encoding") == "chunked":
                while True:
                    size = int(await self.reader.readuntil(b"\r\n"), 16)
                    chunk = (await self.reader.readexactly(size + 2))[:-2]
                    if not size:
                        break
                    answer.chunks.append(chunk)
                    answer.body += chunk
            elif "content-length" in answer.headers:
                answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
            else:
                answer.body = await self.reader.read()
        except asyncio.IncompleteReadError as error:
            answer.body += error.partial
            answer.whole = False
        return answer

    async def ended(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()


@dataclass
class Call:
    """One request as a soulstone got it."""

    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reply(self, body: bytes = b"{}", status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def begin(self, kind: str = "text/event-stream") -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.writer.write(head.encode())

    def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def die(self) -> None:
        self.writer.transport.abort()


class Stone:
    """A scripted soulstone: the test takes its calls one by one and answers them."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Call] = asyncio.Queue()
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, found, rest = head.lower().partition(b"content-length: ")
                size = int(rest.split(b"\r\n")[0]) if found else 0
                await self.calls.put(Call(head, await reader.readexactly(size), reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gate closed the connection
        finally:
            self.writers.discard(writer)
            writer.close()

    async def call(self) -> Call:
        return await asyncio.wait_for(self.calls.get(), SECONDS)

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()


class Rig:
    """The gate, its soulstones ``a`` and ``b``, and what it told the core."""

    def __init__(self) -> None:
        self.stones = {"a": Stone(), "b": Stone()}
        self.told: list[Any] = []
        self.confirmed: list[tuple[str, Any]] = []
        self.conns: list[Conn] = []
        self.epoch = 0
        self.gate: Gate

    # the link to the core
    def send(self, message: Any) -> None:
        self.told.append(message)

    def send_to(self, address: str, message: Any) -> None:
        self.confirmed.append((address, message))

    def heard(self, kind: type) -> list[Any]:
        return [message for message in self.told if isinstance(message, kind)]

    def open(self, eta: dict[str, float] | None = None, **slots: int) -> None:
        self.epoch += 1
        self.gate.on_core(Admission(epoch=self.epoch, open=slots, eta=eta or {}))

    async def connect(self) -> Conn:
        return self.adopt(*await asyncio.open_connection(*self.gate.address))

    def adopt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Conn:
        conn = Conn(reader, writer)
        self.conns.append(conn)
        return conn

    async def ask(self, body: object = None, **how: Any) -> Conn:
        conn = await self.connect()
        conn.ask(body, **how)
        return conn

    async def until(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("the condition did not come true")
            await asyncio.sleep(0.002)

    def used(self, name: str = "a") -> int:
        return self.gate.desk.stones[name].used

    def waiting(self) -> int:
        return len(self.gate.desk.waiting)


Scenario = Callable[[Rig], Awaitable[None]]


@pytest.fixture
def play() -> Callable[..., None]:
    """Runs a scenario against a fresh gate; checks that no slot and no buffer is left over."""

    async def run(scenario: Scenario, stones: dict[str, Any], more: dict[str, Any]) -> None:
        rig = Rig()
        for stone in rig.stones.values():
            await stone.start()
        limits = GateLimits(**more.pop("limits", {}))
        box = Box(
            listen="127.0.0.1:0",
            gate=limits,
            soulstone=tuple(
                Soulstone(
                    name=name,
                    endpoint=f"http://127.0.0.1:{stone.port}",
                    model=f"real-{name}",
                    **{"discipline": "kinetic", "slots": 4, **stones},
                )
                for name, stone in rig.stones.items()
            ),
            **more,
        )
        rig.gate = Gate(box, rig)
        await rig.gate.start()
        try:
            async with asyncio.timeout(30):
                await scenario(rig)
        finally:
            for conn in rig.conns:
                conn.writer.transport.abort()
            for stone in rig.stones.values():
                await stone.stop()
            await rig.gate.stop(grace=2)
        assert not rig.gate.exchanges
        assert not rig.gate.clients
        assert rig.gate.buffered == 0
        assert all(stone.used == 0 for stone in rig.gate.desk.stones.values())

    def start(scenario: Scenario, stones: dict[str, Any] | None = None, **more: Any) -> None:
        uvloop.run(run(scenario, stones or {}, more))

    return start
