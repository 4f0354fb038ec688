"""What to run, what to do to it, and what was seen; the tracer itself is a process of its own."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import msgspec

from covend.resolving import resolved

Damage = Literal["none", "kill", "kill_after", "torn", "full", "slow"]
"""``kill`` comes before the call, ``kill_after`` when it is done, ``torn`` after half of a write.
``full``: from that call on all that needs room on the disk fails. ``slow``: a sync, be it which it
may, takes its thread ``seconds`` longer.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong at the ``at``-th call (from 1); ``seconds`` is for ``slow``."""

    damage: Damage
    at: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.damage not in get_args(Damage):
            raise ValueError(f"damage is {self.damage!r}: one of {', '.join(get_args(Damage))}")
        if self.damage not in ("none", "slow") and self.at < 1:
            raise ValueError(f"{self.damage} needs the number of a call, from 1, not {self.at}")


@dataclass(frozen=True, slots=True)
class Target:
    """A program that ends by itself, and which of its I/O counts: ``folders``, and sockets.

    Of the folders counts all that changes them or what is below them. ``sockets`` also counts what
    it says over TCP and UDP, to a provider or a server; unix sockets, pipes and its log do not
    count.
    """

    argv: Sequence[str]
    folders: Sequence[Path | str]
    sockets: bool = True
    env: Mapping[str, str] = field(default_factory=dict[str, str])


class Call(msgspec.Struct, frozen=True):
    """One I/O call that was seen: its number, the system call, and the file, ``tcp`` or ``udp``.

    ``thread`` is the place of the thread that made it among all of the run, from 1.
    """

    number: int
    name: str
    what: str
    thread: int


class Run(msgspec.Struct, frozen=True):
    """One run of a target: its calls, how it ended, and whether the fault was done.

    ``struck`` is false if there were fewer calls than that, or the call has nothing to be torn.
    """

    calls: tuple[Call, ...]
    status: int | None
    struck: bool
    output: str = ""

    def changed(self, folder: Path | str) -> bool:
        """Whether one of its calls changed the folder or what is below it."""
        path = os.path.realpath(folder)
        return any(Path(call.what).is_relative_to(path) for call in self.calls)

    def gaps(self) -> Iterator[Fault]:
        """A kill before and a kill after every call: together they are a kill in every gap.

        Both, because between the end of one call and the begin of the next there is what no call
        shows: the other threads, the far end of a socket, and stores to mapped memory.
        """
        for call in self.calls:
            yield Fault("kill", call.number)
            yield Fault("kill_after", call.number)


def survey(target: Target, seconds: float = 60.0) -> Run:
    """Run it undisturbed and see its calls.

    Raises ``RuntimeError`` if it does not end well, or changes nothing in the folders that count:
    there would be no gap in which to kill it, and a test of all gaps would test nothing. Otherwise
    as ``crash``.
    """
    run = crash(target, Fault("none"), seconds)
    if run.status != 0:
        raise RuntimeError(f"{target.argv}: undisturbed it ended with {run.status}:\n{run.output}")
    idle = [folder for folder in target.folders if not run.changed(folder)]
    if len(idle) < len(target.folders):  # so it may be right that the others were left alone
        idle = [folder for folder in idle if not os.path.exists(folder)]
    if idle:
        named = ", ".join(str(folder) for folder in idle)
        raise RuntimeError(f"{target.argv}: nothing in {named} was changed: does it write there?")
    return run


def crash(target: Target, fault: Fault, seconds: float = 60.0) -> Run:
    """Run it with one fault; blocks until everything it started has ended.

    Raises ``FileNotFoundError`` when there is no such program, and ``TimeoutError`` when it has not
    ended after ``seconds``. Whatever is raised, all of it is killed.
    """
    env = {**os.environ, **target.env}
    if shutil.which(target.argv[0], path=env.get("PATH")) is None:
        raise FileNotFoundError(f"{target.argv[0]}: no program of that name can be executed")
    with tempfile.TemporaryDirectory(prefix="covend-crash-") as folder:
        report = Path(folder, "report.json")
        plan = {
            "argv": [str(part) for part in target.argv],
            "folders": [os.path.realpath(folder) for folder in target.folders],
            "sockets": target.sockets,
            "damage": fault.damage,
            "at": fault.at,
            "seconds": fault.seconds,
            "report": str(report),
        }
        with tempfile.TemporaryFile() as output:
            with subprocess.Popen(
                [sys.executable, "-m", "covend.testing.crash.tracer"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=env,
            ) as tracer:
                try:
                    tracer.communicate(msgspec.json.encode(plan), timeout=seconds)
                except subprocess.TimeoutExpired:
                    raise TimeoutError(f"{target.argv} did not end within {seconds:g} s") from None
                finally:
                    tracer.kill()  # and the kernel kills all that it traced (PTRACE_O_EXITKILL)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if not report.exists():
            raise RuntimeError(f"the tracer failed:\n{text}")
        run = msgspec.json.decode(report.read_bytes(), type=resolved(Run))
        return msgspec.structs.replace(run, output=text)


@cache
def traceable() -> str:
    """Why programs cannot be traced on this machine; empty when they can."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return f"the crash kit knows the registers of x86_64 Linux, not of {platform.machine()}"
    try:
        survey(Target([sys.executable, "-c", "pass"], folders=[]), seconds=20.0)
    except (RuntimeError, TimeoutError) as error:
        return f"ptrace is not allowed here: {error}"
    return ""
