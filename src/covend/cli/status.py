"""`covend status`, `ps`, `swap` and `why`: questions to the running box."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from covend.cli.shared import (
    ConfigOption,
    JsonOption,
    RunDirOption,
    Status,
    TimeoutOption,
    ask_core,
    connected,
    fail,
    show,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (status, ps, swap, why):
        app.command()(command)


def status(
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Show devices, covens, what waits, the transition and the jobs."""
    from covend.cli.render import status_view
    from covend.protocol import StatusQuery

    show(ask_core(config, run_dir, StatusQuery(), timeout), as_json, status_view)


def ps(
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Show every process's supervision tree with pids, restarts and mailboxes."""
    from rich.console import Group

    from covend.cli.render import ps_view
    from covend.protocol import PsQuery

    with connected(config, run_dir) as box:
        answers = box.ask_all({f"ps@{node}": PsQuery() for node in box.nodes()}, timeout)
    found: list[dict[str, Any]] = []
    for address, answer in answers.items():
        node = address.partition("@")[2]
        lost = isinstance(answer, Exception)
        found.append({"node": node, "error": str(answer)} if lost else answer)
    show(found, as_json, lambda nodes: Group(*map(ps_view, nodes)))
    if all("error" in node for node in found):
        fail("no process of the box answered", Status.NO_ANSWER)


def swap(
    coven: Annotated[str, typer.Argument(help="The coven to make resident.")],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Make a coven resident, and wait until it is open or has failed."""
    from covend.cli.render import swap_line
    from covend.protocol import SwapRequest

    # The arbiter gives up at the timeout itself, and its reason is the better one.
    request = SwapRequest(coven=coven, timeout=timeout)
    answer = ask_core(config, run_dir, request, timeout + 2.0)
    show(answer, as_json, lambda found: swap_line(coven, found))


def why(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="A decision, transition or request; or `last`.")
    ],
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
    timeout: TimeoutOption = 15.0,
    as_json: JsonOption = False,
) -> None:
    """Explain a decision, a transition or a request (W18)."""
    from covend.cli.render import why_view
    from covend.protocol import WhyQuery

    show(ask_core(config, run_dir, WhyQuery(id=id_), timeout), as_json, why_view)
