"""`covend serve` and `covend stop`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    RunDirOption,
    Status,
    config_path,
    fail,
    load_box,
    print_json,
    report_errors,
    say,
)

if TYPE_CHECKING:
    from covend.cli.client import Identity

TERM_SECONDS = 30.0
"""After the box's own time to stop, SIGTERM gets this long."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(serve)
    app.command()(stop)


def serve(
    config: Annotated[Path | None, typer.Argument(help="The box file.", show_default=False)] = None,
    run_dir: RunDirOption = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="Instead of the box file's state_dir.")
    ] = None,
) -> None:
    """Run a box in the foreground until it is told to stop."""
    from covend.boot import serve as run
    from covend.boot.strategies import StrategyNotFound
    from covend.config import ConfigErrors
    from covend.host.folders import FolderError

    path = config_path(config)
    try:
        status = run(path, str(run_dir) if run_dir else None, str(state_dir) if state_dir else None)
    except ConfigErrors as errors:
        report_errors(errors)
    except StrategyNotFound as error:
        fail(str(error), Status.WRONG)
    except (FolderError, OSError) as error:
        fail(str(error), Status.FAILED)
    raise typer.Exit(status)


def stop(
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, max=3600, help="Seconds before SIGTERM is sent.")
    ] = 100.0,
    as_json: JsonOption = False,
) -> None:
    """Stop the running box in order, and wait until it is gone."""
    from covend.cli.client import BoxNotRunning, read_identity

    folder = run_dir or Path(load_box(config_path(config)).run_dir)
    begun = time.monotonic()
    try:
        identity = read_identity(folder)
    except BoxNotRunning as error:
        fail(str(error), Status.NOT_RUNNING)
    how = _ask_to_stop(folder, identity)
    gone = _wait(identity, timeout, quiet=as_json)
    if not gone and how == "asked":
        how = "SIGTERM"
        identity.process.terminate()
        gone = _wait(identity, TERM_SECONDS, quiet=as_json)
    seconds = time.monotonic() - begun
    if as_json:
        print_json({"stopped": gone, "how": how, "pid": identity.pid, "seconds": round(seconds, 3)})
    elif gone:
        say(f"stopped after {seconds:.1f} s")
    if not gone:
        fail(
            f"the root process {identity.pid} is still there after {seconds:.0f} s; see its log, "
            f"then end it with: kill -9 {identity.pid}",
            Status.FAILED,
        )


def _ask_to_stop(run_dir: Path, identity: Identity) -> str:
    """Ask the root over the wire, or by signal where the wire does not answer; says which."""
    from covend.cli.client import BoxClient, BoxNotRunning, BoxRefused, BoxSilent
    from covend.protocol import StopBox

    try:
        with BoxClient(run_dir) as client:
            client.ask("root@root", StopBox(), timeout=5.0)
    except (BoxNotRunning, BoxSilent, BoxRefused):
        identity.process.terminate()
        return "SIGTERM"
    return "asked"


def _wait(identity: Identity, seconds: float, quiet: bool) -> bool:
    """Wait for the root's end, showing how long it takes; True once it is gone."""
    if quiet:
        return identity.process.wait(seconds)
    from rich.console import Console

    deadline = time.monotonic() + seconds
    with Console(stderr=True).status("stopping") as shown:
        while (left := deadline - time.monotonic()) > 0:
            if identity.process.wait(min(0.5, left)):
                return True
            shown.update(f"stopping, at most {left:.0f} s more")
    return not identity.process.alive()
