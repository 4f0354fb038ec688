"""What the control plane itself costs: its memory, its processor time, its start."""

from __future__ import annotations

import os
import time

from covend.testing import FakeSoulstone
from tools.bench.boxes import ask
from tools.bench.figures import Figure, at_most, observed
from tools.chaos.box import Box, Stone
from tools.chaos.processes import pss, read

TITLE = "an idle box with one warm shared soulstone and one exclusive that sleeps"
IDLE_SECONDS = 20.0
_TICK = 1 / os.sysconf("SC_CLK_TCK")


def run() -> dict[str, Figure]:
    """Starts a box beside a soulstone that is warm already, asks once, and lets it idle."""
    shared = Stone("warm", coven="outside", slots=4, shared=True)
    other = Stone("cold", coven="inside")
    with FakeSoulstone("warm", port=shared.port, slots=4):
        box = Box([shared, other], budget=400)
        begun = time.monotonic()
        with box:
            status = ask(box, "warm").status
            first = time.monotonic() - begun
            time.sleep(2.0)  # what starts lazily has started; from here on nothing should happen
            before, since = cpu(box), time.monotonic()
            time.sleep(IDLE_SECONDS)
            share = (cpu(box) - before) / (time.monotonic() - since)
            sizes = {sight.process.node: pss(sight.process.pid) for sight in box.processes.look()}
    figures = {
        "memory": at_most(sum(sizes.values()) / 1e6, 200, "MB"),
        "cpu": at_most(share * 100, 1, "% of a core"),
        "first_answer": at_most(first if status == 200 else float("inf"), 2, "s"),
    }
    return figures | {f"memory_{node}": observed(size / 1e6, "MB") for node, size in sizes.items()}


def cpu(box: Box) -> float:
    """Processor seconds that the box's processes have used so far."""
    used = 0
    for sight in box.processes.look():
        fields = read(f"/proc/{sight.process.pid}/stat").rsplit(b")", 1)[-1].split()
        used += int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0
    return used * _TICK
