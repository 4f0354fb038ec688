"""The tracer: runs one program under ptrace and does one thing to it. A process of its own.

``python -m covend.testing.crash.tracer`` reads the plan as JSON from standard input. It stops the
program and all its children at each system call, counts those that matter, and strikes at the one
it was told. Everything it traced dies with it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from covend.resolving import resolved
from covend.testing.crash import syscalls

WALL = 0x40000000
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000
"""TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, EXITKILL."""
SYSCALL_STOP = signal.SIGTRAP | 0x80


class Plan(msgspec.Struct, frozen=True):
    """What the kit wants; see ``covend.testing.crash.kit``."""

    argv: list[str]
    folders: list[str]
    sockets: bool
    damage: str
    at: int
    seconds: float
    report: str


@dataclass(slots=True)
class Thread:
    """One traced thread; between entry and exit of a call ``exit`` says what happens at its end."""

    fresh: bool = True
    inside: bool = False
    exit: str = ""


@dataclass(slots=True)
class Tracer:
    """The whole of one run."""

    plan: Plan
    threads: dict[int, Thread] = field(default_factory=dict[int, Thread])
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    struck: bool = False
    status: int | None = None
    root: int = 0

    def run(self) -> None:
        """Start the program and follow it until nothing of it is left."""
        self.root = os.fork()
        if self.root == 0:
            syscalls.trace_me()
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execvp(self.plan.argv[0], self.plan.argv)
        os.waitpid(self.root, 0)
        syscalls.ptrace(syscalls.SETOPTIONS, self.root, 0, OPTIONS)
        self.threads[self.root] = Thread(fresh=False)
        self.go_on(self.root)
        while self.threads:
            try:
                pid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                break
            self.stopped(pid, status)

    def stopped(self, pid: int, status: int) -> None:
        """One thread ended or stopped: judge, and let it go on."""
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            self.threads.pop(pid, None)
            if pid == self.root:
                self.status = os.waitstatus_to_exitcode(status)
            return
        thread = self.threads.setdefault(pid, Thread())
        number = os.WSTOPSIG(status)
        if number == SYSCALL_STOP:
            self.at_call(pid, thread)
            self.go_on(pid)
        elif status >> 16:  # a child was born, or a program begun
            if status >> 16 == syscalls.EVENT_EXEC:
                thread.inside = True  # what comes next is the exit of the exec itself
            self.go_on(pid)
        elif thread.fresh and number == signal.SIGSTOP:
            thread.fresh = False  # every new thread begins with one
            self.go_on(pid)
        else:
            self.go_on(pid, number)

    def go_on(self, pid: int, number: int = 0) -> None:
        try:
            syscalls.ptrace(syscalls.SYSCALL, pid, 0, number)
        except ProcessLookupError:
            pass  # it was killed while it stood

    def at_call(self, pid: int, thread: Thread) -> None:
        """A system call begins or ends."""
        try:
            info = syscalls.info(pid)
        except ProcessLookupError:
            return
        if info.op == syscalls.ENTRY:
            thread.inside = True
            self.entry(pid, thread, info)
        elif thread.inside:
            thread.inside = False
            what, thread.exit = thread.exit, ""
            if what == "kill":
                self.kill()
            elif what:
                syscalls.set_result(pid, -errno.ENOSPC)

    def entry(self, pid: int, thread: Thread, info: syscalls.Info) -> None:
        """Count a call that matters, and strike if it is the one."""
        name = syscalls.NAMES.get(info.number)
        if name is None:
            return
        what = syscalls.subject(pid, name, info.args, self.plan.folders, self.plan.sockets)
        if what is None:
            return
        self.calls.append({"number": len(self.calls) + 1, "name": name, "what": what})
        self.strike(pid, thread, name, info)

    def strike(self, pid: int, thread: Thread, name: str, info: syscalls.Info) -> None:
        plan, count = self.plan, len(self.calls)
        if plan.damage == "slow":
            if name in syscalls.SYNCS:
                self.struck = True
                time.sleep(plan.seconds)  # everything of this thread waits, as for a slow disk
            return
        if plan.damage == "full":
            if count >= plan.at and name in syscalls.GROWS:
                self.struck = True
                thread.exit = "full"
                syscalls.skip(pid)
            return
        if count != plan.at or plan.damage == "none":
            return
        self.struck = True
        if plan.damage == "kill":
            self.kill()
            return
        if plan.damage == "torn" and name in syscalls.WRITES:
            syscalls.set_length(pid, info.args[2] // 2)
        thread.exit = "kill"

    def kill(self) -> None:
        """SIGKILL to all of it at this instant, as when the power goes."""
        for pid in list(self.threads):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def report(self) -> None:
        """Leave what was seen where the kit looks for it."""
        found = {"calls": self.calls, "status": self.status, "struck": self.struck}
        part = self.plan.report + ".part"
        with open(part, "wb") as file:
            file.write(msgspec.json.encode(found))
        os.replace(part, self.plan.report)


def main() -> int:
    """Run the plan on standard input; exit status 0 unless tracing itself failed."""
    tracer = Tracer(msgspec.json.decode(sys.stdin.buffer.read(), type=resolved(Plan)))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    tracer.run()
    tracer.report()
    return 0


if __name__ == "__main__":
    ctypes.CDLL(None)  # resolved before the fork
    sys.exit(main())
