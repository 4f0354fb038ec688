"""`covend query`: ask a durable question, follow it, look at one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from covend.cli.desk import asked, bounded, decoded, every_record, follow
from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    RunDirOption,
    Status,
    TimeoutOption,
    connected,
    console,
    fail,
    print_json,
)
from covend.patterns.names import PATTERNS

if TYPE_CHECKING:
    from covend.cli.client import BoxClient

app = typer.Typer(
    help='Durable questions: `covend query "…"` asks one, and a crash costs nothing.',
    no_args_is_help=True,
)


COMMANDS = ("ask", "show", "list", "cancel", "settle", "watch")


def asking(arguments: list[str]) -> list[str]:
    """The command line with its `ask` put in: after `query`, what is no command is a question.

    >>> asking(["query", "why?"])
    ['query', 'ask', 'why?']
    >>> asking(["query", "show", "q-1"])
    ['query', 'show', 'q-1']
    """
    if arguments[:1] != ["query"] or len(arguments) < 2 or arguments[1] in ("-h", "--help"):
        return arguments
    return arguments if arguments[1] in COMMANDS else ["query", "ask", *arguments[1:]]


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A query in JSON (`-`: standard input).")
    ] = None,
    pattern: Annotated[
        str,
        typer.Option(
            "--pattern",
            "-p",
            help=f"{', '.join(PATTERNS[:-1])} or {PATTERNS[-1]}.",
        ),
    ] = "single_shot",
    who: Annotated[
        list[str] | None,
        typer.Option(
            "--who",
            "-w",
            help="Whom to ask, in the pattern's order: a model's name, id:NAME for any other "
            "responder, did:… for a person.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option("--input", help="What the question is about.")] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", min=0, help="US dollars.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="A key of your own: the same one is asked once.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Ask a question; prints how it goes, then the answer."""
    from covend.patterns.draft import drafted
    from covend.questions import SubmitQuery

    if (file is None) == (question is None):
        fail("give a question, or a query in a file with -f", Status.WRONG)
    if key == "":
        fail("--key: at least one character is right", Status.WRONG)
    if file is not None:
        query = read_query(file)
    else:
        try:
            query = drafted(str(question), pattern, who or [], text, max_cost)
        except ValueError as error:
            fail(str(error), Status.WRONG)
    bounded(query, "the query")
    with connected(config, run_dir) as box:
        told = asked(box, SubmitQuery(query=query, key=key))
        if not wait:
            print_json(told) if as_json else typer.echo(told["id"])
            return
        follow(box, told["id"], timeout, quiet=as_json)
        finish(box, told["id"], as_json)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a query as a tree: who was asked, when, at what cost, and why each branch was taken."""
    from covend.questions import ShowQuery

    with connected(config, run_dir) as box:
        story = asked(box, ShowQuery(id=id_))
        records = every_record(box, id_)
    if as_json:
        print_json({**story, "records": records})
        return
    from covend.cli.query_view import tree

    console().print(tree(story, records))


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="open or ended.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List queries, newest first."""
    from covend.questions import ListQueries

    if state not in (None, "open", "ended"):
        fail(f"no state {state!r}; one of open, ended", Status.WRONG)
    queries: list[dict[str, Any]] = []
    after: int | None = 0
    with connected(config, run_dir) as box:
        while after is not None and len(queries) < limit:  # a page may be shorter than asked for
            order = ListQueries(state=state, limit=limit - len(queries), after=after)
            page = asked(box, order)
            queries += page["queries"]
            after = page["next"]
    answer = {"queries": queries, "next": after}
    if as_json:
        print_json(answer)
        return
    from covend.cli.query_view import table

    console().print(table(queries))


@app.command()
def cancel(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a query: what it asked of people is withdrawn. It may have ended before."""
    from covend.questions import CancelQuery

    with connected(config, run_dir) as box:
        answer = asked(box, CancelQuery(id=id_, reason=reason))
    print_json(answer) if as_json else typer.echo(f"{id_}: {answer['know']['status']}")


@app.command()
def settle(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    call: Annotated[str, typer.Argument(help="The call, as `show` names it: SLOT#ATTEMPT.")],
    again: Annotated[
        bool,
        typer.Option("--again/--failed", help="Send it once more, or count it as failed."),
    ],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a call goes out again, after a crash, of a query that asks (on_indeterminate)."""
    from covend.questions import SettleCall

    how = "again" if again else "failed"
    with connected(config, run_dir) as box:
        answer = asked(box, SettleCall(id=id_, call=call, how=how))
    print_json(answer) if as_json else typer.echo(f"{id_} {call}: {answer['how']}")


@app.command()
def watch(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Follow a query that was asked before, to its end."""
    with connected(config, run_dir) as box:
        follow(box, id_, timeout, quiet=as_json)
        finish(box, id_, as_json)


def read_query(path: Path) -> dict[str, Any]:
    """The query in a file of JSON; ends the command saying what is wrong with it."""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", Status.WRONG)
    query = decoded(data, str(path))
    if not isinstance(query, dict):
        fail(f"{path}: a query is a JSON object", Status.WRONG)
    return cast("dict[str, Any]", query)


def finish(box: BoxClient, id_: str, as_json: bool) -> None:
    """Print how a query ended; exit status 1 unless it has an answer."""
    from covend.questions import ShowQuery

    story = asked(box, ShowQuery(id=id_))
    if as_json:
        print_json(story)
    else:
        from covend.cli.query_view import ending

        console().print(ending(story))
    if story["know"]["status"] not in ("fulfilled", "degraded"):
        raise typer.Exit(int(Status.FAILED))
