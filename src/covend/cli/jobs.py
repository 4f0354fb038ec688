"""`covend jobs`: background work that ghouls do through the gate, one call per step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from covend.cli import shared as cli
from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    RunDirOption,
    Status,
    TimeoutOption,
    ask_core,
    fail,
)

app = typer.Typer(help="Background jobs: lists of model calls.", no_args_is_help=True)


@app.command()
def submit(
    capability: Annotated[str, typer.Argument(help="The model name or role the steps ask for.")],
    prompts: Annotated[
        list[str] | None, typer.Argument(help="One chat call each.", show_default=False)
    ] = None,
    steps_file: Annotated[
        Path | None,
        typer.Option("--file", help='JSON lines, each {"path": "/v1/…", "body": {…}}.'),
    ] = None,
    klass: Annotated[str, typer.Option("--class", help="ritual, ingest or swarm.")] = "ritual",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1)] = 256,
    id_: Annotated[
        str | None, typer.Option("--id", help="An id of your own: the same one is queued once.")
    ] = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Queue a job; prints its id once it is durable."""
    from covend.protocol import CLASSES, Step, SubmitJob

    if klass not in CLASSES:
        fail(f"no class {klass!r}; one of {', '.join(CLASSES)}", Status.WRONG)
    steps = _read_steps(steps_file) if steps_file else []
    for prompt in prompts or []:
        message = {"role": "user", "content": prompt}
        body = {"model": capability, "messages": [message], "max_tokens": max_tokens}
        steps.append(Step(path="/v1/chat/completions", body=body))
    if not steps:
        fail("a job needs at least one prompt, or --file", Status.WRONG)
    job = SubmitJob(capability=capability, steps=steps, klass=klass, id=id_)
    answer = {"id": ask_core(config, run_dir, job, timeout)}
    cli.show(answer, as_json, lambda queued: queued["id"])


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Show a job's state, how far it is, and its results."""
    from covend.cli.render import why_view
    from covend.protocol import JobQuery

    cli.show(
        ask_core(config, run_dir, JobQuery(id=id_), timeout),
        as_json,
        lambda job: why_view({"id": f"job {id_}", "records": [{"data": job}]}),
    )


def _read_steps(path: Path) -> list[Any]:
    """The steps of a file of JSON lines; ends the command naming the first wrong line."""
    import msgspec

    from covend.protocol import Step
    from covend.resolving import resolved

    steps: list[Step] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", Status.WRONG)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            step = msgspec.json.decode(line, type=resolved(Step))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            fail(f'{path}:{number}: {error}; a step is {{"path": …, "body": …}}', Status.WRONG)
        if not step.path.startswith("/"):
            fail(f"{path}:{number}: path must begin with /, not {step.path!r}", Status.WRONG)
        steps.append(step)
    return steps
