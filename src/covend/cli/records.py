"""`covend check`, `export`, `import`, `replay` and `salvage`: the store of records by hand (D5)."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeVar

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
    say,
)
from covend.cli.visible import escaped

if TYPE_CHECKING:
    from covend.phylactery.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="The store: a path or a postgresql:// address; left out: as the box file says.",
        show_default=False,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Processes that share the work; left out: one a core where there are many queries.",
        show_default=False,
    ),
]
MANY_TO_WAIT_FOR = 1000
"""From so many queries on, a replay shows how far it is."""

GOES_ON = (
    "not ended, so it goes on here too; carry it on in one place only: cancel it here once the "
    "other box has it (`covend query cancel`), or stop this box"
)

T = TypeVar("T")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A query's id, or any thread's.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (check, export, replay, salvage):
        app.command()(command)
    app.command("import")(import_)


def check(
    store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Verify every record: hashes, parents, clocks, and what is derived from them."""
    with opened(store, config) as box:
        problems = box.verify()
    if as_json:
        print_json({"store": box.where, "problems": problems})
    else:
        say("\n".join(problems) or f"{box.where}: all records and projections are intact")
    if problems:
        raise typer.Exit(int(Status.FAILED))


def export(
    id_: IdArgument,
    children: Annotated[bool, typer.Option(help="With the queries it triggered.")] = True,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file.")] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Write a thread as lines of JSON, to be taken up by another box.

    The last line says how many records there are.
    """
    with opened(store, config) as box:
        lines = [line + "\n" for line in box.export(id_, children=children)]
        going_on = still_open(box, id_, children)
    if going_on:
        say(f"{', '.join(going_on)}: {GOES_ON}", err=True)
    text = "".join(lines)
    if output is None:
        typer.echo((escaped(text) if sys.stdout.isatty() else text).encode(), nl=False)
        return
    try:
        written_new(output, text)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", Status.WRONG)
    say(f"{len(lines) - 1} records written to {output}")


def import_(
    file: Annotated[Path, typer.Argument(help="What `covend export` wrote; `-` for stdin.")],
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Also run the commands, and use the variables of this box, that open runs name.",
        ),
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Take up exported runs, whole or not at all. The box must not be running.

    What has not ended goes on here: read a file that somebody else wrote before you take it up.
    Where one of its responders is a command, or is sent a variable of this box, it is refused
    without --trust.
    """
    try:
        lines = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        fail(unreadable(file, error), Status.WRONG)
    with lines:
        if store is None:
            refuse_while_running(config, run_dir)
            prepare(config, run_dir)
        with opened(store, config, write=True) as box:
            new = box.import_(lines_of(lines, file), trust=trust)
    say(f"{new} records are new in {box.where}")


def replay(
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="Left out: every query.")] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild queries from their records, and compare all that follows from them byte for byte."""
    from concurrent.futures import BrokenExecutor

    from covend.cli.replaying import line, replayed_all, sums

    with opened(store, config) as box:
        names = [id_] if id_ else [row["id"] for row in box.threads()]
    try:
        with store_errors():
            replayed = replayed_all(store or where(config), names, jobs)
            found = list(with_progress(replayed, len(names)))
    except BrokenExecutor:
        fail(
            "a process that shared the work was ended, for want of memory perhaps: --jobs 1 "
            "takes the least",
            Status.FAILED,
        )
    if as_json:
        print_json(found)
    else:
        for told in found:
            say(line(told))
        say(sums(found))
    if any(told["differs"] for told in found):
        raise typer.Exit(int(Status.FAILED))


def salvage(
    damaged: Annotated[str, typer.Argument(help="The damaged store; it is only read.")],
    into: Annotated[str, typer.Argument(help="A new store.")],
) -> None:
    """Copy every record that is still whole out of a damaged store."""
    from covend.phylactery.errors import StoreError
    from covend.phylactery.salvage import salvage as copy_intact

    try:
        copied, problem = copy_intact(damaged, into)
    except StoreError as error:
        fail(str(error), Status.FAILED)
    say(f"{copied} records copied to {into}" + (f"; {problem}" if problem else ""))


@contextmanager
def opened(store: str | None, config: Path | None, write: bool = False) -> Generator[Store]:
    """The store that was named, or the box's; what goes wrong with it ends the command.

    One that was made to be written is gone again where what is done with it fails.
    """
    from covend.phylactery.store import is_dsn, open_store

    place = store or where(config)
    if not write and not is_dsn(place) and not Path(place).exists():
        fail(f"no records yet at {place}: a box that runs makes them", Status.FAILED)
    with store_errors():
        box = open_store(place, read_only=not write)
        try:
            yield box
        except BaseException:
            box.discard()
            raise
        box.close()


def written_new(path: Path, text: str) -> None:
    """Write a new file, whole or not at all; raises ``OSError``."""
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def lines_of(file: BinaryIO, name: Path) -> Iterator[str]:
    """The lines of an export as they are read; ends the command where they cannot be, or none is.

    Raises ``BadRecord``.
    """
    from covend.phylactery.portable import lines

    empty = True
    try:
        for line in lines(file):
            empty = empty and not line.strip()
            yield line
    except OSError as error:
        fail(unreadable(name, error), Status.WRONG)
    if empty:
        fail(f"{name} is empty: there is no record to take up", Status.FAILED)


def unreadable(file: Path, error: OSError) -> str:
    return f"{file} cannot be read: {error.strerror}"


def still_open(box: Store, id_: str, children: bool) -> list[str]:
    """Which of an exported thread, and of those it triggered, have not ended."""
    rows = map(box.thread, box.family(id_) if children else [id_])
    return [row["id"] for row in rows if row is not None and row["state"] == "open"]


@contextmanager
def store_errors() -> Generator[None]:
    """What goes wrong with a store ends the command."""
    from covend.phylactery.errors import Conflict, StoreError
    from covend.phylactery.records import BadRecord

    try:
        yield
    except (StoreError, Conflict, BadRecord) as error:
        fail(str(error), Status.FAILED)


def where(config: Path | None) -> str | Path:
    """Where the box of a file keeps its records."""
    from covend.config import expand_env
    from covend.config.placeholders import PlaceholderError

    box = load_box(config_path(config))
    if box.phylactery.dsn is None:
        return Path(box.state_dir, "phylactery.db")
    try:
        return expand_env(box.phylactery.dsn)
    except PlaceholderError as error:
        fail(f"phylactery.dsn: {error}", Status.WRONG)


def refuse_while_running(config: Path | None, run_dir: Path | None) -> None:
    """Only one may write a store, and a running box does."""
    from covend.cli.client import BoxNotRunning, read_identity

    try:
        identity = read_identity(run_dir or Path(load_box(config_path(config)).run_dir))
    except BoxNotRunning:
        return
    fail(f"the box is running (pid {identity.pid}): `covend stop` it first", Status.FAILED)


def prepare(config: Path | None, run_dir: Path | None) -> None:
    """Make the state folder of a box that has never run."""
    from covend.host.folders import FolderError, Folders

    box = load_box(config_path(config))
    try:
        Folders.open(run_dir or Path(box.run_dir), Path(box.state_dir))
    except (FolderError, OSError) as error:
        fail(str(error), Status.WRONG)


def with_progress(found: Iterator[T], of: int) -> Iterator[T]:
    """The same, with a bar on standard error where somebody may be waiting for many."""
    if of < MANY_TO_WAIT_FOR or not sys.stderr.isatty():
        yield from found
        return
    with typer.progressbar(found, of, file=sys.stderr) as shown:
        yield from shown
