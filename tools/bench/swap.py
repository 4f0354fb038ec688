"""What a swap costs besides the drain and the load itself."""

from __future__ import annotations

import json
from http.client import HTTPConnection

from tools.bench.boxes import ask
from tools.bench.figures import Figure, at_most, median, observed
from tools.chaos.box import Box, Stone

TITLE = "one swap, fake soulstones ready 0.30 s after their start"
LOAD = 0.30
SWAPS = 12


def run() -> dict[str, Figure]:
    """Asks A and B in turn, with nothing in flight, so that every request is one swap."""
    stones = [Stone(name, coven=name, load=LOAD, tokens_per_second=1000) for name in ("a", "b")]
    extra: list[float] = []
    totals: list[float] = []
    with Box(stones, budget=200, tables={"whim": {"think": 0.0, "linger": 0.0}}) as box:
        ask(box, "a")
        for number in range(SWAPS):
            model = "ba"[number % 2]
            cold = ask(box, model).seconds
            warm = median(ask(box, model).seconds for _time in range(5))
            totals.append(cold)
            extra.append(cold - warm - loaded(box.stones[model].port))
    return {
        "swap_overhead_median": at_most(median(extra) * 1000, 50, "ms", reference="Go swapper 650"),
        "swap_overhead_worst": observed(max(extra) * 1000, "ms"),
        "cold_request_median": observed(median(totals) * 1000, "ms", reference="Go swapper 950"),
    }


def loaded(port: int) -> float:
    """How long the soulstone itself took from its process's start until it was ready."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/stats")
        stats = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return stats["ready_at"] - stats["started_at"]
