"""One core on a store, measured from inside: ``python -m tools.bench.parked_engine FOLDER``.

Prints as JSON how long it took until it answered for its parked runs, what memory it takes, and how
long one of them takes from its person's word to its end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from covend.questions import ActOnTask, ListTasks
from tools.bench.engine import ASK_SECONDS, Engine, engine
from tools.bench.figures import median

WAKES = 60
PERSON = {"name": "ann", "kind": "actor", "did": "did:ann"}


def main(folder: str) -> None:
    """Start, answer, wake some, and say what it took."""
    begin = time.perf_counter()
    with engine(Path(folder, "phylactery.db"), PERSON, max_active=20_000) as core:
        tasks = core.desk.ask(ListTasks("did:ann", limit=200), timeout=ASK_SECONDS)["tasks"]
        started = time.perf_counter() - begin
        memory = resident()
        wakes = [wake(core, task["id"], task["thread"]) for task in tasks[:WAKES]]
    told = {"started": started, "memory": memory, "wake": median(wakes) if wakes else 0.0}
    print(json.dumps(told))


def wake(core: Engine, task: str, thread: str) -> float:
    """Seconds from a person's answer to the end of the run that waited for it."""
    begin = time.perf_counter()
    word = ActOnTask(task, "submit", "did:ann", value="yes")
    told = core.desk.ask(word, timeout=ASK_SECONDS)
    assert told.get("state") == "submitted", told
    assert core.ended(thread)["answer"] == "yes"
    return time.perf_counter() - begin


def resident() -> int:
    """Bytes of memory that are this process's."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(*sys.argv[1:])
