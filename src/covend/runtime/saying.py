"""What a process of the box says: on its standard output, a log or whoever started it."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """A line, at once; that nobody reads on, or that the disk is full, ends nothing. Any thread.

    What finds no room is written with a later line, if not too much of it comes before that.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the rest of this process's life)
    except OSError:
        pass
