"""What the benches on a whole box share: closed-loop clients, and swaps counted from outside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.chaos.box import Box


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: whom it asked, when (monotonic seconds), and the status it got."""

    model: str
    begun: float
    ended: float
    status: int

    @property
    def seconds(self) -> float:
        """How long the client waited for the whole answer."""
        return self.ended - self.begun


def ask(box: Box, model: str, tokens: int = 1, klass: str = "reflex") -> Answered:
    """One chat request through the gate, at most two minutes long."""
    begun = time.monotonic()
    status, _answer = box.chat(model, tokens, seconds=120.0, klass=klass)
    return Answered(model, begun, time.monotonic(), status)


def at_once(jobs: Sequence[Callable[[], Answered]]) -> list[Answered]:
    """Makes requests at the same time, a thread for each; the answers in the order of the jobs."""
    results: dict[int, Answered] = {}

    def run(index: int, job: Callable[[], Answered]) -> None:
        results[index] = job()

    threads = [threading.Thread(target=run, args=entry) for entry in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[index] for index in range(len(jobs))]


def closed_loop(
    box: Box, models: Sequence[str], seconds: float, klass: str = "reflex"
) -> list[Answered]:
    """One client per model, each asking again as soon as it has its answer."""
    end = time.monotonic() + seconds
    answers: list[Answered] = []

    def client(model: str) -> None:
        while time.monotonic() < end:
            answers.append(ask(box, model, klass=klass))

    threads = [threading.Thread(target=client, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def starts(box: Box) -> list[float]:
    """When each start of an exclusive soulstone was, by the soulstones' own journals."""
    found: list[float] = []
    for path in box.promise().journals:
        lines = path.read_text().splitlines() if path.exists() else []
        found += [event["t"] for event in map(json.loads, lines) if event["event"] == "started"]
    return sorted(found)
