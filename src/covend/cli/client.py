"""The command line's end of the wire: asks one running box and leaves."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from covend.resolving import resolved
from covend.runtime import ActorDead, ActorError, AskTimeout, RemoteError, ReplyError
from covend.runtime.ipc import WireError
from covend.runtime.pidfd import ProcessId
from covend.runtime.wire import Node
from covend.runtime.wire_client import Client


class BoxNotRunning(Exception):
    """No box runs in that folder; says how it was found and what would start one."""


class BoxSilent(Exception):
    """The box runs and did not answer in time."""


class BoxRefused(Exception):
    """The box answered with an error."""


class Identity(msgspec.Struct, frozen=True):
    """What `root.json` says of the running box: its root process and its box file."""

    pid: int
    create_time: float
    config: str = ""

    @property
    def process(self) -> ProcessId:
        """The root process, safe against a reused pid."""
        return ProcessId(self.pid, self.create_time)


def read_identity(run_dir: Path) -> Identity:
    """Who runs the box of `run_dir`; raises BoxNotRunning if nobody does."""
    if not run_dir.is_dir():
        raise BoxNotRunning(f"no box is running: there is no folder {run_dir} (covend serve)")
    path = run_dir / "root.json"
    try:
        identity = msgspec.json.decode(path.read_bytes(), type=resolved(Identity))
    except FileNotFoundError:
        raise BoxNotRunning(f"no box is running in {run_dir} (covend serve)") from None
    except (OSError, msgspec.DecodeError) as error:
        raise BoxNotRunning(f"{path} does not say who runs the box: {error}") from None
    if not identity.process.alive():
        raise BoxNotRunning(
            f"the box in {run_dir} is gone: its root process {identity.pid} ended without "
            "cleaning up (covend serve takes its place over)"
        )
    return identity


class BoxClient:
    """A running box, by its run folder. Any thread may ask.

    Raises BoxNotRunning when made, BoxSilent and BoxRefused from `ask`.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self.identity = read_identity(self.run_dir)
        try:
            self.wire: Client = Node.client(self.run_dir)
        except (WireError, OSError) as error:
            raise BoxNotRunning(f"the box in {self.run_dir} cannot be reached: {error}") from error

    def ask(self, address: str, message: object, timeout: float = 10.0) -> Any:
        """The answer of the actor at `NAME@NODE`, within `timeout` seconds."""
        try:
            return self.wire.ask(address, message, timeout)
        except AskTimeout:
            raise BoxSilent(f"{address} did not answer within {timeout:g} s") from None
        except ActorDead as error:
            if not self.identity.process.alive():
                raise BoxNotRunning(f"the box in {self.run_dir} has just ended") from error
            why = f"is it restarting? see {self.run_dir / 'logs'}"
            raise BoxSilent(f"{address} cannot be reached: {error} ({why})") from error
        except ReplyError as error:
            raise BoxRefused(str(error)) from error
        except (RemoteError, ActorError) as error:
            raise BoxRefused(f"{address}: {error}") from error

    def ask_all(self, queries: dict[str, object], timeout: float) -> dict[str, Any]:
        """Ask several actors at the same time; what went wrong stands in for its answer."""
        waiting = {
            address: self.wire.ask_later(address, message, timeout)
            for address, message in queries.items()
        }
        answers: dict[str, Any] = {}
        for address, answer in waiting.items():
            try:
                answers[address] = answer.get()
            except (ActorError, ReplyError, RemoteError) as error:
                answers[address] = error
        return answers

    def nodes(self) -> list[str]:
        """The processes of the box that have a socket, the root first."""
        from covend.runtime.export import nodes

        return sorted(nodes(self.run_dir), key=lambda name: (name != "root", name != "core", name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wire.close()
