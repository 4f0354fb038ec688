"""Ten thousand runs that wait for a person: what they cost while they do, and to wake (P6)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covend.actors.runs.story import Story, wall_clock
from covend.patterns.query.admit import admit
from covend.patterns.responders.responder import Responder
from covend.patterns.step import start
from covend.phylactery.records import Record
from covend.phylactery.store import open_store
from tools.bench.figures import Figure, at_most, observed

TITLE = "10,000 parked runs"

RUNS = 10_000
BATCH = 500
MIB = 2**20
QUERY: dict[str, Any] = {
    "question": "May I?",
    "input": {"inline": "It is about a dog."},
    "responders": [{"kind": "actor", "did": "did:ann"}],
    "side_effects": {"max_latency_secs": 7 * 86_400},
}


def run() -> dict[str, Figure]:
    """Memory and start of a core with so many parked runs, beside one that has none."""
    with tempfile.TemporaryDirectory(prefix="covend-bench-") as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        for place in (empty, full):
            place.mkdir()
        begin = time.perf_counter()
        park(full / "phylactery.db")
        parking = time.perf_counter() - begin
        without, parked = core_on(empty), core_on(full)
    more = (parked["memory"] - without["memory"]) / MIB
    return {
        "memory for all of them": at_most(more, 50, "MB", without["memory"] / MIB),
        "restart": at_most(parked["started"], 2, "s", without["started"]),
        "waking one, from its word to its end": at_most(parked["wake"] * 1000, 20, "ms"),
        "writing their records": observed(parking, "s"),
    }


def park(store: Path) -> None:
    """Write the records of so many runs that have just asked a person."""
    box = open_store(store)
    batch: list[Record] = []
    for number in range(RUNS):
        batch += asked(f"q-{number:032x}")
        if len(batch) >= BATCH or number == RUNS - 1:
            box.append(batch)
            batch = []
    box.close()


def asked(thread: str) -> Iterator[Record]:
    """A run's records up to the task it gave to its person."""
    person = Responder(id="ann", kind="actor", did="did:ann")
    story, now = Story(thread), wall_clock()
    body = admit(QUERY, [person], thread=thread, now=now, seed=1)
    intend = story.add("intend", body)
    yield intend
    _, drafts = start(thread, body, intend.clock)
    yield from story.add_all(drafts)


def core_on(folder: Path) -> dict[str, float]:
    """What a core on this store says of itself."""
    command = [sys.executable, "-m", "tools.bench.parked_engine", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode:
        raise RuntimeError(f"the core on {folder} failed:\n{ended.stderr[-3000:]}")
    return json.loads(ended.stdout)
