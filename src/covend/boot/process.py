"""What every process of the box has in common: its place, its system, its end.

A process leaves in order on SIGTERM or SIGINT and when its parent is gone (S16); the main thread
waits for that and for nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from covend.boot import chaos
from covend.boot.ps import Ps
from covend.config import Box, load, load_or_last_good
from covend.host.folders import Folders, replace_private
from covend.runtime import ThreadSystem
from covend.runtime.process import say_ready, watch_parent
from covend.runtime.saying import say
from covend.runtime.trace_actor import TraceActor
from covend.runtime.wire import Node

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Which node of which box this process is, and where its files are."""

    node: str
    box: Box
    folders: Folders

    @classmethod
    def of(cls, node: str, config: str, run_dir: str, state_dir: str) -> Place:
        """Read the configuration and open the box's folders.

        The root starts with the file as it is; a process that is started again while the file is
        broken goes on with the last one that held (G10).
        Raises ``ConfigErrors`` for a configuration that does not hold, ``FolderError`` for folders
        that are missing or open to others.
        """
        read = load(config) if node == "root" else load_or_last_good(config, run_dir)
        box = msgspec.structs.replace(read, run_dir=run_dir, state_dir=state_dir)
        folders = Folders.open(Path(run_dir), Path(state_dir))
        return cls(node, box, folders)


class NodeProcess:
    """One process of the box: an actor system on the wire, until it is told to end."""

    def __init__(self, place: Place, top: str | None = None) -> None:
        self.place = place
        self.top = top
        self.ending = threading.Event()
        self.cause = "ended"
        self.status = 0
        self.system = ThreadSystem(node=place.node)
        self.wire = Node(self.system, place.node, place.folders.run)

    def start(self) -> None:
        """Open the wire, watch the parent and the signals. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, _frame: self.end(signal.Signals(signum).name))
        watch_parent(lambda: self.end("parent gone"))
        self.system.spawn(TraceActor, name="trace")
        self.system.spawn(Ps, self.top, name="ps")
        if chaos.wanted():
            self.system.spawn(chaos.Chaos, name="chaos")

    def end(self, cause: str, status: int = 0) -> None:
        """Ask the main thread to leave; the first cause counts. Any thread, and signal handlers.

        ``status`` is the exit status, not 0 where nobody asked for the end.
        """
        if not self.ending.is_set():
            self.cause, self.status = cause, status
            self.ending.set()

    def wait(self) -> str:
        """Say ready, then wait for the end; returns its cause. Main thread only."""
        say_ready()
        self.ending.wait()
        return self.cause

    def close(self) -> None:
        """Stop every actor, then the wire."""
        self.system.shutdown(timeout=STOP_SECONDS)
        self.wire.close()


def run_until_ended(
    place: Place, build: Callable[[NodeProcess], None], top: str | None = None
) -> int:
    """Build a node's actors, run until the end, stop everything; the exit status of the process."""
    process = NodeProcess(place, top)
    process.start()
    try:
        build(process)
        cause = process.wait()
        say(f"{place.node}: leaving ({cause})")
    finally:
        process.close()
    return process.status


def next_incarnation(folders: Folders, node: str) -> int:
    """A number that grows over restarts of this node; milliseconds are far apart enough."""
    path = folders.run / f"{node}.incarnation"
    try:
        last = int(path.read_text())
    except (FileNotFoundError, ValueError):  # the first one, or a power cut emptied the file
        last = 0
    number = max(last + 1, int(time.time() * 1000))
    replace_private(path, str(number).encode(), durable=False)
    return number


def write_identity(folders: Folders, create_time: float, config: str) -> Path:
    """Leave ``root.json`` for `covend stop` and friends: who the root is (pid and create time)."""
    path = folders.run / "root.json"
    who = {"pid": os.getpid(), "create_time": create_time, "config": config}
    replace_private(path, json.dumps(who).encode(), durable=False)
    return path
