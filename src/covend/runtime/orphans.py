"""Adopts the orphans among a process's descendants, and reaps them when they end (S16)."""

from __future__ import annotations

import ctypes
import os
import threading

from covend.runtime.pidfd import ProcessId, ProcessStat, read_stat
from covend.runtime.process import Spawner, spawner

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper(on: bool = True) -> None:
    """Makes this process the parent of every orphan among its descendants (S16).

    Raises OSError when the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1 if on else 0, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(error)}")


class OrphanReaper:
    """Reaps orphans that a subreaper inherits, and nobody else's children (S16).

    An orphan is a child of this process that its spawner did not start and that lives in another
    session than this process: a plain ``subprocess`` child shares our session and is left to
    whoever started it. Looks every ``interval`` seconds, in a thread of its own.
    """

    def __init__(self, owner: Spawner | None = None, interval: float = 1.0) -> None:
        self._spawner = owner or spawner()
        self._interval = interval
        self._session = os.getsid(0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="covend-orphans", daemon=True)
        self._thread.start()

    def orphans(self) -> list[ProcessId]:
        """The orphans that still run."""
        with self._spawner.lock:
            return [stat.id for stat in self._adopted() if not stat.gone]

    def reap(self) -> list[int]:
        """Reaps every orphan that has ended; returns their pids."""
        reaped: list[int] = []
        with self._spawner.lock:
            for stat in self._adopted():
                if stat.gone:
                    try:
                        os.waitpid(stat.id.pid, os.WNOHANG)
                    except ChildProcessError:
                        continue  # somebody who knew it was quicker
                    reaped.append(stat.id.pid)
        return reaped

    def close(self) -> None:
        """Ends the thread, after a last look."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self.reap()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.reap()

    def _adopted(self) -> list[ProcessStat]:
        found = (read_stat(pid) for pid in own_children())
        return [
            stat
            for stat in found
            if stat is not None
            and stat.session != self._session
            and stat.id.pid not in self._spawner.children
        ]


def own_children() -> list[int]:
    """The pids of this process's children, zombies and adopted ones included."""
    pids: list[int] = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                pids.extend(map(int, file.read().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # that thread ended; its children moved to another of ours
    return pids
