"""Faults on a schedule: drawn from a seed, so that the same seed strikes the same way again."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from covend.boot.chaos import RaiseIn
from covend.runtime import ActorError, ReplyError
from covend.runtime.wire import Node
from tools.chaos.processes import Processes

FAULTS = {
    "kill": "SIGKILL",
    "pause": "SIGSTOP, and SIGCONT after some seconds",
    "die-mid-stream:2": "a soulstone kills itself once an answer has two tokens",
    "cut:2": "a soulstone cuts an answer after two tokens, once",
    "hang:2": "a soulstone writes nothing more after two tokens",
}
"""The faults of processes; those with a colon are asked of a fake soulstone itself."""

RAISE = "raise:"
"""``raise:ACTOR`` is a fault of the core alone: an actor's own code raises."""

CORE_ACTORS = ("arbiter", "dispatcher", "broker", "console", "covens", "oculus", "phylactery")
"""Those that stand as long as the core; besides them, one for each coven and soulstone."""

_ASK_SECONDS = 3.0
_CLEAR_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault to come: seconds after the start, on which node, which, and for how long."""

    at: float
    node: str
    fault: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault that was had: when (monotonic seconds), and whom it hit."""

    strike: Strike
    time: float
    pid: int | None


def schedule(
    seed: int,
    seconds: float,
    nodes: Sequence[str],
    faults: Sequence[str] = ("kill", "pause"),
    gap: float = 2.0,
    longest_pause: float = 2.0,
) -> list[Strike]:
    """Strikes over so many seconds, on average one per ``gap``; the same for the same arguments.

    What a fault makes no sense for (only a fake soulstone can hang on request, only the core has
    actors worth raising in) it does not hit.

    >>> schedule(1, 30, ["core", "gate-0"]) == schedule(1, 30, ["core", "gate-0"])
    True
    """
    dice = random.Random(seed)
    strikes: list[Strike] = []
    at = dice.uniform(0.3, 1.0) * gap
    while at < seconds:
        node = dice.choice(nodes)
        possible = [name for name in faults if makes_sense(name, node)]
        fault = dice.choice(possible or ["kill"])
        pause = round(dice.uniform(0.2, longest_pause), 2) if fault == "pause" else 0.0
        strikes.append(Strike(round(at, 2), node, fault, pause))
        at += dice.uniform(0.5, 1.5) * gap
    return strikes


def makes_sense(fault: str, node: str) -> bool:
    """Whether a node can have a fault.

    >>> [makes_sense("raise:arbiter", node) for node in ("core", "gate-0")]
    [True, False]
    """
    if fault.startswith(RAISE):
        return node == "core"
    return ":" not in fault or node.startswith("soulstone:")


@dataclass
class Nemesis:
    """Carries a schedule out, in a thread of its own; ``history`` says what it did.

    ``run_dir`` is the box's, for faults inside the core.
    """

    processes: Processes
    strikes: Sequence[Strike]
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    run_dir: Path | None = None
    history: list[Struck] = field(default_factory=list[Struck])

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-nemesis", daemon=True)
        self._later: list[tuple[float, int, str]] = []

    def __enter__(self) -> Nemesis:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)

    def wait(self, seconds: float) -> bool:
        """True once every strike was made, within ``seconds``."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pending = sorted(self.strikes, key=lambda strike: strike.at)
        try:
            while (pending or self._later) and not self._end.is_set():
                now = time.monotonic()
                if pending and now - self._start >= pending[0].at:
                    self._strike(pending.pop(0))
                self._undo(now)
                self._end.wait(0.01)
        finally:
            self._undo(float("inf"))

    def _strike(self, strike: Strike) -> None:
        sight = self.processes.find(strike.node)
        pid = sight.process.pid if sight else None
        now = time.monotonic()
        self.history.append(Struck(strike, now, pid))
        if pid is None:
            return  # nobody there to hit: that too is written down
        if strike.fault.startswith(RAISE) and self.run_dir is not None:
            raise_in(self.run_dir, strike.fault.removeprefix(RAISE))
            return
        if ":" in strike.fault:
            self._tell(strike.node, strike.fault)
            if not strike.fault.startswith("die"):
                self._later.append((now + _CLEAR_SECONDS, 0, strike.node))
            return
        send(pid, signal.SIGKILL if strike.fault == "kill" else signal.SIGSTOP)
        if strike.fault == "pause":
            self._later.append((now + strike.seconds, pid, strike.node))

    def _undo(self, now: float) -> None:
        due = [entry for entry in self._later if entry[0] <= now]
        self._later = [entry for entry in self._later if entry[0] > now]
        for _time, pid, node in due:
            if pid:
                send(pid, signal.SIGCONT)
            else:
                self._tell(node, None)

    def _tell(self, node: str, fault: str | None) -> None:
        port = self.ports.get(node.removeprefix("soulstone:"))
        if port is None:
            return
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("POST", "/fault", json.dumps({"fault": fault}))
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return  # it is gone, or paused: no more needs to be done to it
        finally:
            connection.close()


def raise_in(run_dir: Path, actor: str) -> int | None:
    """Make an actor of the core raise; its incarnation, None if it is not there to hit.

    The box must have been started with ``COVEND_CHAOS=1``.
    """
    try:
        with Node.client(run_dir) as client:
            return client.ask("chaos@core", RaiseIn(actor=actor), timeout=_ASK_SECONDS)
    except (ActorError, ReplyError):
        return None  # it, or the whole core, is being restarted


def send(pid: int, signum: signal.Signals) -> None:
    """Sends a signal to a process that may have gone meanwhile."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
