"""The command line: `covend serve`, `status`, `swap`, `why` and the rest."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper


def main() -> None:
    """Entry of the `covend` command. Imports what a command needs only when it runs."""
    _open_streams()
    from covend.cli.app import app

    try:
        app(prog_name="covend")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"covend: what was to be said could not be written: {error.strerror}")


def _open_streams() -> None:
    """Have all three, or a file would be opened in the place of one; no character ends a command.

    What a terminal cannot show is escaped.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for as long as it lives)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
