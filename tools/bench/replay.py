"""How fast runs are read back: records checked against their ids, folded, and compared."""

from __future__ import annotations

import gc
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from covend.actors.story import Story
from covend.patterns.state import INPUTS, K
from covend.patterns.step import Entry, replay, start, take
from covend.phylactery.records import Record
from covend.phylactery.store import Store, open_store
from tools.bench.figures import Figure, at_least, exactly, observed
from tools.golden.play import Play
from tools.golden.stories import STORIES

TITLE = "reading runs back: every story of the golden corpus, again and again"

RECORDS = 60_000
BATCH = 2_000
ROUNDS = 3


def run() -> dict[str, Figure]:
    """Records a second, of the best of a few rounds: read with their hashes, replayed, and both."""
    with tempfile.TemporaryDirectory(prefix="covend-bench-") as folder:
        store = open_store(Path(folder, "phylactery.db"))
        try:
            threads, written = fill(store)
            rounds = [measure(store, threads) for _ in range(ROUNDS)]
        finally:
            store.close()
    reads, replays, wrong = (
        min(spent[0] for spent in rounds),
        min(spent[1] for spent in rounds),
        sum(spent[2] for spent in rounds),
    )
    return {
        "replayed": at_least(written / (reads + replays), 50_000, "records/s"),
        "read, hashes checked": observed(written / reads, "records/s"),
        "folded, selected and compared": observed(written / replays, "records/s"),
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
    """Processor seconds to read all runs, then to replay them, and how many came out otherwise."""
    gc.collect()
    begin = time.process_time()
    runs = {thread: [entry.record for entry in store.entries(thread)] for thread in threads}
    read = time.process_time()
    wrong = sum(bool(replay(thread, entries).missing) for thread, entries in runs.items())
    return read - begin, time.process_time() - read, wrong
