"""The two kinds of children, and how one is started, watched and stopped.

An actor is seen to end through a monitor, a process through its pidfd; both reach the supervisor
as a message that names child and incarnation, so a late one can be told from a present one (S8).
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from covend.runtime.actor import Actor, Context
from covend.runtime.address import ActorRef
from covend.runtime.exits import KILLED, NORMAL, SHUTDOWN, Exit, Failed
from covend.runtime.messages import MonitorId
from covend.runtime.process import Child as ChildProcess
from covend.runtime.process import Command, spawner
from covend.runtime.process_tree import TreeStop, end_tree
from covend.supervisors.messages import ChildInfo, ProcessExited
from covend.supervisors.specs import ChildSpec, ProcessSpec

UNHURRIED = 86_400.0
"""Seconds allowed for ``infinity``: a supervisor's own children bound the time it really takes."""

_ASK_READY_EVERY = 0.02
_NOTHING: tuple[Any, Any] = ((), {})


class ProcessEnded(Exception):
    """A child process ended with this status (negative: by that signal)."""

    def __init__(self, status: int | None) -> None:
        if status is None:
            text = "the process ended, its status is unknown"
        elif status < 0:
            text = f"the process was ended by {signal.Signals(-status).name}"
        else:
            text = f"the process ended with exit status {status}"
        super().__init__(text)
        self.status = status


class NotReady(Exception):
    """A child process was started and did not become ready."""


class Host(Protocol):
    """What runs one incarnation of a child. The supervisor's thread only."""

    ref: ActorRef | None
    pid: int | None

    def ask_to_stop(self) -> None:
        """Ask it to stop; its end is not reported as a death any more."""
        ...

    def wait_stopped(self, seconds: float) -> bool:
        """Wait until it is gone; False for one that could not be got rid of (S15)."""
        ...

    def clear(self) -> None:
        """After it ended by itself: make sure that nothing of it is left."""
        ...

    def waiting(self) -> int | None:
        """How many messages wait for it; None for a process."""
        ...


@dataclass(slots=True)
class Child:
    """One child of a supervisor: its spec and what became of it so far.

    ``member`` is its id and its name where many children share one spec.
    """

    spec: ChildSpec
    member: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    state: str = "stopped"
    incarnation: int = 0
    restarts: int = 0
    backed_off: int = 0
    started_at: float = 0.0
    cause: Exit = NORMAL
    host: Host | None = None

    @property
    def id(self) -> str:
        """Its id, unique within its supervisor."""
        return self.member or self.spec.id

    @property
    def name(self) -> str:
        """What it is registered under."""
        return self.member or self.spec.name

    def info(self) -> ChildInfo:
        """What is told about it."""
        host = self.host
        return ChildInfo(
            id=self.id,
            name=self.name,
            kind=self.spec.kind or "worker",
            state=self.state,
            incarnation=self.incarnation,
            restarts=self.restarts,
            ref=host.ref if host else None,
            pid=host.pid if host else None,
            mailbox=host.waiting() if host else None,
        )

    def start(self, ctx: Context) -> None:
        """Start its next incarnation; returns once that is acknowledged (S4), else raises."""
        self.incarnation += 1
        spec = self.spec
        if isinstance(spec.start, ProcessSpec):
            brutal = spec.shutdown == "brutal_kill"
            self.host = ProcessHost(ctx.me, self.id, self.incarnation, spec.start, brutal)
        else:
            self.host = ActorHost(ctx, spec, self.name, self.args, self.kwargs)
        self.started_at = ctx.now()
        self.state = "running"

    def patience(self) -> float:
        """Seconds it may take to stop."""
        match self.spec.shutdown:
            case "infinity":
                return UNHURRIED
            case "brutal_kill" | None:
                return 0.0
            case seconds:
                return seconds

    def died(self, reason: Exit) -> None:
        """Note that it ended by itself."""
        if self.host is not None:
            self.host.clear()
        self.down()
        self.cause = reason

    def down(self) -> None:
        """Note that it does not run and will not by itself."""
        self.host = None
        self.state = "stopped"


class ActorHost:
    """An actor as a child: started by the system, watched by a monitor."""

    def __init__(
        self,
        ctx: Context,
        spec: ChildSpec,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        started: ActorRef
        if callable(spec.start):
            started = cast("Any", spec.start)(ctx.system, name, *args, **kwargs)
        else:
            actor, own_args, own_kwargs = _parts(cast("tuple[Any, ...]", spec.start))
            started = ctx.system.spawn(
                actor, *own_args, *args, name=name, **{**own_kwargs, **kwargs}
            )
        self._ctx = ctx
        self.ref: ActorRef | None = started
        self.pid: int | None = None
        self.actor: ActorRef = started
        self.monitor: MonitorId = ctx.monitor(started)

    def ask_to_stop(self) -> None:
        self._ctx.demonitor(self.monitor, flush=True)
        self.actor.stop(SHUTDOWN)

    def wait_stopped(self, seconds: float) -> bool:
        """Awaits the actor's end as a monitor would see it; fences one that ignores us (S15)."""
        gone = self._ctx.system.join(self.actor, seconds)
        if not gone:
            self._ctx.system.fence(self.actor)
        return gone

    def clear(self) -> None:
        """Nothing: what an actor leaves behind is its own children, who are not ours."""

    def waiting(self) -> int | None:
        return len(self.actor.cell.mailbox)


class ProcessHost:
    """A process as a child: started by the spawner, watched through its pidfd (S16)."""

    def __init__(
        self, supervisor: ActorRef, child: str, incarnation: int, spec: ProcessSpec, brutal: bool
    ) -> None:
        command = Command(
            spec.argv,
            env=spec.env,
            cwd=spec.cwd,
            log_path=spec.log_path,
            follows_parent=spec.follows_parent,
            notifies=spec.ready == "said",
        )
        self._brutal = brutal
        self._stop: TreeStop | None = None
        self.ref: ActorRef | None = None
        self.process = spawner().spawn(command)
        self.pid: int | None = self.process.pid
        if not _becomes_ready(self.process, spec):
            status = self.process.status
            end_tree(self.process.id, 0)
            if status is not None:
                raise ProcessEnded(status)
            raise NotReady(f"{spec.argv[0]} was not ready within {spec.ready_seconds:g} s")

        def exited(status: int | None) -> None:
            if self._stop is None:
                supervisor.tell(ProcessExited(child, incarnation, status))

        self.process.on_exit(exited)

    def ask_to_stop(self) -> None:
        self._stop = TreeStop(self.process.id)
        if not self._brutal:
            self._stop.ask()

    def wait_stopped(self, seconds: float) -> bool:
        """Ends the whole tree of the process, by force once its seconds are over."""
        stop = self._stop or TreeStop(self.process.id)
        ended = stop.finish(0 if self._brutal else seconds)
        return not ended.survivors and self.process.wait(5.0)

    def clear(self) -> None:
        """Kills the helpers it left in its session: they may hold what its successor needs."""
        TreeStop(self.process.id).finish(0)

    def waiting(self) -> int | None:
        return None


def _parts(start: tuple[Any, ...]) -> tuple[type[Actor], tuple[Any, ...], dict[str, Any]]:
    actor, args, kwargs = start + _NOTHING[len(start) - 1 :]
    return actor, tuple(args), dict(kwargs)


def _becomes_ready(process: ChildProcess, spec: ProcessSpec) -> bool:
    deadline = time.monotonic() + spec.ready_seconds
    match spec.ready:
        case "spawned":
            return True
        case "said":
            ready = process.wait_ready(spec.ready_seconds)
            if not ready:
                # The end of its pipe is the first thing heard of its end: the status follows.
                process.wait(min(1.0, max(0.0, deadline - time.monotonic())))
            return ready
        case is_ready:
            while not is_ready(process):
                if process.wait(_ASK_READY_EVERY) or time.monotonic() >= deadline:
                    return False
            return True


def reason_of(status: int | None) -> Exit:
    """The reason for an exit that a process's status amounts to."""
    match status:
        case 0:
            return NORMAL
        case -9:
            return KILLED
        case _:
            return Failed(ProcessEnded(status))
