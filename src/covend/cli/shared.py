"""What the commands share: options, exit statuses, and how they speak to people and programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from covend.cli.visible import escaped, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from covend.cli.client import BoxClient
    from covend.config import Box

T = TypeVar("T")
ENV_CONFIG = "COVEND_CONFIG"
ENV_RUN_DIR = "COVEND_RUN_DIR"


class Status(IntEnum):
    """Exit statuses of every command."""

    FAILED = 1
    WRONG = 2
    NOT_RUNNING = 3
    NO_ANSWER = 4
    INTERRUPTED = 130


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar=ENV_CONFIG, help="The box file.", show_default=False),
]
RunDirOption = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        envvar=ENV_RUN_DIR,
        help="The running box's run folder; left out: as its box file says.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, max=86400, help="Seconds to wait for the answer.")
]


def say(text: str, err: bool = False) -> None:
    """Lines on standard output (or error), which may have words in them that others wrote."""
    typer.echo(visible(text), err=err)


def fail(message: str, status: Status) -> NoReturn:
    """Say what is wrong on standard error, and end the command with `status`."""
    say(f"covend: {message}", err=True)
    raise typer.Exit(int(status))


def print_json(data: Any) -> None:
    """One JSON document on standard output, in UTF-8 whatever the terminal has."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    typer.echo(f"{escaped(text)}\n".encode(), nl=False)


def console(stderr: bool = False) -> Console:
    """Where tables go: standard output, as wide as the terminal, plain when it is none.

    With ``stderr`` the same of standard error, where what is said beside an answer goes.
    """
    from rich.console import Console

    from covend.cli.visible_console import Visible

    # A pipe has no width: cutting cells to 80 columns there would lose what a script looks for.
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 200
    found = Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
    found.push_render_hook(Visible())
    return found


def config_path(given: Path | None) -> Path:
    """The box file to use: the one given, else the first that exists of the usual places."""
    if given is not None:
        return given
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    places = (Path("covend.toml"), Path(base, "covend", "covend.toml"), Path("/etc/covend.toml"))
    for place in places:
        if place.is_file():
            return place
    listed = ", ".join(map(str, places))
    fail(
        f"no box file: looked for {listed}; give --config, or write one: covend init", Status.WRONG
    )


def load_box(path: Path) -> Box:
    """The box of a file; ends the command with every error of a wrong one."""
    from covend.config import ConfigErrors, load

    try:
        return load(path)
    except ConfigErrors as errors:
        report_errors(errors)


def report_errors(errors: Any) -> NoReturn:
    """Print every error of a box file on standard error, and end the command."""
    count = len(errors.errors)
    say(str(errors), err=True)
    fail(f"{count} error{'s' if count != 1 else ''} in the box file", Status.WRONG)


def ask_core(config: Path | None, run_dir: Path | None, message: object, timeout: float) -> Any:
    """The answer of the running box's core; without one the command ends with its status."""
    from covend.protocol import CONSOLE

    with connected(config, run_dir) as box:
        return box.ask(CONSOLE, message, timeout)


def show(answer: T, as_json: bool, view: Callable[[T], RenderableType]) -> None:
    """An answer for programs, as one JSON document, or for people, as `view` makes it."""
    if as_json:
        print_json(answer)
        return
    made = view(answer)
    say(made) if isinstance(made, str) else console().print(made)


@contextmanager
def connected(config: Path | None, run_dir: Path | None) -> Generator[BoxClient]:
    """A client of the running box; what goes wrong ends the command with its status."""
    from covend.cli.client import BoxClient, BoxNotRunning, BoxRefused, BoxSilent

    folder = run_dir or Path(load_box(config_path(config)).run_dir)
    try:
        with BoxClient(folder) as client:
            yield client
    except BoxNotRunning as error:
        fail(str(error), Status.NOT_RUNNING)
    except BoxSilent as error:
        fail(str(error), Status.NO_ANSWER)
    except BoxRefused as error:
        fail(str(error), Status.FAILED)
