"""Where a box keeps its sockets and its state when its file does not say."""

from __future__ import annotations

import os
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
