"""The other process of the wire's tests: ``python wire_peer.py NODE RUN_DIR``.

Runs an actor named ``echo`` until its standard input ends. ``Peer`` starts it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from covend.runtime import CONTROL, Actor, MailboxSpec, Message, ReplyError, ThreadSystem, message
from covend.runtime.trace_actor import TraceActor
from covend.runtime.wire import Node

SECONDS = 10.0


class Peer:
    """Another process with an actor ``echo``; ends with its standard input."""

    def __init__(self, node: str, run_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, node, str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> int:
        self.process.communicate(timeout=SECONDS)
        return self.process.returncode


@message("test.say")
class Say(Message, frozen=True):
    value: Any


@message("test.say_urgently", lane=CONTROL)
class SayUrgently(Message, frozen=True):
    value: Any


@message("test.heard")
class Heard(Message, frozen=True):
    pass


@message("test.fail")
class Fail(Message, frozen=True):
    how: str


@message("test.hang")
class Hang(Message, frozen=True):
    pass


@message("test.relay")
class Relay(Message, frozen=True):
    to: str
    value: Any


@message("test.end")
class End(Message, frozen=True):
    pass


class Echo(Actor):
    mailbox = MailboxSpec(bound=20_000)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_receive(self, message: object) -> object:
        match message:
            case Say(value=value) | SayUrgently(value=value):
                self.heard.append(value)
                return value
            case Heard():
                return [os.getpid(), self.heard]
            case Fail(how="declared"):
                raise ReplyError("not today")
            case Fail(how="unfit"):
                return object()
            case Fail():
                raise KeyError("a bug")
            case Hang():
                return self.ctx.later()
            case Relay(to=to, value=value):
                return self.ctx.ask(to, Say(value), timeout=5.0)
            case End():
                self.ctx.stop()
                return None
            case _:
                return ["plain", message]


if __name__ == "__main__":
    node, run_dir = sys.argv[1:]
    with ThreadSystem(node=node) as system:
        wire = Node(system, node, run_dir)
        system.spawn(Echo, name="echo")
        system.spawn(TraceActor, name="trace")
        print("ready", flush=True)
        sys.stdin.read()
    wire.close()
