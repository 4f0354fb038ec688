"""The command line: `covend serve`, `status`, `swap`, `why` and the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry of the `covend` command. Imports what a command needs only when it runs."""
    from covend.cli.app import app
    from covend.cli.query import asking

    app(asking(sys.argv[1:]), prog_name="covend")
