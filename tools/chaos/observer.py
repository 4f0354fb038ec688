"""Watches a box from outside and writes down every breach of what covend promises.

| rule | how it is seen |
|---|---|
| one exclusive coven per device (W3) | which soulstones' processes run at the same moment |
| memory within the budget (W1) | the sum of the soulstones' PSS |
| no more requests than slots (W8) | the soulstones' journals: ``over_admitted`` |
| drained before stopped (W20) | the journals: requests in flight when SIGTERM came |
| no zombies, no orphans (S16) | process states, and who is left after the stop |
| nothing leaks | descriptors and threads of each node, before the faults and after |
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tools.chaos.processes import Processes, Sight, holdings, pss

SAMPLE_SECONDS = 0.02
MEMORY_SECONDS = 0.1
ZOMBIE_SECONDS = 2.0
SPARE_HOLDINGS = 12
"""Descriptors or threads that a node may have more of at the end: caches, pools, connections."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One promise that was broken: when (monotonic seconds), which, and the evidence."""

    time: float
    rule: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Promise:
    """What the observer holds a box to. ``covens`` maps a soulstone to its coven and devices."""

    covens: Mapping[str, tuple[str, frozenset[str]]]
    budget: int
    journals: Sequence[Path]
    coexist: frozenset[frozenset[str]] = frozenset()

    def conflict(self, one: str, other: str) -> bool:
        """Whether two soulstones must never run at the same time."""
        first, first_devices = self.covens[one]
        second, second_devices = self.covens[other]
        apart = first != second and bool(first_devices & second_devices)
        return apart and frozenset((first, second)) not in self.coexist


@dataclass
class Observer:
    """Samples a box in a thread of its own, from ``with`` to the end of it."""

    processes: Processes
    promise: Promise
    breaches: list[Breach] = field(default_factory=list[Breach])
    samples: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-observer", daemon=True)
        self._seen: set[tuple[str, str]] = set()
        self._zombies: dict[tuple[int, int], float] = {}

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join(10)
        self.read_journals()

    def _run(self) -> None:
        memory_due = 0.0
        while not self._end.wait(SAMPLE_SECONDS):
            now = time.monotonic()
            sights = self.processes.look()
            self.check_covens(sights)
            self.check_zombies(sights, now)
            if now >= memory_due:
                memory_due = now + MEMORY_SECONDS
                self.check_memory(sights)
            self.samples += 1

    def check_covens(self, sights: Sequence[Sight]) -> None:
        """W3: no two soulstones of conflicting covens at the same moment, nor one twice."""
        running = [
            (sight.process.node.removeprefix("soulstone:"), sight.process.pid)
            for sight in sights
            if sight.runs and sight.process.node.startswith("soulstone:")
        ]
        running = sorted(entry for entry in running if entry[0] in self.promise.covens)
        for index, (one, pid) in enumerate(running):
            for other, other_pid in running[index + 1 :]:
                if one == other:
                    self.breach("W3 one process each", f"{one}: pids {pid} and {other_pid}")
                elif self.promise.conflict(one, other):
                    who = f"{one} (pid {pid}) and {other} (pid {other_pid})"
                    self.breach("W3 one exclusive coven per device", who)

    def check_memory(self, sights: Sequence[Sight]) -> None:
        """W1: all soulstones together within the budget."""
        sizes = {
            sight.process.node: pss(sight.process.pid)
            for sight in sights
            if sight.runs and sight.process.node.startswith("soulstone:")
        }
        total = sum(sizes.values())
        self.peak = max(self.peak, total)
        if total > self.promise.budget:
            self.breach("W1 memory within budget", f"{total} of {self.promise.budget}: {sizes}")

    def check_zombies(self, sights: Sequence[Sight], now: float) -> None:
        """S16: whoever ended is reaped soon."""
        zombies = {
            (sight.process.pid, sight.process.started): sight for sight in sights if not sight.runs
        }
        self._zombies = {key: self._zombies.get(key, now) for key in zombies}
        for key, since in self._zombies.items():
            if now - since > ZOMBIE_SECONDS:
                process = zombies[key].process
                self.breach("S16 no zombies", f"{process.node} (pid {process.pid})")

    def read_journals(self) -> None:
        """W8 and W20, from what the soulstones wrote down themselves."""
        for path in self.promise.journals:
            for line in path.read_text().splitlines() if path.exists() else ():
                event = json.loads(line)
                who = f"{path.stem} (pid {event['pid']}) at {event['t']:.3f}"
                if event["event"] == "over_admitted":
                    self.breach("W8 no more requests than slots", who)
                elif event["event"] == "stopping" and event["in_flight"]:
                    self.breach(
                        "W20 drained before stopped", f"{who}: {event['in_flight']} in flight"
                    )

    def census(self) -> dict[str, tuple[int, int]]:
        """Descriptors and threads of covend's own processes, by node."""
        return {
            sight.process.node: holdings(sight.process.pid)
            for sight in self.processes.look()
            if sight.runs and not sight.process.node.startswith(("soulstone:", "other"))
        }

    def grown(self, before: Mapping[str, tuple[int, int]]) -> list[str]:
        """The nodes that hold notably more than in an earlier ``census``."""
        found: list[str] = []
        for node, (fds, threads) in self.census().items():
            old_fds, old_threads = before.get(node, (fds, threads))
            if fds > old_fds + SPARE_HOLDINGS or threads > old_threads + SPARE_HOLDINGS:
                found.append(
                    f"{node}: {old_fds} to {fds} descriptors, {old_threads} to {threads} threads"
                )
        return found

    def check_gone(self) -> None:
        """S16: after the stop, nobody is left."""
        for sight in self.processes.look():
            process = sight.process
            self.breach(
                "S16 nothing left behind", f"{process.node} (pid {process.pid}, {sight.state})"
            )

    def breach(self, rule: str, evidence: str) -> None:
        """Writes a breach down, once."""
        if (rule, evidence) not in self._seen:
            self._seen.add((rule, evidence))
            self.breaches.append(Breach(time.monotonic(), rule, evidence))
