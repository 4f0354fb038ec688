"""The command line: `covend serve`, `status`, `swap`, `why` and the rest."""

from __future__ import annotations

import errno
import sys
from io import TextIOWrapper


def main() -> None:
    """Entry of the `covend` command. Imports what a command needs only when it runs."""
    from covend.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what this terminal cannot show
    try:
        app(prog_name="covend")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"covend: what was to be said could not be written: {error.strerror}")
