"""What a supervisor is told about its children, checked when it is said (S1, S2).

A wrong combination is refused when the spec is built, never when the child dies at night. Times
are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from covend.runtime.process import Child
from covend.supervisors.backoff import Backoff

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]
Kind = Literal["worker", "supervisor", "process"]
Shutdown = float | Literal["brutal_kill", "infinity"]
Start = tuple[Any, ...] | Callable[..., Any]

_DEFAULT_SHUTDOWN: dict[Kind, Shutdown] = {
    "worker": 1.0,
    "supervisor": "infinity",
    "process": 1.0,
}


class SpecError(ValueError):
    """A spec that cannot hold: what is wrong, where, and what would be right."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """An operating system process as a child: what to run, and when it counts as started.

    ``ready`` is ``"spawned"`` (at once), ``"said"`` (it called ``say_ready``), or a function of
    the child that is asked again and again; both within ``ready_seconds``. A child that
    ``follows_parent`` is passed the pipe through which it learns that this process is gone.
    """

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: str | Path | None = None
    log_path: str | Path | None = None
    follows_parent: bool = True
    ready: Literal["spawned", "said"] | Callable[[Child], bool] = "spawned"
    ready_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not self.argv or isinstance(self.argv, str):
            raise SpecError(f"ProcessSpec.argv is {self.argv!r}: give a list, the program first")
        if not (callable(self.ready) or self.ready in ("spawned", "said")):
            raise SpecError(
                f"ProcessSpec.ready is {self.ready!r}: give 'spawned', 'said' or a function"
            )
        if not _is_time(self.ready_seconds):
            raise SpecError(
                f"ProcessSpec.ready_seconds is {self.ready_seconds!r}: give seconds > 0"
            )


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child: how to start it, whether to restart it, how long it may take to stop (S1).

    ``start`` is ``(ActorClass, args, kwargs)`` (the last two may be left out), a function of
    ``(system, name)`` that returns the started actor's ref, or a ``ProcessSpec``. ``name`` is what
    the actor is registered under, its id where not given, so that addresses survive restarts.
    ``shutdown`` is how many seconds it may take to stop: 1 for workers and processes, as long as
    its own children need (``"infinity"``) for supervisors.
    """

    id: str
    start: Start | ProcessSpec
    restart: Restart = "permanent"
    shutdown: Shutdown | None = None
    significant: bool = False
    backoff: Backoff | None = None
    kind: Kind | None = None
    name: str = ""

    def __post_init__(self) -> None:
        where = f"child {self.id!r}"
        if not self.id:
            raise SpecError("a child without an id: give each child one, unique in its supervisor")
        is_process = isinstance(self.start, ProcessSpec)
        kind = self.kind or ("process" if is_process else "worker")
        _choice(where, "restart", self.restart, Restart)
        _choice(where, "kind", kind, Kind)
        shutdown = _DEFAULT_SHUTDOWN[kind] if self.shutdown is None else self.shutdown
        if is_process != (kind == "process"):
            raise SpecError(
                f"{where}: kind {kind!r} does not fit its start: a ProcessSpec is a 'process', "
                "an actor a 'worker' or a 'supervisor'"
            )
        if not (is_process or callable(self.start) or _is_actor_start(self.start)):
            raise SpecError(
                f"{where}: start is {self.start!r}: give (ActorClass, args, kwargs), a function "
                "of (system, name), or a ProcessSpec"
            )
        if self.significant and self.restart == "permanent":
            raise SpecError(
                f"{where} is significant and permanent: a permanent child never ends for good, "
                "so it cannot end its supervisor; make it transient or temporary"
            )
        if shutdown == "brutal_kill" and kind != "process":
            raise SpecError(
                f"{where}: brutal_kill is for processes only, a thread cannot be killed (S15); "
                "give seconds, or make it a process"
            )
        if shutdown == "infinity" and kind != "supervisor":
            raise SpecError(f"{where}: only a supervisor may take 'infinity' to stop; give seconds")
        if not (isinstance(shutdown, str) or _is_time(shutdown)):
            raise SpecError(f"{where}: shutdown is {shutdown!r}: give seconds > 0")
        if isinstance(shutdown, str):
            _choice(where, "shutdown", shutdown, Literal["brutal_kill", "infinity"])
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "shutdown", shutdown)
        object.__setattr__(self, "name", self.name or self.id)


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """One supervisor: its children from left to right, and what it does when one dies (S2).

    It gives up when restarts happen more than ``intensity`` times in ``period`` seconds (S3). With
    ``otp_exact`` it then leaves as ``shutdown``, as OTP does, instead of ``escalated`` (S6).
    """

    name: str
    strategy: Strategy = "one_for_one"
    children: Sequence[ChildSpec] = ()
    intensity: int = 3
    period: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    otp_exact: bool = False

    def __post_init__(self) -> None:
        where = f"supervisor {self.name!r}"
        _choice(where, "strategy", self.strategy, Strategy)
        _choice(where, "auto_shutdown", self.auto_shutdown, AutoShutdown)
        _limits(where, self.intensity, self.period)
        object.__setattr__(self, "children", tuple(self.children))
        for what, values in (
            ("id", [child.id for child in self.children]),
            ("name", [child.name for child in self.children if child.kind != "process"]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise SpecError(f"{where}: more than one child has the {what} {', '.join(twice)}")
        for child in self.children:
            self.check(child)

    def check(self, child: ChildSpec) -> None:
        """Raises SpecError when ``child`` cannot live under this supervisor (S1)."""
        where = f"supervisor {self.name!r}, child {child.id!r}"
        check_shutdown(where, child, self.intensity, self.period)
        if child.significant and self.auto_shutdown == "never":
            raise SpecError(
                f"{where} is significant, but auto_shutdown is 'never': nothing would come of it"
            )


@dataclass(frozen=True, slots=True)
class DynamicSpec:
    """A supervisor of many children of one template, added while it runs (S2).

    A child is started as the template says with the arguments of its request appended; its id is
    its registered name.
    """

    name: str
    child: ChildSpec
    intensity: int = 3
    period: float = 5.0
    max_children: int = 10_000
    otp_exact: bool = False

    def __post_init__(self) -> None:
        where = f"supervisor {self.name!r}"
        _limits(where, self.intensity, self.period)
        check_shutdown(f"{where}, its template", self.child, self.intensity, self.period)
        if self.child.significant:
            raise SpecError(f"{where}: children of a dynamic supervisor cannot be significant")
        if self.max_children < 1:
            raise SpecError(f"{where}: max_children is {self.max_children}: give 1 or more")


def check_shutdown(where: str, child: ChildSpec, intensity: int, period: float) -> None:
    """Refuses a shutdown so slow that restarts could never reach the intensity (S1)."""
    if intensity == 0 or isinstance(child.shutdown, str) or child.shutdown is None:
        return
    if child.shutdown >= period / intensity:
        raise SpecError(
            f"{where}: shutdown may take {child.shutdown:g} s, so {intensity} restarts may never "
            f"fall into {period:g} s; give less than {period / intensity:g} s, or a period of more "
            f"than {child.shutdown * intensity:g} s"
        )


def _limits(where: str, intensity: int, period: float) -> None:
    if intensity < 0:
        raise SpecError(f"{where}: intensity is {intensity!r}: give a whole number ≥ 0")
    if not _is_time(period):
        raise SpecError(f"{where}: period is {period!r}: give seconds > 0")


def _choice(where: str, what: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise SpecError(f"{where}: {what} is {value!r}: give one of {', '.join(get_args(choices))}")


def _is_time(value: float) -> bool:
    return value > 0 and math.isfinite(value)


def _is_actor_start(start: object) -> bool:
    match start:
        case (type(),) | (type(), tuple() | list()) | (type(), tuple() | list(), dict()):
            return True
        case _:
            return False
