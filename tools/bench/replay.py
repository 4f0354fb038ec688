"""How fast runs are read back: records checked against their ids, folded, and compared."""

from __future__ import annotations

import gc
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from covend.actors.runs.story import Story
from covend.cli.replaying import cores, replayed_all
from covend.patterns.state import INPUTS, K
from covend.patterns.step import Entry, replay, start, take
from covend.phylactery.records import Record
from covend.phylactery.store import Store, open_store
from tools.bench.figures import Figure, at_least, exactly, observed
from tools.golden.play import Play
from tools.golden.stories import STORIES

TITLE = "reading runs back: every story of the golden corpus, again and again"

RECORDS = 150_000
BATCH = 2_000
ROUNDS = 3


def run() -> dict[str, Figure]:
    """Records a second, of the best of a few rounds: as `covend replay` works, and on one core."""
    with tempfile.TemporaryDirectory(prefix="covend-bench-") as folder:
        path = Path(folder, "phylactery.db")
        store = open_store(path)
        try:
            threads, written = fill(store)
            rounds = [measure(store, threads) for _ in range(ROUNDS)]
        finally:
            store.close()
        together = [on_all_cores(path, threads) for _ in range(ROUNDS)]
    reads, replays = (min(spent[index] for spent in rounds) for index in (0, 1))
    wrong = sum(spent[2] for spent in rounds) + sum(spent[1] for spent in together)
    return {
        "replayed": at_least(
            written / min(spent[0] for spent in together), 50_000, "records/s", f"{cores()} cores"
        ),
        "replayed, on one core": observed(written / (reads + replays), "records/s"),
        "read, hashes checked, on one core": observed(written / reads, "records/s"),
        "folded, selected and compared, on one core": observed(written / replays, "records/s"),
        "runs that came out differently": exactly(wrong, 0, "runs"),
        "runs": observed(len(threads), "runs"),
    }


def fill(store: Store) -> tuple[list[str], int]:
    """Store copies of every story until there are enough records; their threads, and how many."""
    plays = [tell() for tell in STORIES.values()]
    threads: list[str] = []
    batch: list[Record] = []
    written = 0
    for number in itertools.count():
        play = plays[number % len(plays)]
        threads.append(f"q-{number}")
        batch += retold(play, threads[-1])
        if len(batch) >= BATCH or written + len(batch) >= RECORDS:
            written += store.append(batch)
            batch = []
        if written >= RECORDS:
            return threads, written
    raise AssertionError("count() does not end")


def retold(play: Play, thread: str) -> Iterator[Record]:
    """A play's inputs once more, under another thread: the records its run would have written."""
    story = Story(thread)
    k: K | None = None
    answered: set[tuple[str, int]] = set()
    for number, entry in enumerate(play.records):
        if entry.kind not in INPUTS:
            continue
        body = entry.body
        if entry.kind == "do" and body["status"] != "accepted":
            place = (body["slot"], body["attempt"])
            body = {**body, "conflict": True} if place in answered else body
            answered.add(place)
        # A little later each time: records of one instant follow each other, and no tick is early.
        story.now = lambda at=entry.clock + 1000 * number: at
        told = story.add(entry.kind, body)
        if k is None:
            k, drafts = start(thread, body, told.clock)
        else:
            k, drafts = take(k, Entry(entry.kind, body, told.clock))
        yield told
        yield from story.add_all(drafts)


def measure(store: Store, threads: list[str]) -> tuple[float, float, int]:
    """Processor seconds to read all runs, and to replay them, and how many came out otherwise."""
    gc.collect()
    read = replayed = 0.0
    wrong = 0
    for thread in threads:
        begin = time.process_time()
        entries = [entry.record for entry in store.entries(thread)]
        between = time.process_time()
        wrong += bool(replay(thread, entries).missing)
        replayed += time.process_time() - between
        read += between - begin
    return read, replayed, wrong


def on_all_cores(path: Path, threads: list[str]) -> tuple[float, int]:
    """Seconds that `covend replay` takes for these runs, and how many came out otherwise.

    From the first process that is begun to the last run.
    """
    begin = time.perf_counter()
    told = list(replayed_all(path, threads))
    spent = time.perf_counter() - begin
    return spent, sum(line["differs"] or "to be written" in line["stands"] for line in told)
