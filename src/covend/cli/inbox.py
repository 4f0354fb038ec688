"""`covend inbox`: what people are asked, and what they say to it (P18)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from covend.cli.desk import asked, bounded, decoded
from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    RunDirOption,
    Status,
    connected,
    console,
    fail,
    print_json,
    say,
)
from covend.patterns.query.names import DECLINE_REASONS

if TYPE_CHECKING:
    from covend.cli.client import BoxClient

ENV_DID = "COVEND_DID"
SHOWN = 200


class HandingDown(TyperGroup):
    """Hands the options before a command to that command; behind it they count more."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command, and what is said to it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [*given(ctx), *rest]


def given(context: Any) -> list[str]:
    """The options of a command that were given on the command line itself."""
    found: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(option.name)
        if source is not None and source.name == "COMMANDLINE":
            value, flag = context.params[option.name], max(option.opts, key=len)
            found.append(flag if value is True else f"{flag}={value}")
    return found


app = typer.Typer(
    cls=HandingDown, help="What people are asked, and their answers.", invoke_without_command=True
)

DidOption = Annotated[
    str | None,
    typer.Option("--did", envvar=ENV_DID, help="Who you are, as the box knows you (did:…)."),
]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK")]


@app.callback()
def inbox(
    context: typer.Context,
    did: DidOption = None,
    every: Annotated[bool, typer.Option("--all", help="Ended ones as well.")] = False,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what waits for you; without --did, what waits for anybody."""
    if context.invoked_subcommand is not None:
        return
    from covend.questions import WAITING

    states = (None,) if every else WAITING
    with connected(config, run_dir) as box:
        found = [oldest(box, did, state) for state in states]
    tasks = [task for some, _ in found for task in some]
    if any(more for _, more in found):
        say(f"there are more: these are the oldest {SHOWN}", err=True)
    if as_json:
        print_json(tasks)
        return
    from rich.text import Text

    from covend.cli.inbox_view import listing

    nothing = "nothing waits" if did is None else f"nothing waits for {did}"
    console().print(listing(tasks) if tasks else Text(nothing))


def oldest(box: BoxClient, did: str | None, state: str | None) -> tuple[list[dict[str, Any]], bool]:
    """The oldest tasks in this state, and whether there are more."""
    from covend.questions import ListTasks

    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None and len(found) < SHOWN:  # a page may be shorter than asked for
        order = ListTasks(did=did, state=state, limit=SHOWN - len(found), after=after)
        page = asked(box, order)
        found += page["tasks"]
        after = page["next"]
    return found, after is not None


@app.command()
def show(
    task: TaskArgument,
    did: DidOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read one task: the question, what it is about, what the answer must look like."""
    from covend.questions import ShowTask

    with connected(config, run_dir) as box:
        answer = asked(box, ShowTask(id=task, did=did))
    if as_json:
        print_json(answer)
        return
    from covend.cli.inbox_view import page

    console().print(page(answer))


@app.command()
def accept(
    task: TaskArgument,
    eta: Annotated[
        str | None, typer.Option(help="When it will be done: 30m, 2h; moves the deadline.")
    ] = None,
    did: DidOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you will answer."""
    from covend.config.units import parse_seconds

    try:
        seconds = None if eta is None else parse_seconds(eta)
    except ValueError as error:
        fail(f"--eta: {error}", Status.WRONG)
    wished = None if seconds is None else (time.time() + seconds) * 1e6
    told = act("accept", task, did, config, run_dir, as_json, eta_secs=seconds)
    if not as_json:
        from covend.cli.inbox_view import promised

        say(f"{task}: {promised(told, wished)}")


@app.command()
def decline(
    task: TaskArgument,
    reason: Annotated[str, typer.Option(help=", ".join(DECLINE_REASONS))] = "other",
    note: Annotated[str | None, typer.Option(help="Why, in a sentence, for people.")] = None,
    did: DidOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you will not answer; that is final."""
    if reason not in DECLINE_REASONS:
        fail(f"no reason {reason!r}; one of {', '.join(DECLINE_REASONS)}", Status.WRONG)
    told = act("decline", task, did, config, run_dir, as_json, reason=reason, rationale=note)
    say_state(told, as_json)


@app.command()
def submit(
    task: TaskArgument,
    answer: Annotated[str, typer.Argument(help="Text; with --as-value JSON.")],
    as_value: Annotated[bool, typer.Option("--as-value", help="The answer is JSON.")] = False,
    confidence: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    rationale: Annotated[str | None, typer.Option(help="Why, in a sentence.")] = None,
    did: DidOption = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer; it is checked against the shape that was asked for."""
    value: Any = answer
    if as_value:
        value = decoded(answer.encode(errors="surrogateescape"), "the answer")
    told = act(
        "submit", task, did, config, run_dir, as_json,
        value=value, confidence=confidence, rationale=rationale,
    )  # fmt: skip
    say_state(told, as_json)


def act(
    word: Literal["accept", "decline", "submit"],
    task: str,
    did: str | None,
    config: Any,
    run_dir: Any,
    as_json: bool,
    **said: Any,
) -> dict[str, Any]:
    """Say one word on a task: what became of it, which is printed if it is for programs."""
    from covend.questions import ActOnTask

    if did is None:
        fail(f"say who you are: --did, or {ENV_DID} in the environment", Status.WRONG)
    bounded(said, "the answer")
    with connected(config, run_dir) as box:
        told = asked(box, ActOnTask(id=task, act=word, did=did, **said))
    if as_json:
        print_json(told)
    return told


def say_state(task: dict[str, Any], as_json: bool) -> None:
    if not as_json:
        say(f"{task['id']}: {task['state']}")
