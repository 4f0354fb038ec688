"""A file that one process at a time holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from covend.runtime import file_lock
from covend.runtime.file_lock import FileHeld, FileLock

HOLDER = """
import subprocess, sys
from pathlib import Path
from covend.runtime.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_who_holds_it_is_named_and_nobody_else_does(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(path)
    with pytest.raises(FileHeld, match=f"process {os.getpid()}"):
        FileLock(path)
    lock.close()
    lock.close()
    assert not path.exists()
    FileLock(path).close()


def test_a_killed_holder_has_let_go_whatever_it_started_lives_on(tmp_path: Path) -> None:
    """S16: kill -9, and at once the next."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(FileHeld, match=f"process {holder.pid}"):
                FileLock(path)
            holder.kill()
            holder.wait()
            FileLock(path).close()
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_lets_go_in_time_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FileLock(tmp_path / "lock")
    refused = threading.Event()

    def waiting(_seconds: float) -> None:
        refused.set()
        lock.close()

    monkeypatch.setattr(file_lock.time, "sleep", waiting)
    FileLock(tmp_path / "lock", patience=60.0).close()
    assert refused.is_set()


def test_a_file_that_was_removed_before_it_was_locked_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next one makes the file anew, and there are two holders."""
    path = tmp_path / "lock"
    flock = file_lock.fcntl.flock

    def removed_first(fd: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        flock(fd, operation)

    monkeypatch.setattr(file_lock.fcntl, "flock", removed_first)
    lock = FileLock(path)
    assert path.exists(), "nobody else can make it, and nobody was waited for"
    with pytest.raises(FileHeld):
        FileLock(path)
    lock.close()


def test_the_file_is_removed_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who takes it in between loses its name, and there are two holders."""
    path = tmp_path / "lock"
    lock = FileLock(path)
    unlink, refused = Path.unlink, list[FileHeld]()

    def taking(self: Path, missing_ok: bool = False) -> None:
        with pytest.raises(FileHeld) as told:
            FileLock(path)
        refused.append(told.value)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", taking)
    lock.close()
    assert len(refused) == 1 and not path.exists()


def test_of_what_a_killed_holder_left_nothing_is_taken_for_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789\n123456789\n")
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(FileHeld) as told:
        FileLock(tmp_path / "lock")
    assert told.value.holder == str(os.getpid())
    lock.close()


def test_a_link_is_not_followed_and_no_descriptor_is_left(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="lock"):
        FileLock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
