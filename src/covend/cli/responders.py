"""`covend responders`: who can be asked."""

from __future__ import annotations

import time

import typer

from covend.cli.desk import known
from covend.cli.shared import ConfigOption, JsonOption, RunDirOption, connected, show


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(responders)


def responders(
    config: ConfigOption = None, run_dir: RunDirOption = None, as_json: JsonOption = False
) -> None:
    """List who can be asked: models, functions, programs, people."""
    from covend.cli.responders_view import table
    from covend.patterns.responders.view import responder_view

    with connected(config, run_dir) as box:
        found = known(box)
    now = time.time_ns() // 1000
    show([responder_view(one, now) for one in found], as_json, table)
