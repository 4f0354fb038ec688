"""A pytest plugin: a test that leaves something behind fails, and the failure names it.

Load it with ``-p covend.testing.plugin``. After each test there must be no thread, no file
descriptor (so: no open file, no listening socket, no connection) and no process that was not
there before it. What is about to end gets ``leak_seconds`` (an ini option, 3 by default).
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

RUN_VARIABLE = "COVEND_TESTING_RUN"
"""In the environment of every process that a test run starts, so that orphans are found too."""

_OWN_THREADS = ("execnet", "pytest_timeout", "pytest-timeout")
_HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
_NET_STATES = {"01": "connected", "0A": "listening", "08": "half closed"}
_run = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds at one moment."""

    threads: frozenset[threading.Thread]
    descriptors: dict[int, str]
    processes: frozenset[int]

    @classmethod
    def now(cls) -> Held:
        """Looks at the threads and descriptors of this process, and at all processes."""
        return cls(frozenset(threading.enumerate()), _descriptors(), _processes())

    def leaks(self) -> list[str]:
        """What is there now and was not then, each in words."""
        now = Held.now()
        found = [
            f"thread {thread.name!r}"
            for thread in now.threads - self.threads
            if thread.is_alive() and not thread.name.startswith(_OWN_THREADS)
        ]
        for number, target in now.descriptors.items():
            if self.descriptors.get(number) != target:
                found.append(f"descriptor {number}: {_describe(target)}")
        for pid in now.processes - self.processes:
            if _is_ours(pid, self.processes):
                found.append(f"process {pid}: {_command(pid)}")
        return sorted(found)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("leak_seconds", "how long what a test began may take to end", default="3")


def pytest_configure(config: pytest.Config) -> None:
    global _run
    # Kept if set: a pytest inside a pytest is part of the outer one's run.
    _run = os.environ.setdefault(RUN_VARIABLE, f"{os.getpid()}-{time.monotonic_ns()}")


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that leaves a thread, a descriptor or a process behind."""
    _start_singletons()
    before = Held.now()
    yield
    found = before.leaks()
    if not found:
        return
    gc.collect()  # what is only kept by a cycle of garbage is closed now, not at some later time
    deadline = time.monotonic() + float(request.config.getini("leak_seconds"))
    while (found := before.leaks()) and time.monotonic() < deadline:
        time.sleep(0.01)
    if found:
        pytest.fail("the test left behind:\n  " + "\n  ".join(found), pytrace=False)


def _start_singletons() -> None:
    """Starts what a process that uses ``covend.runtime.process`` keeps for its whole life."""
    module = sys.modules.get("covend.runtime.process")
    if module is not None and hasattr(module, "spawner"):
        module.spawner()


def _descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that listed this very folder
    return found


def _describe(target: str) -> str:
    """The target of a descriptor, and for a socket whose it is."""
    if not target.startswith("socket:["):
        return target
    inode = target[8:-1]
    for family in ("tcp", "tcp6", "udp", "unix"):
        try:
            with open(f"/proc/net/{family}") as file:
                rows = [line.split() for line in file]
        except OSError:
            continue  # no such family on this kernel
        for row in rows:
            if family == "unix" and len(row) > 6 and row[6] == inode:
                return f"{target} (unix {row[7] if len(row) > 7 else 'without a name'})"
            if family != "unix" and len(row) > 9 and row[9] == inode:
                port = int(row[1].rpartition(":")[2], 16)
                state = _NET_STATES.get(row[3], f"state {row[3]}")
                return f"{target} ({family} port {port}, {state})"
    return target


def _processes() -> frozenset[int]:
    return frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())


def _is_ours(pid: int, old: frozenset[int]) -> bool:
    """Whether a new process comes from this test: our descendant, or an orphan of this run.

    A descendant of a process that was there before the test belongs to whoever started that.
    """
    parent = pid
    while parent > 1:
        fields = _stat(parent)
        if fields is None:
            break
        parent = int(fields[1])
        if parent == os.getpid():
            return not any(helper in _raw_command(pid) for helper in _HELPERS)
        if parent in old and parent != 1:
            return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{RUN_VARIABLE}={_run}".encode() in file.read().split(b"\0")
    except OSError:
        return False  # ended meanwhile, or another user's


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return None


def _raw_command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _command(pid: int) -> str:
    fields = _stat(pid)
    if fields is None:
        return "ended meanwhile"
    if fields[0] == b"Z":
        return "a zombie that nobody waited for"
    return _raw_command(pid).replace(b"\0", b" ").decode(errors="replace").strip()
