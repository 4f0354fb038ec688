"""What the gate does to 64 event streams of 50 events a second: delay, and no event harmed (G4)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httptools
import uvloop

from tools.bench.figures import Figure, at_most, exactly, observed, percentile
from tools.bench.gate_process import EVENTS_PER_SECOND, MODEL, running

TITLE = "64 SSE streams at 50 events/s"

STREAMS = 64
COUNT = 400


class Stream(asyncio.Protocol):
    """One client: what events came, and when."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.parser: Any = httptools.HttpResponseParser(self)
        self.rest = b""
        self.delays: list[float] = []
        self.wrong = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport: Any = transport
        body = json.dumps({"model": MODEL, "stream": True, "id": self.number, "count": COUNT})
        transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body.encode())
        )

    def data_received(self, data: bytes) -> None:
        self.now = time.monotonic()
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        *whole, self.rest = (self.rest + data).split(b"\n\n")
        for event in whole:
            try:
                payload = json.loads(event.removeprefix(b"data: "))
                right = (payload["stream"], payload["index"]) == (self.number, len(self.delays))
                self.delays.append(self.now - payload["sent"])
            except (ValueError, KeyError, TypeError):
                right = False
            self.wrong += not right

    def on_message_complete(self) -> None:
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def jitter(self) -> list[float]:
        """How much each gap between events differs from the gap they were sent with."""
        return [abs(b - a) for a, b in zip(self.delays, self.delays[1:], strict=False)]


async def watch(port: int) -> list[Stream]:
    """All streams at once, begun evenly over one event's time."""
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    for number in range(STREAMS):
        _, stream = await loop.create_connection(lambda n=number: Stream(n), "127.0.0.1", port)
        streams.append(stream)
        await asyncio.sleep(1 / EVENTS_PER_SECOND / STREAMS)
    async with asyncio.timeout(COUNT / EVENTS_PER_SECOND + 15):
        await asyncio.gather(*(stream.done for stream in streams))
    return streams


def run() -> dict[str, Figure]:
    """The same streams direct and through the gate."""
    with running("events") as backend, running("gate", backend) as gate:
        direct = uvloop.run(watch(backend))
        through = uvloop.run(watch(gate))

    def p99(streams: list[Stream], measure: str) -> float:
        values = [v for s in streams for v in (s.jitter() if measure == "gap" else s.delays)]
        return 1000 * percentile(values, 99)

    gap, delay = p99(through, "gap"), p99(through, "delay")
    return {
        "added inter-event delay, p99": at_most(
            round(max(0.0, gap - p99(direct, "gap")), 3), 2, "ms", round(p99(direct, "gap"), 3)
        ),
        "added one-way delay, p99": observed(
            round(delay - p99(direct, "delay"), 3), "ms", round(p99(direct, "delay"), 3)
        ),
        "events lost": exactly(STREAMS * COUNT - sum(len(s.delays) for s in through), 0, "events"),
        "events merged or split wrongly": exactly(
            sum(s.wrong + bool(s.rest) for s in through), 0, "events"
        ),
    }
