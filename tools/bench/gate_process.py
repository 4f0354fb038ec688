"""The processes that the benches ``gate`` and ``streams`` put between a client and a backend.

``python -m tools.bench.gate_process gate|relay|events BACKEND_PORT`` prints the port it listens
on and leaves when its standard input ends, so that no bench can leave one behind.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httptools
import uvloop

from covend.config import Box, Soulstone
from covend.gate import Gate
from covend.protocol import Admission

EVENTS_PER_SECOND = 50
MODEL = "bench"
REQUEST = json.dumps(
    {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 16,
    }
)
"""A small chat request; the backend knows the model by another name, so it is spliced too."""


class Silence:
    """A link to a core that is not there."""

    def send(self, message: object) -> None:
        pass

    def send_to(self, address: str, message: object) -> None:
        pass


async def gate(backend: int) -> int:
    """The gate as it is, with one open soulstone."""
    stone = Soulstone(
        name=MODEL,
        endpoint=f"http://127.0.0.1:{backend}",
        model="backend-model",
        discipline="kinetic",
        slots=256,
    )
    served = Gate(Box(listen="127.0.0.1:0", soulstone=(stone,)), Silence())
    await served.start()
    served.on_core(Admission(epoch=1, open={MODEL: 256}, eta={}))
    return served.address[1]


class RelayUpstream(asyncio.Protocol):
    """The backend's side of the bare relay."""

    def __init__(self, client: RelayClient) -> None:
        self.client = client
        self.parser: Any = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        self.client.transport.write(data)


class RelayClient(asyncio.Protocol):
    """The least a proxy can do here: parse both ways, copy, decide nothing."""

    def __init__(self, backend: int) -> None:
        self.backend = backend
        self.parser: Any = httptools.HttpRequestParser(self)
        self.upstream: asyncio.Transport | None = None
        self.early = b""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport: Any = transport
        self.task = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        self.upstream, _ = await loop.create_connection(
            lambda: RelayUpstream(self), "127.0.0.1", self.backend
        )
        self.upstream.write(self.early)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        if self.upstream is None:
            self.early += data
        else:
            self.upstream.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upstream is not None:
            self.upstream.close()


async def relay(backend: int) -> int:
    """The reference: a bare relay on the same libraries."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: RelayClient(backend), "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def events(_: int) -> int:
    """A backend that streams numbered, timed events, ``{"stream", "count"}`` as asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            start = time.monotonic()
            for index in range(asked["count"]):
                pause = start + index / EVENTS_PER_SECOND - time.monotonic()
                await asyncio.sleep(max(0.0, pause))
                payload = {"stream": asked["id"], "index": index, "sent": time.monotonic()}
                event = b"data: %b\n\n" % json.dumps(payload).encode()
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client left
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    return server.sockets[0].getsockname()[1]


async def main(role: str, backend: int) -> None:
    port = await {"gate": gate, "relay": relay, "events": events}[role](backend)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def running(role: str, backend: int = 0) -> Iterator[int]:
    """One such process for as long as the block lasts; yields its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.gate_process", role, str(backend)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {role} process ended with {process.wait(5)}")
        yield int(line)
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
