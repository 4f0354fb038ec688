"""`covend mcp`: an MCP server for the running box, on standard input and output or over HTTP."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covend.cli.shared import ConfigOption, RunDirOption, Status, connected, fail

if TYPE_CHECKING:
    from covend.cli.client import BoxClient


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(mcp)


def mcp(
    http: Annotated[
        str | None,
        typer.Option("--http", metavar="HOST:PORT", help="Serve streamable HTTP at /mcp instead."),
    ] = None,
    config: ConfigOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Serve the box's queries, inbox and status as tools for agents (Model Context Protocol)."""
    try:
        from covend.mcp.server import server
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("mcp"):
            raise
        fail("the MCP server needs an extra: pip install 'covend[mcp]'", Status.WRONG)
    import covend

    host, _, port = (http or "").rpartition(":")
    if http is not None and not (host and port.isdecimal()):
        fail(f"--http {http!r}: HOST:PORT is needed, such as 127.0.0.1:7879", Status.WRONG)
    with connected(config, run_dir) as box:
        made = server(Asker(box).ask, covend.__version__)
        if http is None:
            made.run("stdio")
        else:
            made.run("streamable-http", host=host, port=int(port))


class Asker:
    """Asks the box from an event loop; one question at a time, in a worker thread."""

    def __init__(self, box: BoxClient) -> None:
        self._box = box
        self._lock = threading.Lock()

    async def ask(self, address: str, message: object, seconds: float) -> Any:
        """The answer; raises TimeoutError when the box is silent, ValueError for its refusal."""
        return await asyncio.to_thread(self._ask, address, message, seconds)

    def _ask(self, address: str, message: object, seconds: float) -> Any:
        from covend.cli.client import BoxRefused, BoxSilent

        with self._lock:
            try:
                return self._box.ask(address, message, seconds)
            except BoxSilent as error:
                raise TimeoutError(str(error)) from None
            except BoxRefused as error:
                raise ValueError(str(error)) from None
