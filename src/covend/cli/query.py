"""`covend query`: ask a durable question, follow it, look at one."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from covend.cli.desk import (
    asked,
    bounded,
    decoded,
    every_record,
    follow,
    insisted,
    known,
    submitted,
)
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
    say,
)
from covend.patterns.query.names import PATTERNS

if TYPE_CHECKING:
    from covend.cli.client import BoxClient

HELP = ("-h", "--help")


class Questions(TyperGroup):
    """Its commands, and a question for every other first word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The command line, with the command that it means put first."""
        options = [option for command in self.commands.values() for option in command.params]
        valued = {
            name
            for option in options
            if option.param_type_name == "option" and not getattr(option, "is_flag", False)
            for name in option.opts
        }
        try:
            return super().parse_args(ctx, asking(args, self.commands, valued))
        except ValueError as error:
            fail(str(error), Status.WRONG)


def asking(arguments: list[str], commands: Collection[str], valued: Collection[str]) -> list[str]:
    """What `query` is told, the command first: `ask`, where the first word is no command.

    Options may stand before the command; ``valued`` are those that take the word behind them.
    Raises ``ValueError`` for a word that looks like a command mistyped: a question costs money.

    >>> asking(["-w", "chat", "why not?"], ["ask", "list"], ["-w"])
    ['ask', '-w', 'chat', 'why not?']
    >>> asking(["--json", "list"], ["ask", "list"], ["-w"])
    ['list', '--json']
    """
    if not arguments or arguments[0] in HELP:
        return arguments
    at = 0
    while at < len(arguments) and arguments[at].startswith("-") and arguments[at] != "--":
        at += 2 if arguments[at] in valued else 1
    word = arguments[at] if at < len(arguments) else "--"
    if word in commands:
        return [word, *arguments[:at], *arguments[at + 1 :]]
    meant = (
        get_close_matches(word.lower(), [*commands, "help"], 1) if word.split() == [word] else []
    )
    if meant:
        right = "covend query --help" if meant == ["help"] else f"covend query {meant[0]}"
        raise ValueError(
            f"no command {word!r}: `{right}`? As a question it is `covend query ask {word}`"
        )
    return ["ask", *arguments]


app = typer.Typer(
    cls=Questions,
    help='Durable questions: a crash costs nothing. `covend query "…"` asks one, and is short for '
    '`covend query ask "…"`, which has the options: -p PATTERN, -w WHOM, -f FILE and more, see '
    "`covend query ask --help`.",
    no_args_is_help=True,
)


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A query in JSON (`-`: standard input).")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            "-p",
            help=f"{', '.join(PATTERNS[:-1])} or {PATTERNS[-1]}; left out: {PATTERNS[0]}.",
        ),
    ] = None,
    who: Annotated[
        list[str] | None,
        typer.Option(
            "--who",
            "-w",
            help="Whom to ask, in the pattern's order: a model or another of `covend responders`, "
            "did:… for a person. Left out: any model that costs nothing.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option("--input", help="What the question is about.")] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", min=0, help="US dollars.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="A key of your own: the same one is asked once.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow it to its end; else print its id.")] = True,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Ask a question; prints the answer, and on standard error how it goes and how it ended."""
    from covend.patterns.query.draft import drafted
    from covend.questions import submission

    if (file is None) == (question is None):
        fail("give a question, or a query in a file with -f", Status.WRONG)
    if file is not None:
        said_in_the_file({"-p": pattern, "-w": who, "--input": text, "--max-cost": max_cost})
    if key == "":
        fail("--key: at least one character is right", Status.WRONG)
    given = None if file is None else read_query(file)
    with connected(config, run_dir) as box:
        try:
            query = given
            if query is None:
                there = known(box) if who else ()
                how = PATTERNS[0] if pattern is None else pattern
                query = drafted(str(question), how, who or [], text, max_cost, there)
        except ValueError as error:
            fail(str(error), Status.WRONG)
        bounded(query, "the query")
        told = submitted(box, submission(query, key))
        if not wait:
            print_json(told) if as_json else say(told["id"])
            return
        say(told["id"], err=True)
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
    end: dict[str, Any] = answer.get("know") or {}
    said = end.get("status") or answer.get("state")
    print_json(answer) if as_json else say(f"{id_}: {said}")


@app.command()
def settle(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    call: Annotated[str, typer.Argument(help="The call, as `show` names it: SLOT#ATTEMPT.")],
    again: Annotated[
        bool | None,
        typer.Option(
            "--again/--failed",
            help="Send it once more, or count it as failed; one of them is needed.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a call goes out again, after a crash, of a query that asks (on_indeterminate)."""
    from covend.questions import EndOf, SettleCall

    if again is None:
        fail("say what becomes of it: --again sends it once more, --failed does not", Status.WRONG)
    how = "again" if again else "failed"
    with connected(config, run_dir) as box:
        asked(box, EndOf(id=id_))  # says that there is no such query, where there is none
        answer = asked(box, SettleCall(id=id_, call=call, how=how))
    print_json(answer) if as_json else say(f"{id_} {call}: {answer['how']}")


@app.command()
def watch(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Follow a query that was asked before, to its end; prints as `ask` does."""
    with connected(config, run_dir) as box:
        follow(box, id_, timeout, quiet=as_json)
        finish(box, id_, as_json)


def said_in_the_file(options: Mapping[str, object]) -> None:
    """Ends the command where any of these was given: beside a file they would count for nothing."""
    given = [name for name, value in options.items() if value is not None and value != []]
    if given:
        fail(f"{', '.join(given)} beside -f: say it in the file", Status.WRONG)


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

    story = insisted(box, ShowQuery(id=id_))
    know: dict[str, Any] = story.get("know") or {}
    if as_json:
        print_json(story)
    else:
        say_end(story, know)
    if know.get("status") not in ("fulfilled", "degraded"):
        raise typer.Exit(int(Status.FAILED))


def say_end(story: dict[str, Any], know: dict[str, Any]) -> None:
    """Print the answer alone on standard output, and what is to be said of it beside it."""
    from rich.text import Text

    from covend.cli.query_view import damages, missing, shown, unended, verdict

    beside = console(stderr=True)
    for text in damages(story):
        beside.print(Text(text, "red"))
    beside.print(verdict(story) if know else Text(unended(story), "yellow"))
    if know.get("answer") is not None:
        answer = shown(know["answer"])
        if sys.stdout.isatty():
            console().print(Text(answer))
        else:
            say(answer)  # as it is: no line is broken for whoever reads on
    if know.get("left_out"):
        beside.print(Text(missing(know["left_out"]), "yellow"))
