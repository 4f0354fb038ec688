"""`covend keys`: API keys in the box file, by their hash alone (G7)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    Status,
    config_path,
    console,
    fail,
    load_box,
    print_json,
    say,
)

app = typer.Typer(help="API keys, stored as hashes.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    klass: Annotated[
        str, typer.Option("--class", help="reflex, ritual, ingest or swarm.")
    ] = "reflex",
    capability: Annotated[
        list[str] | None,
        typer.Option("--capability", help="A model name, or api for queries; default: all."),
    ] = None,
    max_concurrent: Annotated[int | None, typer.Option("--max-concurrent", min=1)] = None,
    per_minute: Annotated[int | None, typer.Option("--per-minute", min=1)] = None,
    did: Annotated[
        str | None, typer.Option(help="The person or agent it speaks for, and for no other.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key, add its hash to the box file, and show the key once."""
    import secrets

    from covend.cli.keyfile import KeyFileError, add_key, hash_key
    from covend.config import Key

    path = config_path(config)
    load_box(path)
    secret = f"cvd-{secrets.token_urlsafe(32)}"
    key = Key(
        name=name,
        sha256=hash_key(secret),
        klass=klass,  # pyright: ignore[reportArgumentType] # checked with the whole file
        capabilities=tuple(capability or ("*",)),
        max_concurrent=max_concurrent,
        per_minute=per_minute,
        did=did,
    )
    try:
        add_key(path, key)
    except KeyFileError as error:
        fail(str(error), Status.WRONG)
    if as_json:
        print_json({"name": name, "key": secret, "sha256": key.sha256, "file": str(path)})
        return
    say(secret)
    say(f"added to {path}; the key is shown this once and stored nowhere", err=True)


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the keys of the box file; the keys themselves are known to nobody."""
    box = load_box(config_path(config))
    if as_json:
        print_json(box.key)
        return
    from rich.table import Table
    from rich.text import Text

    if not box.key:
        say("no keys; covend keys add NAME makes one")
        return
    table = Table(
        "name", "class", "capabilities", "at once", "per minute", "did", "sha256", box=None
    )
    for key in box.key:
        limits = ["–" if n is None else str(n) for n in (key.max_concurrent, key.per_minute)]
        names = Text(", ".join(key.capabilities))
        table.add_row(key.name, key.klass, names, *limits, key.did or "–", f"{key.sha256[:12]}…")
    console().print(table)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key out of the box file; a running box refuses it within seconds."""
    from covend.cli.keyfile import KeyFileError, remove_key

    path = config_path(config)
    load_box(path)
    try:
        remove_key(path, name)
    except KeyFileError as error:
        fail(str(error), Status.WRONG)
    print_json({"removed": name, "file": str(path)}) if as_json else say(f"removed {name}")


@app.command("hash")
def hash_(as_json: JsonOption = False) -> None:
    """Hash a key read from standard input, for a box file written by hand."""
    from covend.cli.keyfile import hash_key

    try:
        if sys.stdin.isatty():
            secret = typer.prompt("key", hide_input=True)
        else:
            secret = sys.stdin.readline(65536)
        secret = secret.strip()
        digest = hash_key(secret)
    except UnicodeError:  # reading or hashing finds it, as the locale has it
        fail("the key on standard input has bytes in it that are no UTF-8", Status.WRONG)
    if not secret:
        fail("no key on standard input", Status.WRONG)
    print_json({"sha256": digest}) if as_json else say(digest)
