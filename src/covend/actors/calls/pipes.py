"""What a program is told and what it says, within a time and a size."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from covend.runtime import one_core
from covend.runtime.guard import guarded

PART_BYTES = 64 * 1024
COMPLAINT_BYTES = 64 * 1024
"""So much of the end of what it says on its standard error is kept."""


class TooMuch(Exception):
    """It says more than is taken of it; the argument is how many bytes that is."""


@dataclass(slots=True)
class Said:
    """What came from a program."""

    output: bytearray = field(default_factory=bytearray)
    complaint: bytearray = field(default_factory=bytearray)


def begin(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program to talk to: in a session of its own, which ends with this process (S16).

    ``kill_session`` ends it before. Raises ``OSError`` where it cannot be started. Any thread.
    """
    one_core.let_go()
    return subprocess.Popen(
        guarded(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_session(leader: int) -> None:
    """Kill a process that was not waited for, and all of its group; dead, it keeps its number."""
    with suppress(ProcessLookupError):  # it may be gone already
        os.killpg(leader, signal.SIGKILL)


def talk(process: subprocess.Popen[bytes], told: bytes, seconds: float, most: int) -> Said:
    """Write all of its input and read all that it says, until its end.

    What it said is complete once the process itself has ended, also where something that it began
    goes on and still holds its streams. Those must be three pipes. It is not waited for: who kills
    its session does that first. Raises ``TimeoutError``, and ``TooMuch`` as soon as its output has
    more than ``most`` bytes: the program goes on then. Any thread.
    """
    assert process.stdin and process.stdout and process.stderr
    deadline = time.monotonic() + seconds
    said = Said()
    left = memoryview(told)
    for stream in (process.stdin, process.stdout, process.stderr):
        os.set_blocking(stream.fileno(), False)
    with _end_of(process) as ended, selectors.DefaultSelector() as ready:
        ready.register(ended, selectors.EVENT_READ)
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ, said.output)
        ready.register(process.stderr, selectors.EVENT_READ, said.complaint)
        over = False
        while not over:
            for key, _ in ready.select(_until(deadline)):
                if key.fd == ended:
                    over = True
                elif key.data is None:
                    left = left[_write(key.fd, left) :]
                    if not left:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                elif part := os.read(key.fd, PART_BYTES):
                    key.data.extend(part)
                else:
                    ready.unregister(key.fileobj)
            if over:
                said.output += _rest(process.stdout.fileno())
                said.complaint += _rest(process.stderr.fileno())
            if len(said.output) > most:
                raise TooMuch(most)
            del said.complaint[:-COMPLAINT_BYTES]
    return said


@contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Generator[int]:
    """A descriptor that is readable once a child has ended, which must not have been waited for."""
    fd = os.pidfd_open(process.pid)
    try:
        yield fd
    finally:
        os.close(fd)


def _until(deadline: float) -> float:
    """Seconds left; raises ``TimeoutError`` where none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _write(fd: int, data: memoryview) -> int:
    """How much of this is dealt with: all of it where nobody reads it any more."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def _rest(fd: int) -> bytes:
    """All that a pipe holds at this moment."""
    try:
        return os.read(fd, fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))
    except BlockingIOError:
        return b""
