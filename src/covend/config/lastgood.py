"""The last configuration that held, kept for processes that start while the file is broken (G10).

A box whose file was saved half-written goes on with the one before. So must a core or a gate that
dies meanwhile and is started again: it would otherwise read the broken file and never come up.
"""

from __future__ import annotations

import os
from pathlib import Path

from covend.config.errors import ConfigErrors
from covend.config.loading import load, parse
from covend.config.structs import Box
from covend.runtime.saying import say

NAME = "last-good.toml"


def remember(source: str | Path, run_dir: str | Path) -> None:
    """Keep the file as it is now, which was just found to hold. Raises ``OSError``."""
    kept = Path(run_dir) / NAME
    part = kept.with_suffix(f".part-{os.getpid()}")
    part.write_bytes(Path(source).read_bytes())
    part.replace(kept)


def load_or_last_good(source: str | Path, run_dir: str | Path) -> Box:
    """The box of a file, or where that is broken, of the last that held in this run folder.

    Raises ``ConfigErrors`` for the file when there is no earlier one.
    """
    try:
        return load(source)
    except ConfigErrors as error:
        kept = Path(run_dir) / NAME
        if not kept.exists():
            raise
        say(f"the last good configuration is used, because {error}")
        return parse(kept.read_text("utf-8-sig"), Path(source), os.environ)
