"""Forty requests at once for two models of which one fits."""

from __future__ import annotations

import time
from functools import partial

from tools.bench.boxes import ask, at_once, starts
from tools.bench.figures import Figure, at_most, exactly, observed
from tools.chaos.box import Box, Stone

TITLE = "a burst of 40 requests, 20 for A and 20 for B, in turn"


def run() -> dict[str, Figure]:
    """Every one must be answered, in as few swaps as there are models."""
    stones = [Stone(name, coven=name, slots=4, load=0.5, request=0.2) for name in ("a", "b")]
    with Box(stones, budget=200) as box:
        begun = time.monotonic()
        answers = at_once([partial(ask, box, "ab"[number % 2]) for number in range(40)])
        took = time.monotonic() - begun
        swaps = len(starts(box))
    good = sum(answer.status == 200 for answer in answers)
    return {
        "answered": exactly(good, 40, "of 40", reference="Go swapper 20, and 20 × 429"),
        "swaps": at_most(swaps, 2, "swaps"),
        "all_answered_after": observed(took, "s"),
    }
