"""A small box with real processes: what the tests of the host floor stand on."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from covend.config import Box, Coven, Device, Soulstone
from covend.host.folders import Folders
from covend.host.units import marked
from covend.runtime.pidfd import wait_all

MIB = 2**20

STONE = textwrap.dedent("""
    import fcntl, os, signal, sys, time
    name, journal, lock, options = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    def note(word):
        fd = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{word} {name} {os.getpid()}\\n".encode())
        os.close(fd)
    held = open(lock, "ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("overlap")
        sys.exit(3)
    if "children" in options and os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note("child")
        signal.pause()
    if "daemon" in options:
        if os.fork() == 0:
            os.setsid()
            if os.fork() > 0:
                os._exit(0)
            note("daemon")
            signal.pause()
        os.wait()
    if "stubborn" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("up")
    signal.pause()
""")
"""A soulstone that holds a lock all its life, with its children: an overlap is in the journal."""


class Stage:
    """The folders of one test's box, and the soulstones it may have."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folders = Folders.open(place / "run", place / "state")
        self.journal = place / "journal"
        self.script = place / "stone.py"
        self.script.write_text(STONE)

    def stone(self, name: str, *options: str, lock: str = "lock", **more: object) -> Soulstone:
        command = (
            sys.executable, "-I", "-S", str(self.script),
            name, str(self.journal), str(self.place / lock), *options,
        )  # fmt: skip
        facts: dict[str, object] = {
            "name": name,
            "endpoint": "http://127.0.0.1:1",
            "command": command,
            "memory": {"host": 100 * MIB},
            "stop_seconds": 5.0,
            **more,
        }
        return Soulstone(**facts)  # type: ignore[arg-type]

    def box(self, *stones: Soulstone, capacity: int = 150 * MIB, **more: object) -> Box:
        facts: dict[str, object] = {
            "device": (Device(name="host", capacity=capacity),),
            "soulstone": stones,
            "coven": tuple(
                Coven(name=f"{stone.name}-coven", soulstones=(stone.name,), devices=("host",))
                for stone in stones
                if stone.authority == "exclusive" and not stone.lexicon
            ),
            "lexical_reserve": 0,
            **more,
        }
        return Box(**facts)  # type: ignore[arg-type]

    def said(self, word: str) -> list[str]:
        """What the soulstones noted: the rest of each line that begins with ``word``."""
        text = self.journal.read_text() if self.journal.exists() else ""
        return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(word)]

    def living(self) -> dict[int, str]:
        """Every living process of this box by the marks, which no code under test maintains."""
        return {stat.id.pid: marks.soulstone for stat, marks in marked(self.folders.box_id)}


def crash_box(stage: Stage) -> Box:
    """Two soulstones that must never overlap; what the crash tests' reactors have in common."""
    return stage.box(stage.stone("old", "children"), stage.stone("new", "children"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    while left := [stat.id for stat, _ in marked(stage.folders.box_id)]:
        for process in left:
            process.send(signal.SIGKILL)
        assert not wait_all(left, 5.0)


@pytest.fixture
def own_pid() -> int:
    return os.getpid()
