"""What a program is told and what it says, within a time and a size."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from dataclasses import dataclass, field

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


def talk(process: subprocess.Popen[bytes], told: bytes, seconds: float, most: int) -> Said:
    """Write all of its input and read all that it says, then wait for its end.

    Its three streams must be pipes. Raises ``TimeoutError``, and ``TooMuch`` as soon as its output
    has more than ``most`` bytes: the program goes on then. Any thread.
    """
    assert process.stdin and process.stdout and process.stderr
    deadline = time.monotonic() + seconds
    said = Said()
    left = memoryview(told)
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ, said.output)
        ready.register(process.stderr, selectors.EVENT_READ, said.complaint)
        while ready.get_map():
            for key, _ in ready.select(_until(deadline)):
                if key.data is None:
                    left = left[_write(key.fd, left) :]
                    if not left:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                elif part := os.read(key.fd, PART_BYTES):
                    key.data.extend(part)
                else:
                    ready.unregister(key.fileobj)
            if len(said.output) > most:
                raise TooMuch(most)
            del said.complaint[:-COMPLAINT_BYTES]
    try:
        process.wait(_until(deadline))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return said


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
