"""`covend trace`: what the box's processes recorded of every message (X1, X2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    RunDirOption,
    Status,
    connected,
    fail,
    print_json,
    say,
)

if TYPE_CHECKING:
    from covend.runtime.export import Record

app = typer.Typer(help="What happened, message by message.", no_args_is_help=True)

DumpOption = Annotated[
    list[Path] | None,
    typer.Option("--dump", help="Read crash dumps instead of the running box.", show_default=False),
]


@app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    actor: Annotated[str, typer.Option("--actor", help="NAME or NAME@NODE.")] = "",
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="send, receive, done, drop, exit, …")
    ] = None,
    dump: DumpOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the latest records of every process, merged by time."""
    from covend.runtime import export

    kinds = tuple(kind or ())
    if not follow:
        found = export.tail(_records(dump, config, run_dir), actor=actor, kinds=kinds)[-lines:]
        print_json(found) if as_json else [say(line) for line in found]
        return
    if dump or as_json:
        fail("--follow reads the running box and prints lines", Status.WRONG)
    with connected(config, run_dir) as box:
        try:
            for line in export.follow(box.wire, box.run_dir, actor=actor, kinds=kinds):
                say(line)
        except KeyboardInterrupt:
            pass  # the way it is meant to end


@app.command()
def tree(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A message's number, as tail shows it.")],
    dump: DumpOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a message caused, across processes."""
    from covend.runtime import export

    number = _number(id_)
    if number is None:
        fail(f"{id_!r} is no message number; `covend trace tail` shows them after #", Status.WRONG)
    records = _records(dump, config, run_dir)
    try:
        text = export.tree(records, number)
    except LookupError as error:
        not_there(error, number, records)
    print_json({"id": number, "tree": text.splitlines()}) if as_json else say(text)


@app.command()
def why(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A message's number, or an actor.")],
    dump: DumpOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the chain of messages that led to one, or to an actor's end."""
    from covend.runtime import export

    number = _number(id_)
    about = id_ if number is None else number
    records = _records(dump, config, run_dir)
    try:
        chain = export.why(records, about)
    except LookupError as error:
        not_there(error, about, records)
    print_json({"id": id_, "why": chain}) if as_json else [say(line) for line in chain]


@app.command()
def export(
    perfetto: Annotated[
        Path | None,
        typer.Option("--perfetto", help="Write a trace for ui.perfetto.dev to this file."),
    ] = None,
    dump: DumpOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the records for another program."""
    from covend.runtime import export as made

    if perfetto is None:
        fail("say what to write: --perfetto FILE", Status.WRONG)
    records = _records(dump, config, run_dir)
    data = made.perfetto(records)
    try:
        perfetto.write_bytes(data)
    except OSError as error:
        fail(f"{perfetto} cannot be written: {error.strerror}", Status.FAILED)
    if as_json:
        print_json({"file": str(perfetto), "records": len(records), "bytes": len(data)})
    else:
        say(f"{perfetto}: {len(records)} records; open it at https://ui.perfetto.dev")


def not_there(error: LookupError, about: int | str, records: list[Record]) -> NoReturn:
    """End the command saying that the records have no such message or actor, and what they have."""
    from covend.config.errors import did_you_mean
    from covend.runtime import export

    there = export.messages(records)
    if not there:
        fail(f"{error}: nothing is recorded", Status.FAILED)
    if isinstance(about, str):
        addresses = {message.receiver for message in there.values()}
        names = {address.partition("@")[0] for address in addresses}
        hint = did_you_mean(about, sorted((addresses if "@" in about else names) - {""}))
    else:
        hint = f"; of {len(there)} messages that are there the newest is #{next(reversed(there))}"
    fail(f"{error}{hint} (`covend trace tail` shows them)", Status.FAILED)


def _records(dump: list[Path] | None, config: Path | None, run_dir: Path | None) -> list[Record]:
    """The records of crash dumps, else of every process of the running box."""
    from covend.runtime import export
    from covend.runtime.trace_actor import MAX_RECORDS, TraceQuery

    if dump:
        try:
            return export.load_dumps(dump)
        except (OSError, ValueError) as error:
            fail(f"a dump cannot be read: {error}", Status.WRONG)
    with connected(config, run_dir) as box:
        records = export.collect(box.wire, box.run_dir, TraceQuery(limit=MAX_RECORDS))
    return [record for record in records if record.at.message != "TraceQuery"]  # our own asking


def _number(text: str) -> int | None:
    found = re.fullmatch(r"#?([0-9]{1,20})", text)
    return int(found[1]) if found else None
