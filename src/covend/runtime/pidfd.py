"""Processes known by (pid, create time), and one thread that sees them end.

A pid alone names whoever has the number now. A ``ProcessId`` names one process for ever, and a
pidfd opened and then checked against it can neither signal nor wait for anybody else. Works the
same for our own children and for processes adopted from a former incarnation of ours.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

OnExit = Callable[[int | None], None]
"""Called with the exit status: ≥ 0 as given to exit(), < 0 a signal, None if it is not ours."""

_TICKS = os.sysconf("SC_CLK_TCK")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One line of the process table: who it is, whose child, in which session, in which state."""

    id: ProcessId
    parent: int
    session: int
    state: str

    @property
    def gone(self) -> bool:
        """True for a zombie: it runs no more, only its status waits to be read."""
        return self.state in "ZX"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, safe against pid reuse: its pid and when it was created.

    ``create_time`` is in seconds after boot, as the kernel counts it; unlike a wall clock time it
    is the same number for every reader, whatever is done to the clock.
    """

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The process that has this pid now. Raises ProcessLookupError when there is none."""
        stat = read_stat(pid)
        if stat is None:
            raise ProcessLookupError(f"there is no process {pid}")
        return stat.id

    def stat(self) -> ProcessStat | None:
        """Its line of the process table; None once it was reaped or its pid is somebody else's."""
        stat = read_stat(self.pid)
        return stat if stat is not None and stat.id == self else None

    def alive(self) -> bool:
        """True while it runs (or is stopped): not for a zombie, not for a successor of its pid."""
        stat = self.stat()
        return stat is not None and not stat.gone

    def open(self) -> int | None:
        """A pidfd of exactly this process, which the caller closes; None when it is gone."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # Checked after opening: from here on the fd cannot change whom it means.
        if self.stat() is None:
            os.close(fd)
            return None
        return fd

    def send(self, signum: signal.Signals) -> bool:
        """Sends a signal to exactly this process; False when it is gone."""
        fd = self.open()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, signum)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True

    def terminate(self) -> bool:
        """Asks it to end (SIGTERM); False when it is gone."""
        return self.send(signal.SIGTERM)

    def kill(self) -> bool:
        """Ends it at once (SIGKILL); False when it is gone."""
        return self.send(signal.SIGKILL)

    def wait(self, timeout: float) -> bool:
        """True once it ended, within ``timeout`` seconds; its status stays for who reaps it."""
        return not wait_all([self], timeout)


def read_stat(pid: int) -> ProcessStat | None:
    """The process table's line for a pid; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in brackets and may itself hold brackets and blanks.
    fields = line[line.rindex(b")") + 2 :].split()
    return ProcessStat(
        id=ProcessId(pid, int(fields[19]) / _TICKS),
        parent=int(fields[1]),
        session=int(fields[3]),
        state=fields[0].decode(),
    )


def process_table() -> Iterator[ProcessStat]:
    """Every process of this machine, zombies included."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None:
                yield stat


def wait_all(processes: Iterable[ProcessId], timeout: float) -> list[ProcessId]:
    """Waits until all have ended, at most ``timeout`` seconds; returns those that still run."""
    deadline = time.monotonic() + timeout
    poll = select.poll()
    running: dict[int, ProcessId] = {}
    try:
        for process in processes:
            fd = process.open()
            if fd is not None:
                running[fd] = process
                poll.register(fd, select.POLLIN)
        while running:
            left = deadline - time.monotonic()
            ended = poll.poll(max(0, math.ceil(left * 1000)))
            for fd, _event in ended:
                poll.unregister(fd)
                del running[fd]
                os.close(fd)
            if left <= 0 and not ended:
                break
        return list(running.values())
    finally:
        for fd in running:
            os.close(fd)


@dataclass(slots=True)
class _Watched:
    process: ProcessId | None
    callbacks: dict[int, OnExit] = field(default_factory=dict[int, OnExit])


@dataclass(frozen=True, slots=True)
class Watch:
    """One registration with an ``ExitWatcher``."""

    cancel: Callable[[], None]
    """From any thread: the callback is not called after this, unless it is running already."""


class ExitWatcher:
    """Sees processes end, within a millisecond, in one thread for all of them (S16).

    Callbacks run in that thread and must be short: tell an actor, set an event. When the process
    is a child of ours the watcher reaps it, and every watch on it hears its status.
    """

    def __init__(self, name: str = "covend-exits") -> None:
        self._lock = threading.Lock()
        self._fds: dict[int, _Watched] = {}
        self._by_process: dict[ProcessId, int] = {}
        self._gone: deque[_Watched] = deque()
        self._keys = iter(range(1, 1 << 62))
        self._closed = False
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def watch(self, pid: int, create_time: float, callback: OnExit) -> Watch:
        """Calls ``callback`` once when that process ends, at once if it has ended already."""
        process = ProcessId(pid, create_time)
        with self._lock:
            key = next(self._keys)
            fd = self._by_process.get(process)
            if fd is not None:
                self._fds[fd].callbacks[key] = callback
                return Watch(lambda: self._cancel(key))
            fd = process.open()
            return self._add(fd, process, key, callback)

    def watch_end_of_file(self, fd: int, callback: Callable[[], None]) -> Watch:
        """Calls ``callback`` once when the other end of a pipe is closed; takes over ``fd``."""
        with self._lock:
            return self._add(fd, None, next(self._keys), lambda _status: callback())

    def close(self) -> None:
        """Ends the thread; watches that have not fired never will."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._wake, 1)
        self._thread.join(timeout=5.0)

    def _add(self, fd: int | None, process: ProcessId | None, key: int, callback: OnExit) -> Watch:
        if self._closed:
            if fd is not None:
                os.close(fd)
            raise RuntimeError("this ExitWatcher is closed")
        watched = _Watched(process, {key: callback})
        if fd is None:
            # Gone already: still told from the watcher's thread, so callers see one behaviour.
            self._gone.append(watched)
            os.eventfd_write(self._wake, 1)
            return Watch(watched.callbacks.clear)
        self._fds[fd] = watched
        if process is not None:
            self._by_process[process] = fd
        self._epoll.register(fd, select.EPOLLIN)
        return Watch(lambda: self._cancel(key))

    def _cancel(self, key: int) -> None:
        with self._lock:
            for watched in self._fds.values():
                if watched.callbacks.pop(key, None) is not None:
                    return  # the fd stays: a child of ours is reaped even if nobody asks

    def _run(self) -> None:
        while True:
            for fd, _event in self._epoll.poll():
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                else:
                    self._end(fd)
            while self._gone:
                self._tell(self._gone.popleft(), None)
            with self._lock:
                if self._closed:
                    for fd in [*self._fds, self._wake]:
                        os.close(fd)
                    self._fds.clear()
                    self._epoll.close()
                    return

    def _end(self, fd: int) -> None:
        with self._lock:
            self._epoll.unregister(fd)
            watched = self._fds.pop(fd)
            if watched.process is not None:
                del self._by_process[watched.process]
        status = None if watched.process is None else _reap(fd)
        os.close(fd)
        self._tell(watched, status)

    def _tell(self, watched: _Watched, status: int | None) -> None:
        for callback in list(watched.callbacks.values()):
            try:
                callback(status)
            except Exception:
                # One bad callback must not blind the process to all other exits.
                _log.exception("a callback for the end of %s failed", watched.process)


def _reap(fd: int) -> int | None:
    """The exit status of an ended child, by its pidfd; None when it is no child of ours."""
    try:
        result = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


@functools.cache
def _shared_watcher() -> ExitWatcher:
    return ExitWatcher()


_shared_lock = threading.Lock()


def exit_watcher() -> ExitWatcher:
    """The watcher this whole process shares; started at first use, lives as long as it does."""
    with _shared_lock:
        return _shared_watcher()
