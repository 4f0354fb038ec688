"""`covend check-config` and `covend init`: box files, without a running box."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covend.cli.shared import (
    ENV_CONFIG,
    JsonOption,
    Status,
    config_path,
    console,
    fail,
    print_json,
    report_errors,
    say,
)

if TYPE_CHECKING:
    from covend.config import Box


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("check-config")(check_config)
    app.command()(init)


def check_config(
    file: Annotated[
        Path | None, typer.Argument(help="The box file.", envvar=ENV_CONFIG, show_default=False)
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of box files instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a box file: every error at once, with its line and what would be right."""
    from covend.config import ConfigErrors, load, schema_text

    if schema:
        typer.echo(schema_text(), nl=False)
        return
    path = config_path(file)
    try:
        box = load(path)
    except ConfigErrors as errors:
        if as_json:
            print_json({"ok": False, "file": str(path), "errors": errors.errors, "notes": []})
            raise typer.Exit(int(Status.WRONG)) from None
        report_errors(errors)
    notes = absent_here(box)
    if as_json:
        print_json({"ok": True, "file": str(path), "errors": [], "notes": notes})
        return
    say(
        f"{path}: box {box.name} holds, with {len(box.device)} devices, {len(box.soulstone)} "
        f"soulstones and {len(box.coven)} covens"
    )
    for note in notes:
        say(f"note: {note}")


def absent_here(box: Box) -> list[str]:
    """What the box names and this machine lacks: no error, the file may be for another machine."""
    from covend.config.responders import absent_variables

    notes = absent_variables(box, os.environ)
    for stone in box.soulstone:
        if stone.command and shutil.which(stone.command[0]) is None:
            notes.append(f"soulstone {stone.name}: no program {stone.command[0]} on this machine")
        for word in stone.command[1:]:
            if word.startswith("/") and word.endswith(".gguf") and not Path(word).is_file():
                notes.append(f"soulstone {stone.name}: no file {word} on this machine")
    for name in ("tls_cert", "tls_key"):
        path = getattr(box.gate, name)
        if path and not Path(path).is_file():
            notes.append(f"gate.{name}: no file {path} on this machine")
    return notes


def init(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Further folders with models.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("covend.toml"),
    name: Annotated[str, typer.Option("--name", help="The box's name.")] = "box",
    limit: Annotated[int, typer.Option("--limit", min=1, max=64, help="Models at most.")] = 8,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find GPUs, models and model servers on this machine, and write a box file that runs."""
    from covend.cli.box_file import Nothing, draft
    from covend.cli.discover import discover
    from covend.config import show_size

    if output.exists() and not force:
        fail(f"{output} is there already; --force overwrites it", Status.FAILED)
    if absent := [str(folder) for folder in folders or [] if not folder.is_dir()]:
        fail(f"no such folder: {', '.join(absent)}", Status.WRONG)
    found = discover(tuple(folders or ()))
    try:
        made = draft(found, name=name, limit=limit, file=output)
    except Nothing as error:
        fail(str(error), Status.FAILED)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(made.text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", Status.FAILED)
    if as_json:
        print_json(
            {"file": str(output), "found": found, "used": made.used, "left_out": made.left_out}
        )
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "served by", "memory", box=None, pad_edge=False)
    for used in made.used:
        table.add_row(Text(used.name), Text(used.server), Text(show_size(used.memory)))
    console().print(table)
    for out in made.left_out:
        say(f"left out: {out}")
    say(f"wrote {output}; next: covend serve {output}")
