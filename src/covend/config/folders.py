"""Where a box keeps its sockets and its state, and how those folders are made safe."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

MAX_RUN_DIR = 80
"""Bytes of `run_dir`: a unix socket's path may have 107, and its name takes the rest."""


def default_run_dir(name: str, environ: Mapping[str, str]) -> str:
    """The run folder of a box: in `$XDG_RUNTIME_DIR`, else /run for root, else /tmp by uid."""
    if base := environ.get("XDG_RUNTIME_DIR"):
        return str(Path(base, "covend", name))
    if os.geteuid() == 0:
        return str(Path("/run/covend", name))
    return str(Path(f"/tmp/covend-{os.geteuid()}", name))


def default_state_dir(name: str, environ: Mapping[str, str]) -> str:
    """The state folder of the box `name`: `$XDG_STATE_HOME`, else ~/.local/state."""
    base = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return str(Path(base, "covend", name))


def secure_dir(path: str | Path) -> Path:
    """Make `path` a folder that only this user can enter (mode 0700), and return it.

    Raises PermissionError if it, or the last folder above it that had to be there, is a link or
    belongs to somebody else: in /tmp another user may have made it first.
    """
    folder = Path(path)
    missing: list[Path] = []
    above = folder
    while not above.exists() and not above.is_symlink():
        missing.append(above)
        above = above.parent
    for part in reversed(missing):
        try:
            part.mkdir(mode=0o700)
        except FileExistsError:
            _refuse_foreign(part)  # made by somebody between the look and the act
    _refuse_foreign(folder)
    if above != folder and above.name.startswith("covend-"):
        _refuse_foreign(above)
    folder.chmod(0o700)
    return folder


def _refuse_foreign(folder: Path) -> None:
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError(f"{folder} is a symbolic link; it must be a folder of your own")
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user (uid {found.st_uid})")
