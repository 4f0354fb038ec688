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
        typer.Option(
            "--http",
            metavar="HOST:PORT",
            help="Serve streamable HTTP at /mcp instead, to this machine alone: no key is asked.",
        ),
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
        hint = "pip install '.[mcp]' in covend's source folder"
        fail(f"the MCP server needs an extra: {hint}", Status.WRONG)
    import covend

    host, port = ("", 0) if http is None else place(http)
    with connected(config, run_dir) as box:
        asker = Asker(box)
        made = server(asker.ask, covend.__version__)
        try:
            if http is None:
                made.run("stdio")
            else:
                made.run("streamable-http", host=host, port=port)
        except SystemExit as error:  # so uvicorn ends where it cannot listen, and has said why
            if error.code:
                fail(f"--http {http}: it cannot be served there", Status.FAILED)
        finally:
            asker.close()


def place(http: str) -> tuple[str, int]:
    """Where to serve; ends the command where that is no place, or open to others (G7).

    Who reaches it needs no key and speaks for every did, so nobody from elsewhere may.
    """
    from covend.client.requests import is_loopback

    name, _, port = http.rpartition(":")
    host = name.removeprefix("[").removesuffix("]")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        fail(f"--http {http!r}: HOST:PORT is needed, such as 127.0.0.1:7879", Status.WRONG)
    if not is_loopback(host):
        fail(
            f"--http {http!r}: others reach {host}, and this asks nobody for a key: "
            f"127.0.0.1:{port} is right; from elsewhere come to it through SSH (ssh -L), or let "
            "programs use the HTTP API with keys",
            Status.WRONG,
        )
    return host, int(port)


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
