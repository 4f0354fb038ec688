"""Where a box keeps its files, and who may read them: its user alone.

| place | what |
|---|---|
| ``RUN/wire`` | sockets between the processes |
| ``RUN/intents`` | intent files, from the arbiter to the reactor (W22) |
| ``RUN/units`` | one record per soulstone the reactor started |
| ``RUN/logs`` | what the soulstones and the box's processes print |
| ``RUN/intent.key`` | the key of the intents' MAC |
| ``STATE/nonces`` | the ledger of the nonces used |
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from covend.runtime.file_lock import FileHeld, FileLock

KEY_BYTES = 32
MAX_RUN_PATH = 80
"""A Unix socket's path holds 107 bytes; the sockets' own names need the rest."""


class FolderError(Exception):
    """A folder or file of the box is missing, or open to others; says what would be right."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one box; any process of it opens the same ones."""

    run: Path
    state: Path

    @classmethod
    def open(cls, run: Path, state: Path) -> Folders:
        """Create what is missing, check the rest, and return the folders.

        Raises ``FolderError`` for a folder that is a link, belongs to another user or is open to
        others, and for a run folder whose path is too long for a socket.
        """
        run, state = run.absolute(), state.absolute()
        if len(os.fsencode(run)) > MAX_RUN_PATH:
            raise FolderError(
                f"run_dir {run} is {len(os.fsencode(run))} bytes long; the sockets below it leave "
                f"room for {MAX_RUN_PATH}: choose a shorter run_dir"
            )
        folders = cls(run, state)
        for path in (run, state, folders.wire, folders.intents, folders.units, folders.logs):
            _private_folder(path)
        return folders

    @property
    def wire(self) -> Path:
        """The sockets between the processes."""
        return self.run / "wire"

    @property
    def api(self) -> Path:
        """The socket of the API process, where the gates reach it."""
        return self.run / "api.sock"

    @property
    def intents(self) -> Path:
        """Where the arbiter leaves its intents."""
        return self.run / "intents"

    @property
    def units(self) -> Path:
        """One record per soulstone the reactor started."""
        return self.run / "units"

    @property
    def logs(self) -> Path:
        """What the soulstones and the box's processes print, one file each."""
        return self.run / "logs"

    @property
    def nonces(self) -> Path:
        """The ledger of the nonces used; outlives the run folder."""
        return self.state / "nonces"

    @property
    def box_id(self) -> str:
        """What marks the processes of this box in their environment: a hash of the run folder."""
        return hashlib.sha256(os.fsencode(self.run.resolve())).hexdigest()[:16]

    def key(self) -> bytes:
        """The key of the intents' MAC; made at the first call of the first process that asks.

        Raises ``FolderError`` when the file is not a private one of ours of the right length.
        """
        path = self.run / "intent.key"
        if not os.path.lexists(path):
            # Processes of the box start at the same time: one makes it, the others wait for it.
            fd = os.open(self.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if not os.path.lexists(path):
                    replace_private(path, secrets.token_bytes(KEY_BYTES))
            finally:
                os.close(fd)
        key = read_private(path, KEY_BYTES)
        if len(key) != KEY_BYTES:
            raise FolderError(
                f"{path} holds {len(key)} bytes, a key has {KEY_BYTES}: stop the box and remove it"
            )
        return key

    def claim(self) -> ExitStack:
        """Take both folders for one box; held until closed or until this process ends.

        Raises ``FolderError`` when another process holds one of them.
        """
        with ExitStack() as claim:
            for folder, setting in {self.run: "run_dir", self.state: "state_dir"}.items():
                try:
                    lock = FileLock(folder / "box.lock")
                except FileHeld as held:
                    raise FolderError(
                        f"another covend (pid {held.holder}) runs the box in {folder}: stop it "
                        f"with `covend stop`, or choose another {setting}"
                    ) from None
                claim.callback(lock.close)
            return claim.pop_all()


def write_private(path: Path, data: bytes, durable: bool = True) -> None:
    """Write a new file that only its owner can read; on disk when this returns, if ``durable``.

    Raises FileExistsError when anything has that name, a dangling link included.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def replace_private(path: Path, data: bytes, durable: bool = True) -> None:
    """Put a file in place whole: temporary file, fsync, rename, fsync of the folder.

    Without ``durable`` there is no fsync: whole for every reader, but not after a power cut.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        write_private(part, data, durable)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def read_private(path: Path, limit: int) -> bytes:
    """The bytes of a regular file that is ours alone.

    Raises ``FolderError`` for a link, a device, a pipe, a second name (hard link), another owner,
    a mode open to others, more than ``limit`` bytes, or a file that cannot be read.
    """
    try:
        # Without O_NONBLOCK opening a pipe would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        what = "is a symbolic link" if path.is_symlink() else (error.strerror or str(error))
        raise FolderError(f"{path}: {what}; a regular file is needed") from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise FolderError(f"{path} is not a regular file")
        _check_owner(path, info)
        if info.st_nlink != 1:
            raise FolderError(f"{path} has {info.st_nlink} names (hard links); one is allowed")
        if info.st_size > limit:
            raise FolderError(f"{path} is {info.st_size} bytes long; {limit} are allowed")
        data = b""
        while len(data) <= limit and (chunk := os.read(fd, limit + 1 - len(data))):
            data += chunk
    finally:
        os.close(fd)
    if len(data) > limit:
        raise FolderError(f"{path} grew past {limit} bytes while it was read")
    return data


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _private_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
    except OSError as error:
        raise FolderError(f"{path} cannot be made a folder: {error.strerror or error}") from None
    if not stat.S_ISDIR(info.st_mode):
        raise FolderError(f"{path} is not a folder (a symbolic link is not followed): remove it")
    _check_owner(path, info)


def _check_owner(path: Path, info: os.stat_result) -> None:
    if info.st_uid != os.geteuid():
        raise FolderError(f"{path} belongs to user {info.st_uid}, not to {os.geteuid()}, who runs")
    mode = stat.S_IMODE(info.st_mode)
    if mode & 0o077:
        right = 0o700 if stat.S_ISDIR(info.st_mode) else 0o600
        raise FolderError(f"{path} has mode {mode:04o}, open to others: chmod {right:o} {path}")
