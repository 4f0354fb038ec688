"""The tracer: runs one program under ptrace and does one thing to it. A process of its own.

``python -m covend.testing.crash.tracer`` reads the plan as JSON from standard input. It stops the
program and all its children at each system call that counts, and strikes at the one it was told.
Everything it traced dies with it.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import msgspec

from covend.resolving import resolved
from covend.testing.crash import ptrace, syscalls

WALL = 0x40000000
SYSCALL_STOP = signal.SIGTRAP | 0x80
CANNOT_BE_RUN = 126
"""The exit status that shells give to it."""


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
    """One traced thread; ``number`` is its place among those of the run, from 1.

    ``at_exit`` says what happens at the end of the call it is in; ``held_until`` when a call that
    is made to take long may begin (monotonic seconds).
    """

    number: int
    fresh: bool = True
    at_exit: Literal["", "kill", "full"] = ""
    held_until: float | None = None


@dataclass(slots=True)
class Tracer:
    """The whole of one run."""

    plan: Plan
    threads: dict[int, Thread] = field(default_factory=dict[int, Thread])
    born: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    struck: bool = False
    status: int | None = None
    root: int = 0

    def run(self) -> None:
        """Start the program and follow it until nothing of it is left."""
        self.root = os.fork()
        if self.root == 0:
            self.become()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # it is waited for instead
        os.waitpid(self.root, 0)
        ptrace.ptrace(ptrace.SETOPTIONS, self.root, 0, ptrace.OPTIONS)
        self.thread(self.root).fresh = False
        self.go_on(self.root)
        while self.threads:
            try:
                pid, status = self.next_stop()
            except ChildProcessError:
                break
            self.stopped(pid, status)

    def become(self) -> NoReturn:
        """In the child: become the program, stopped until it is watched."""
        ptrace.trace_me()
        os.kill(os.getpid(), signal.SIGSTOP)
        ptrace.stop_at(syscalls.watched(), syscalls.MISSING)
        try:
            os.execvp(self.plan.argv[0], self.plan.argv)
        except OSError as error:
            os.write(2, f"{self.plan.argv[0]} cannot be run: {error.strerror}\n".encode())
            os._exit(CANNOT_BE_RUN)

    def next_stop(self) -> tuple[int, int]:
        """Wait until a thread stops or ends; those that were held long enough go on meanwhile."""
        while held := {
            pid: thread.held_until
            for pid, thread in self.threads.items()
            if thread.held_until is not None
        }:
            now = time.monotonic()
            for pid, due in held.items():
                if due <= now:
                    self.threads[pid].held_until = None
                    self.go_on(pid)
            pid, status = os.waitpid(-1, WALL | os.WNOHANG)
            if pid:
                return pid, status
            signal.sigtimedwait({signal.SIGCHLD}, max(0.0, min(held.values()) - now))
        return os.waitpid(-1, WALL)

    def thread(self, pid: int) -> Thread:
        """The thread of that id, which is new if nothing was heard of it before."""
        if pid not in self.threads:
            self.born += 1
            self.threads[pid] = Thread(self.born)
        return self.threads[pid]

    def stopped(self, pid: int, status: int) -> None:
        """One thread ended or stopped: judge, and let it go on."""
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            self.threads.pop(pid, None)
            if pid == self.root:
                self.status = os.waitstatus_to_exitcode(status)
            return
        thread = self.thread(pid)
        number, event = os.WSTOPSIG(status), status >> 16
        if event == ptrace.EVENT_SECCOMP:
            self.entry(pid, thread)
            if thread.held_until is None:
                self.go_on(pid)
        elif number == SYSCALL_STOP:
            self.exit(pid, thread)
            self.go_on(pid)
        elif event:  # a child was born, or a program begun
            self.go_on(pid)
        elif thread.fresh and number == signal.SIGSTOP:
            thread.fresh = False  # every new thread begins with one
            self.go_on(pid)
        else:
            self.go_on(pid, number)

    def go_on(self, pid: int, number: int = 0) -> None:
        """Until the next call that counts, or the end of this one if something happens there."""
        thread = self.threads.get(pid)
        how = ptrace.TO_EXIT if thread and thread.at_exit else ptrace.CONTINUE
        try:
            ptrace.ptrace(how, pid, 0, number)
        except ProcessLookupError:
            pass  # it was killed while it stood

    def entry(self, pid: int, thread: Thread) -> None:
        """A call of the table begins: count it if it matters, and strike if it is the one."""
        try:
            info = ptrace.info(pid)
            call = syscalls.TABLE[info.number]
            plan = self.plan
            what = syscalls.subject(pid, call, info.args, plan.folders, plan.sockets)
            if what is None:
                return
            number = len(self.calls) + 1
            self.calls.append(
                {"number": number, "name": call.name, "what": what, "thread": thread.number}
            )
            self.struck |= self.strike(pid, thread, call, info.args, what)
        except ProcessLookupError:
            return  # it was killed while it stood

    def exit(self, pid: int, thread: Thread) -> None:
        """A call ends of which something was to happen at the end."""
        then, thread.at_exit = thread.at_exit, ""
        if then == "kill":
            self.kill()
        elif then == "full":
            try:
                ptrace.set_result(pid, -errno.ENOSPC)
            except ProcessLookupError:
                return  # it was killed while it stood

    def strike(
        self, pid: int, thread: Thread, call: syscalls.Syscall, args: tuple[int, ...], what: str
    ) -> bool:
        """Do the damage if it is due at this call; whether it was done."""
        plan, here = self.plan, len(self.calls) == self.plan.at
        match plan.damage:
            case "slow" if call.kind == "syncs":
                thread.held_until = time.monotonic() + plan.seconds  # and the others go on
            case "full" if len(self.calls) >= plan.at and syscalls.takes_room(call, args, what):
                ptrace.skip(pid)
                thread.at_exit = "full"
            case "kill" if here:
                self.kill()
            case "kill_after" if here:
                thread.at_exit = "kill"
            case "torn" if here and syscalls.tear(pid, call, args):
                thread.at_exit = "kill"
            case _:
                return False
        return True

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
    sys.exit(main())
