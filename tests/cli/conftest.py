"""The command line, run in this process, and a stand-in for a running box."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covend.cli.app import app
from covend.protocol import (
    JobQuery,
    PsQuery,
    StatusQuery,
    StopBox,
    SubmitJob,
    SwapRequest,
    WhyQuery,
)
from covend.runtime import Actor, ReplyError, ThreadSystem
from covend.runtime.pidfd import ProcessId
from covend.runtime.trace_actor import TraceActor
from covend.runtime.wire import Node

STATUS = {
    "box": "test",
    "uptime": 3700.0,
    "core_incarnation": 7,
    "devices": [
        {"name": "gpu0", "capacity": 24 * 2**30, "used": 2**30, "budget": 22 * 2**30,
         "resident": ["day"]}
    ],
    "covens": [
        {"name": "day", "state": "open", "devices": ["gpu0"], "opened_for": 12.5, "soulstones": [
            {"name": "chat", "state": "ready", "pid": 77, "memory": 2**30, "slots": 4, "in_use": 3,
             "waiting": 1},
            {"name": "[red]embed", "state": "loading", "pid": None, "memory": 0, "slots": 1,
             "in_use": 0, "waiting": 0}]},
        {"name": "night", "state": "cold", "devices": ["gpu0"], "opened_for": None,
         "soulstones": []},
    ],
    "queue": [{"capability": "reasoning", "class": "reflex", "count": 2, "oldest": 65.0}],
    "transition": {"id": "t-1", "target": "night", "phase": "draining", "since": 2.0, "left": 118.0,
                   "attempt": 1},
    "jobs": {"queued": 1, "running": 2, "parked": 3, "done": 4, "failed": 5},
    "decision": {"decision": "swap", "target": "night", "reason": "D > I", "signals": [1]},
    "alerts": [{"at": 1.0, "text": "chat was reset", "data": {}}],
}  # fmt: skip

TREE = {
    "node": "core",
    "pid": 42,
    "tree": [
        {"name": "covens", "kind": "supervisor", "pid": None, "state": "running", "restarts": 2,
         "mailbox": 0, "children": [
             {"name": "coven/day", "kind": "worker", "pid": None, "state": "running",
              "restarts": 0, "mailbox": 9, "children": []}]},
    ],
}  # fmt: skip


class Console(Actor):
    """Answers as the core's console does, and keeps what it was asked."""

    def __init__(self, asked):
        self.asked = asked

    def on_receive(self, message):
        self.asked.append(message)
        match message:
            case StatusQuery():
                return STATUS
            case PsQuery():
                return TREE
            case SwapRequest(coven="day"):
                return {"id": "t-2", "state": "open", "seconds": 1.25}
            case SwapRequest(coven="slow"):
                return self.ctx.later()
            case SwapRequest():
                raise ReplyError(f"there is no coven {message.coven!r}")
            case WhyQuery():
                records = [{"kind": "decision", "actor": "arbiter", "data": {"D": 3.14159}}]
                return {"id": message.id, "records": records}
            case SubmitJob():
                return message.id or "j-1"
            case JobQuery():
                return {"id": message.id, "status": "done", "done": 2}
            case StopBox():
                return "stopping"
        raise AssertionError(message)


class Box:
    """A run folder with a core on the wire; this process plays its root."""

    def __init__(self):
        self.run_dir = Path(tempfile.mkdtemp(prefix="cv-"))
        self.asked = []
        self.system = ThreadSystem(node="core")
        self.wire = Node(self.system, "core", self.run_dir)
        for name in ("console", "ps"):
            self.system.spawn(Console, self.asked, name=name)
        self.system.spawn(TraceActor, name="trace")
        me = ProcessId.of(os.getpid())
        self.identify(me.pid, me.create_time)

    def identify(self, pid, create_time):
        text = json.dumps({"pid": pid, "create_time": create_time, "config": "x"})
        (self.run_dir / "root.json").write_text(text)

    def close(self):
        self.system.shutdown(timeout=5.0)
        self.wire.close()
        shutil.rmtree(self.run_dir)


@pytest.fixture
def box():
    made = Box()
    yield made
    made.close()


@pytest.fixture
def covend(monkeypatch, tmp_path):
    """Runs `covend ARGS` in an empty folder and environment; gives the result."""
    monkeypatch.chdir(tmp_path)
    for name in ("COVEND_CONFIG", "COVEND_RUN_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(*arguments, status=0, **options):
        result = CliRunner().invoke(app, [str(a) for a in arguments], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run
