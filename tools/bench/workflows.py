"""What durability costs: a workflow of three steps, each recorded before the next begins.

A waterfall of three deterministic functions, of which only the last finds something: three calls,
three answers and two notes, in four commits that each wait for the disk. The references are a bare
append with fdatasync on the same disk, and a bare skeleton: the same commits with the same records,
made by one loop with no actor and nothing to decide; all of them in turn, the best of a few rounds
each. The limits are for a disk that does 10,000 such appends a second, hence those per append.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from covend.actors.runs.story import Story
from covend.patterns.state import INPUTS
from covend.phylactery.messages import Query
from covend.phylactery.store import open_store
from tools.bench.engine import ASK_SECONDS, Engine, engine
from tools.bench.figures import Figure, at_least, exactly, observed

TITLE = "durable workflows of three steps, SQLite with synchronous=FULL"

RUNS = 500
WARM_UP = 30
COMMITS = 4
APPENDS = 3000
ROUNDS = 3

FINDERS = [
    {"name": f"find-{name}", "kind": "pattern", "function": f"regex:{name}=(\\w+)"}
    for name in ("a", "b", "c")
]
QUERY: dict[str, Any] = {
    "question": "Which one?",
    "input": {"inline": "c=found"},
    "responders": [{"id": "find-a"}],
    "orchestration": {
        "pattern": "waterfall",
        "stages": [
            {"name": entry["name"], "responders": [{"id": entry["name"]}]} for entry in FINDERS
        ],
    },
}


def run() -> dict[str, Figure]:
    """Workflows a second at concurrency 1 and 16, beside the disk's own pace."""
    with tempfile.TemporaryDirectory(prefix="covend-bench-") as folder:
        rounds = [measured(Path(folder, f"round-{number}")) for number in range(ROUNDS)]
    best = Round(*(max(figures) for figures in zip(*rounds, strict=True)))
    return {
        "workflows, concurrency 1": at_least(best.alone, 300, "/s", round(best.bare_alone)),
        "workflows, concurrency 16": at_least(best.together, 800, "/s", round(best.bare_together)),
        "wrong answers": exactly(sum(each.wrong for each in rounds), 0, "runs"),
        "of the bare skeleton, concurrency 1": observed(best.alone / best.bare_alone, "×"),
        "of the bare skeleton, concurrency 16": observed(best.together / best.bare_together, "×"),
        "processor time of one, concurrency 16": observed(1e3 / best.per_second, "ms"),
        "bare fsync'd appends": observed(best.appends, "/s"),
        "workflows per bare append, concurrency 1": at_least(best.alone / best.appends, 0.03, "×"),
        "workflows per bare append, concurrency 16": at_least(
            best.together / best.appends, 0.08, "×"
        ),
    }


class Round(NamedTuple):
    """Things a second; ``per_second`` is workflows for a second of the processor's time."""

    appends: float
    alone: float
    together: float
    per_second: float
    bare_alone: float
    bare_together: float
    wrong: int


def measured(folder: Path) -> Round:
    """One round, on files of its own."""
    folder.mkdir()
    appends = bare_appends(folder / "appends")
    with engine(folder / "phylactery.db", *FINDERS) as one:
        alone, wrong = measure(one, 1)
        begin = time.process_time()
        together, also_wrong = measure(one, 16)
        per_second = (WARM_UP + RUNS) / (time.process_time() - begin)
        steps = transactions(one)
    bare = [skeleton(folder / f"bare-{many}.db", steps, many) for many in (1, 16)]
    return Round(appends, alone, together, per_second, *bare, wrong + also_wrong)


def measure(one: Engine, concurrency: int) -> tuple[float, int]:
    """Workflows a second, each client beginning its next when its last has ended."""

    def workflow(_number: int) -> bool:
        return one.ended(one.submit(QUERY))["answer"] == "found"

    with ThreadPoolExecutor(concurrency) as clients:
        list(clients.map(workflow, range(WARM_UP)))
        begin = time.perf_counter()
        right = list(clients.map(workflow, range(RUNS)))
        return RUNS / (time.perf_counter() - begin), right.count(False)


def transactions(one: Engine) -> list[list[tuple[str, dict[str, Any]]]]:
    """What one more workflow writes: the kinds and bodies of each of its commits."""
    thread = one.submit(QUERY)
    one.ended(thread)
    found: list[list[tuple[str, dict[str, Any]]]] = []
    for entry in one.store.ask(Query(thread=thread, newest_first=False), timeout=ASK_SECONDS):
        found += [[]] if entry["kind"] in INPUTS else []
        found[-1].append((entry["kind"], entry["body"]))
    assert len(found) == COMMITS, found
    return found


def skeleton(path: Path, steps: list[list[tuple[str, dict[str, Any]]]], many: int) -> float:
    """The same commits a second as workflows, each shared by ``many`` of them."""
    with closing(open_store(path)) as store:
        begin = time.perf_counter()
        for first in range(0, RUNS, many):
            stories = [Story(f"q-{number}") for number in range(first, min(first + many, RUNS))]
            for step in steps:
                store.append_all([[[s.add(kind, body) for kind, body in step]] for s in stories])
        return RUNS / (time.perf_counter() - begin)


def bare_appends(path: Path) -> float:
    """Appends a second of 200 bytes, each on the disk before the next."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        begin = time.perf_counter()
        for _ in range(APPENDS):
            os.write(fd, b"x" * 200)
            os.fdatasync(fd)
        return APPENDS / (time.perf_counter() - begin)
    finally:
        os.close(fd)
