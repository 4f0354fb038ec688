"""Two clients in closed loops, each with a model of its own, on a box that holds one."""

from __future__ import annotations

from tools.bench.boxes import closed_loop, starts
from tools.bench.figures import Figure, at_least, observed
from tools.chaos.box import Box, Stone

TITLE = "A and B, one closed-loop client each, 1 s loads, 1 s requests, 40 s"
SECONDS = 40.0
EAGER_SECONDS = 15.0


def run() -> dict[str, Figure]:
    """The same load under whim and, for less time, under eager."""
    requests, swaps = measure("whim", SECONDS)
    eager_requests, eager_swaps = measure("eager", EAGER_SECONDS)
    rate, eager_rate = requests / SECONDS, eager_requests / EAGER_SECONDS
    return {
        "requests_per_swap": at_least(
            requests / max(1, swaps), 6, "requests", reference=eager_requests / max(1, eager_swaps)
        ),
        "throughput_vs_eager": at_least(rate / eager_rate, 1.6, "times", reference=1.0),
        "throughput": observed(rate, "requests/s", reference=eager_rate),
    }


def measure(strategy: str, seconds: float) -> tuple[int, int]:
    """Requests answered within ``seconds``, and swaps."""
    stones = [Stone(name, coven=name, load=1.0, request=1.0) for name in ("a", "b")]
    with Box(stones, budget=200, tables={"whim": {"strategy": strategy}}) as box:
        answers = closed_loop(box, ("a", "b"), seconds)
        end = min(answer.begun for answer in answers) + seconds
        swaps = sum(start <= end for start in starts(box))
    return sum(answer.ended <= end and answer.status == 200 for answer in answers), swaps
