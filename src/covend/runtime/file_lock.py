"""A file that one process at a time holds: an advisory lock, which ends with whoever holds it.

The lock is the kernel's (``flock``): one that was killed has let go of it, and no program that the
holder started keeps it.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_ASK_EVERY = 0.05


class FileHeld(Exception):
    """Somebody else holds the file; ``holder`` is the process id, or ``unknown``."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by process {holder}")
        self.holder = holder


class FileLock:
    """A file held by this process until it is closed or this process ends; gone when closed."""

    def __init__(self, path: Path, patience: float = 0.0) -> None:
        """Make the file and hold it; any thread.

        Whoever lets go within ``patience`` seconds is waited for. Raises ``FileHeld`` when
        somebody else holds it, in this process too, and OSError when it cannot be made.
        """
        deadline = time.monotonic() + patience
        while (fd := _taken(path)) is None:
            if time.monotonic() >= deadline:
                raise FileHeld(_holder(path))
            time.sleep(_ASK_EVERY)
        self._path = path
        self._fd = fd
        with suppress(OSError):  # on a full disk the lock holds all the same, without a name
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(fd)


def _taken(path: Path) -> int | None:
    """A descriptor that holds the file; None while somebody else does."""
    while True:
        fd = os.open(path, _FLAGS, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed it meanwhile: then it is made anew.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _holder(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")[:32].strip() or "unknown"
    except OSError:
        return "unknown"
