"""Which commands there are. Each module below registers its own."""

from __future__ import annotations

from typing import Annotated

import typer

import covend
from covend.cli import (
    config_file,
    inbox,
    jobs,
    keys,
    life,
    mcp,
    query,
    records,
    responders,
    status,
    tracing,
)

EPILOG = (
    "Exit status: 0 done, 1 failed, 2 wrong usage or box file, 3 no box running, 4 no answer, "
    "130 interrupted."
)

app = typer.Typer(
    help="Runs a GPU box of local models the way an operating system runs programs.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"covend {covend.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Runs a GPU box of local models the way an operating system runs programs."""


for part in (life, status, config_file, records, responders, mcp):
    part.register(app)
app.add_typer(query.app, name="query")
app.add_typer(inbox.app, name="inbox")
app.add_typer(tracing.app, name="trace")
app.add_typer(keys.app, name="keys")
app.add_typer(jobs.app, name="jobs")
