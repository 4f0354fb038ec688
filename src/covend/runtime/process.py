"""Starts operating system processes and learns of their end (S16).

One long-lived thread starts them all, each in a session of its own, always by exec. A child that
wants to follow its parent reads a pipe which nobody writes to: end-of-file means the parent is
gone, however it went. A child that wants to be waited for says so through a second pipe.
"""

from __future__ import annotations

import os
import queue
import select
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from covend.runtime.pidfd import ExitWatcher, OnExit, ProcessId, Watch, exit_watcher

PARENT_FD = "COVEND_PARENT_FD"
"""Environment variable with the read end of the parent's pipe."""

READY_FD = "COVEND_READY_FD"
"""Environment variable with the write end of the pipe that ``say_ready`` writes to."""

LOG_BYTES = 16 * 1024 * 1024
"""A log longer than this is set aside when a process is started on it; one old log is kept."""

_SPAWN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: the program with its arguments, and what it is given.

    ``env`` is added to this process's environment. Standard output and error go to the end of
    ``log_path`` where one is named (of bounded length: ``LOG_BYTES``), else where this process's
    own go; standard input is empty.
    ``follows_parent`` passes the parent's pipe, ``notifies`` the one for ``say_ready``.
    """

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: str | Path | None = None
    log_path: str | Path | None = None
    follows_parent: bool = True
    notifies: bool = False


class Child:
    """A process started by a ``Spawner``: reaped by itself, its status kept."""

    def __init__(self, process: ProcessId, argv: Sequence[str], ready_fd: int | None) -> None:
        self.id = process
        self.argv = tuple(argv)
        self._ready_fd = ready_fd
        self._status: int | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[OnExit] = []

    @property
    def pid(self) -> int:
        """Its process id, which is its session's and its group's as well."""
        return self.id.pid

    @property
    def status(self) -> int | None:
        """Its exit status (negative: a signal); None while it runs."""
        return self._status

    def on_exit(self, callback: OnExit) -> None:
        """Calls back once with the status, from the watcher's thread; at once if it has ended."""
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(callback)
                return
        callback(self._status)

    def wait(self, timeout: float) -> bool:
        """True once it ended and was reaped, within ``timeout`` seconds."""
        return self._ended.wait(timeout)

    def wait_ready(self, timeout: float) -> bool:
        """True once it called ``say_ready``; False if it ended or ``timeout`` seconds went by."""
        fd, self._ready_fd = self._ready_fd, None
        if fd is None:
            raise RuntimeError("wait_ready needs Command(notifies=True), and works once")
        try:
            # End-of-file without a byte is a child that ended (or exec'ed on) without a word.
            readable, _, _ = select.select([fd], [], [], max(0.0, timeout))
            return bool(readable) and os.read(fd, 1) != b""
        finally:
            os.close(fd)

    def _end(self, status: int | None) -> None:
        with self._lock:
            self._status = status
            self._ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(status)

    def __repr__(self) -> str:
        return f"Child({self.pid}, {self.argv[0]!r}, status={self._status})"


class Spawner:
    """Starts processes from one long-lived thread, each leading its own session (S16).

    Never forks without exec, so threads and CUDA contexts of this process stay out of the child.
    Every child is reaped through the ``ExitWatcher``, so none stays a zombie.
    """

    def __init__(self, watcher: ExitWatcher | None = None, name: str = "covend-spawner") -> None:
        self.watcher = watcher or exit_watcher()
        self.lock = threading.Lock()
        """Held while a child is started and recorded; ``OrphanReaper`` takes it to reap."""
        self.children: dict[int, Child] = {}
        """Every child not yet reaped, by pid; guarded by ``lock``."""
        self._parent_read, self._parent_write = os.pipe()
        self._requests: queue.SimpleQueue[tuple[Command, Future[Child]] | None]
        self._requests = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def life(self) -> str:
        """A file that ends when this process does, for those who were passed no descriptor."""
        return f"/proc/{os.getpid()}/fd/{self._parent_read}"

    def spawn(self, command: Command) -> Child:
        """Starts a process and returns once it runs its program; from any thread.

        Raises OSError when it cannot be started (no such program, no such directory, …).
        """
        if self._closed:
            raise RuntimeError("this Spawner is closed")
        if not command.argv:
            raise ValueError("Command.argv is empty: give the program and its arguments")
        future: Future[Child] = Future()
        self._requests.put((command, future))
        return future.result(timeout=_SPAWN_SECONDS)

    def close(self) -> None:
        """Ends the thread and closes the parent's pipe: children that follow us will leave."""
        if self._closed:
            return
        self._closed = True
        self._requests.put(None)
        self._thread.join(timeout=_SPAWN_SECONDS)
        os.close(self._parent_read)
        os.close(self._parent_write)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            command, future = request
            try:
                future.set_result(self._start(command))
            except BaseException as error:
                future.set_exception(error)

    def _start(self, command: Command) -> Child:
        env = {**os.environ, **(command.env or {})}
        env.pop(PARENT_FD, None)  # ours, should we be a child ourselves: not theirs
        env.pop(READY_FD, None)
        pass_fds: list[int] = []
        ready_read = ready_write = None
        if command.follows_parent:
            env[PARENT_FD] = str(self._parent_read)
            pass_fds.append(self._parent_read)
        if command.notifies:
            ready_read, ready_write = os.pipe()
            env[READY_FD] = str(ready_write)
            pass_fds.append(ready_write)
        try:
            child = self._exec(command, env, pass_fds, ready_read)
        except BaseException:
            if ready_read is not None:
                os.close(ready_read)
            raise
        finally:
            if ready_write is not None:
                os.close(ready_write)
        self.watcher.watch(
            child.pid, child.id.create_time, lambda status: self._reaped(child, status)
        )
        return child

    def _exec(
        self, command: Command, env: dict[str, str], pass_fds: list[int], ready_fd: int | None
    ) -> Child:
        log = None
        if command.log_path is not None:
            log = _opened_log(command.log_path)
        try:
            with self.lock:
                popen = subprocess.Popen(
                    list(command.argv),
                    env=env,
                    cwd=command.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=pass_fds,
                )
                # The watcher reaps it, by pidfd. Popen is told that this is settled, or it would
                # complain of a running child when it is collected.
                popen.returncode = 0
                child = Child(ProcessId.of(popen.pid), command.argv, ready_fd)
                self.children[child.pid] = child
                return child
        finally:
            if log is not None:
                os.close(log)

    def _reaped(self, child: Child, status: int | None) -> None:
        with self.lock:
            self.children.pop(child.pid, None)
        child._end(status)  # pyright: ignore[reportPrivateUsage]


def _opened_log(path: str | Path) -> int:
    """A descriptor that writes to the end of the log, which is a new one if it was too long."""
    with suppress(FileNotFoundError):
        if os.stat(path).st_size > LOG_BYTES:
            os.replace(path, f"{path}.1")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)


_shared_lock = threading.Lock()
_shared: Spawner | None = None


def spawner() -> Spawner:
    """The spawner this whole process shares; started at first use, lives as long as it does."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Spawner()
        return _shared


def watch_parent(callback: Callable[[], None], watcher: ExitWatcher | None = None) -> Watch | None:
    """Calls back once when the process that started this one is gone (S16).

    Runs in the watcher's thread. Returns None when no parent passed its pipe. Call it once: the
    pipe is taken over and hidden from children of this process, who have us to follow.
    """
    text = os.environ.pop(PARENT_FD, None)
    if text is None:
        return None
    fd = int(text)
    os.set_inheritable(fd, False)
    return (watcher or exit_watcher()).watch_end_of_file(fd, callback)


def say_ready() -> None:
    """Tells the parent that this process is ready, if it waits for that; later calls do nothing."""
    text = os.environ.pop(READY_FD, None)
    if text is None:
        return
    fd = int(text)
    try:
        os.write(fd, b"1")
    except BrokenPipeError:
        pass  # the parent stopped waiting: its deadline decides, not we
    finally:
        os.close(fd)
