"""The command line: `covend serve`, `status`, `swap`, `why` and the rest."""

from __future__ import annotations


def main() -> None:
    """Entry of the `covend` command. Imports what a command needs only when it runs."""
    from covend.cli.app import app

    app(prog_name="covend")
