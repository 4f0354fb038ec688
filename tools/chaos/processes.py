"""The processes of one box, as /proc shows them: found by a mark in their environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

MARK = "COVEND_CHAOS_BOX"
"""Set for ``covend serve``, inherited by every process below it, wherever it flees to."""

_NAMED_BY = {
    "covend.boot": "",
    "covend.testing.fake_soulstone": "--model",
    "covend.demo.soulstone": "--alias",
}
"""By module, the option that names the process; without one its first argument does."""

_SETTLED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the box; ``node`` is ``root``, ``core``, ``gate-0`` …, ``soulstone:NAME``."""

    pid: int
    started: int
    node: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """A process as it was when last looked at."""

    process: Process
    state: str
    parent: int

    @property
    def runs(self) -> bool:
        """True unless it is a zombie: those hold no memory and serve nobody."""
        return self.state not in "ZX"


class Processes:
    """Finds a box's processes again and again; who was seen once is known even as a zombie.

    Between its fork and its exec a process looks exactly like its parent, so whom a look finds
    is believed for good only once it is older than any exec takes.
    """

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self._known: dict[tuple[int, int], Process | None] = {}

    def look(self) -> list[Sight]:
        """Every process of the box at this moment, zombies included."""
        return [sight for sight in self._sights() if sight is not None]

    def find(self, node: str) -> Sight | None:
        """The running process of a node, the youngest if there are two; None if there is none."""
        found = [sight for sight in self.look() if sight.process.node == node and sight.runs]
        return max(found, key=lambda sight: sight.process.started, default=None)

    def _sights(self) -> Iterator[Sight | None]:
        settled = born_before(_SETTLED_SECONDS)
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            raw = read(f"/proc/{name}/stat")
            if not raw:
                continue
            fields = raw.rsplit(b")", 1)[1].split()
            key = (int(name), int(fields[19]))
            if key not in self._known or key[1] > settled:
                self._identify(key)
            process = self._known[key]
            if process is not None:
                yield Sight(process, fields[0].decode(), int(fields[1]))

    def _identify(self, key: tuple[int, int]) -> None:
        pid, started = key
        command = tuple(read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")[:-1])
        if not command:
            self._known.setdefault(key, None)  # a zombie is whoever it was
            return
        ours = self._mark in read(f"/proc/{pid}/environ").split(b"\0")
        self._known[key] = Process(pid, started, node_of(command), command) if ours else None


def born_before(seconds: float) -> float:
    """The start time, in clock ticks since boot, of a process that is so many seconds old now."""
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    return (uptime - seconds) * os.sysconf("SC_CLK_TCK")


def node_of(command: tuple[str, ...]) -> str:
    """What a process of the box is, by its command line.

    >>> node_of(("python", "-m", "covend.boot", "gate-0", "--config", "box.toml"))
    'gate-0'
    >>> node_of(("python", "-m", "covend.testing.fake_soulstone", "--model", "chat"))
    'soulstone:chat'
    >>> node_of(("python", "-m", "covend.demo.soulstone", "--alias", "thinker"))
    'soulstone:thinker'
    """
    for module, option in _NAMED_BY.items():
        if module in command:
            rest = command[command.index(module) + 1 :]
            if option in rest:
                return "soulstone:" + rest[rest.index(option) + 1]
            if not option and rest:
                return rest[0]
    return "root" if "tools.chaos.serve" in command else "other"


def pss(pid: int) -> int:
    """Proportional set size in bytes: shared pages are divided by who shares them. 0 if gone."""
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def holdings(pid: int) -> tuple[int, int]:
    """How many descriptors and threads a process has."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0, 0  # it ended


def read(path: str) -> bytes:
    """A file of /proc; empty when its process is gone or another user's."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
