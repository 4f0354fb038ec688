"""`covend mcp`: an MCP server for the running box, on standard input and output or over HTTP."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covend.cli.shared import ConfigOption, RunDirOption, Status, connected, fail

if TYPE_CHECKING:
    from covend.cli.client import BoxClient

AT_ONCE = 128
"""So many questions may be under way; each agent that waits for a query is one of them."""


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
        asker = Asker(box)
        made = server(asker.ask, covend.__version__)
        try:
            if http is None:
                made.run("stdio")
            else:
                made.run("streamable-http", host=host, port=int(port))
        finally:
            asker.close()


class Asker:
    """Asks the box from an event loop, each question in a thread: whoever waits holds up nobody."""

    def __init__(self, box: BoxClient) -> None:
        self._box = box
        self._threads = ThreadPoolExecutor(AT_ONCE, "ask")

    async def ask(self, address: str, message: object, seconds: float) -> Any:
        """The answer; raises OSError where the box is away, ValueError for its refusal."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, address, message, seconds)

    def _ask(self, address: str, message: object, seconds: float) -> Any:
        from covend.cli.client import BoxNotRunning, BoxRefused, BoxSilent

        try:
            return self._box.ask(address, message, seconds)
        except BoxSilent as error:
            raise TimeoutError(str(error)) from None
        except BoxNotRunning as error:
            raise ConnectionError(str(error)) from None
        except BoxRefused as error:
            raise ValueError(str(error)) from None

    def close(self) -> None:
        """Ask nothing more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
