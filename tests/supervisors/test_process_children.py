"""Operating system processes as children of a supervisor (S1, S15, S16), for real."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from supervised_world import World

from covend.runtime import ReplyError, StartFailed
from covend.runtime.pidfd import ProcessId
from covend.supervisors import (
    Backoff,
    ChildSpec,
    CountChildren,
    DynamicSpec,
    FailedToStart,
    FindChild,
    NotReady,
    ProcessEnded,
    ProcessSpec,
    StartMember,
    SupervisorSpec,
    TerminateChild,
    WhichChildren,
)

SLEEP = ProcessSpec(["sleep", "60"])
SAY_READY = "from covend.runtime.process import say_ready; say_ready()"
STUBBORN = f"import signal, time; signal.signal(15, signal.SIG_IGN); {SAY_READY}; time.sleep(60)"


def python(source: str, **options: Any) -> ProcessSpec:
    return ProcessSpec([sys.executable, "-c", source], **options)


def supervise(world: World, *children: ChildSpec, **options: Any) -> Any:
    return world.supervise(SupervisorSpec("top", children=children, **options))


def pid_of(top: Any, child: str) -> int:
    pid = top.ask(FindChild(child), timeout=10).pid
    assert pid is not None
    return pid


def test_kill_9_is_seen_and_the_process_restarted(threads: World) -> None:
    """S16."""
    top = supervise(threads, ChildSpec("p", SLEEP), ChildSpec("q", SLEEP))
    first, other = pid_of(top, "p"), pid_of(top, "q")
    os.kill(first, signal.SIGKILL)
    threads.until(lambda: threads.diary, "the restart")
    info = top.ask(FindChild("p"), timeout=10)
    assert info.pid not in (None, first) and info.incarnation == 2 and info.restarts == 1
    assert (info.kind, info.ref, info.mailbox) == ("process", None, None)
    assert pid_of(top, "q") == other, "one_for_one: nobody else is harmed"
    assert str(threads.reports[2].reason) == "killed"
    assert top.ask(CountChildren(), timeout=10).processes == 2


def test_what_a_dead_process_left_behind_is_gone_before_its_restart(
    threads: World, tmp_path: Path
) -> None:
    """S16: a helper in its session may hold the port or the memory that its successor needs."""
    log = tmp_path / "pids"
    top = supervise(
        threads, ChildSpec("p", ProcessSpec(["sh", "-c", "sleep 60 & echo $!; wait"], log_path=log))
    )
    threads.until(lambda: log.read_text().endswith("\n"), "the helper")
    helper = ProcessId.of(int(log.read_text()))
    os.kill(pid_of(top, "p"), signal.SIGKILL)
    threads.until(lambda: threads.diary, "the restart")
    assert not helper.alive()


def test_one_for_all_takes_processes_and_actors_alike(threads: World) -> None:
    children = [ChildSpec("p", SLEEP), threads.worker("a")]
    top = supervise(threads, *children, strategy="one_for_all")
    first = ProcessId.of(pid_of(top, "p"))
    threads.system.address("a").tell("crash")
    threads.settle(top, 4)
    assert threads.diary == ["+a", "-a failed", "restart a", "+a"]
    assert not first.alive() and pid_of(top, "p") != first.pid
    assert "stale" not in [report.decision for report in threads.reports]


@pytest.mark.parametrize(
    ("source", "decision", "reason"),
    [
        ("", "keep", "normal"),
        ("exit(3)", "restart", "failed(ProcessEnded: the process ended with exit status 3)"),
        (
            "import os; os.abort()",
            "restart",
            "failed(ProcessEnded: the process was ended by SIGABRT)",
        ),
    ],
)
def test_an_exit_status_is_the_reason(
    threads: World, source: str, decision: str, reason: str
) -> None:
    """S5: a transient process is restarted unless it ended with status 0."""
    spec = ChildSpec("p", python(source), "transient", backoff=Backoff(base=30.0))
    supervise(threads, spec)
    wanted = {"restart": "wait"}.get(decision, decision)
    threads.until(lambda: [r for r in threads.reports if r.decision == wanted], wanted)
    assert str(threads.reports[-1].reason) == reason


def test_a_process_that_ignores_sigterm_is_killed_after_its_seconds(threads: World) -> None:
    """S15: what must be killable is a process; no zombie, no escalation."""
    top = supervise(threads, ChildSpec("p", python(STUBBORN, ready="said"), shutdown=0.1))
    process = ProcessId.of(pid_of(top, "p"))
    assert top.ask(TerminateChild("p"), timeout=10) is True
    assert process.stat() is None, "gone and reaped"
    assert top.alive and threads.diary == []


def test_brutal_kill_asks_nothing(threads: World, tmp_path: Path) -> None:
    """S1."""
    said = tmp_path / "said"
    source = (
        "import signal, sys, time; from pathlib import Path;"
        f"signal.signal(15, lambda *_: Path({str(said)!r}).touch()); {SAY_READY}; time.sleep(60)"
    )
    spec = ChildSpec("p", python(source, ready="said"), shutdown="brutal_kill")
    top = supervise(threads, spec)
    process = ProcessId.of(pid_of(top, "p"))
    assert top.ask(TerminateChild("p"), timeout=10) is True
    assert process.stat() is None and not said.exists()


def test_the_supervisors_end_leaves_no_process_of_the_tree(threads: World, tmp_path: Path) -> None:
    """S16: helpers of a child as well, even one that left its session."""
    log = tmp_path / "pids"
    shell = "sleep 60 & echo $!; setsid sleep 60 & echo $!; echo end; wait"
    top = supervise(threads, ChildSpec("p", ProcessSpec(["sh", "-c", shell], log_path=log)))
    threads.until(lambda: "end" in log.read_text(), "the helpers")
    helpers = [ProcessId.of(int(line)) for line in log.read_text().split()[:2]]
    threads.until(lambda: os.getsid(helpers[1].pid) == helpers[1].pid, "its own session")
    top.stop()
    threads.until(lambda: threads.ends)
    assert not any(helper.alive() for helper in helpers)


@pytest.mark.parametrize(
    ("spec", "cause", "says"),
    [
        (ProcessSpec(["/no/such/program"]), FileNotFoundError, "/no/such/program"),
        (python("exit(4)", ready="said"), ProcessEnded, "exit status 4"),
        (python("exit(5)", ready=lambda _child: False), ProcessEnded, "exit status 5"),
        (ProcessSpec(["sleep", "60"], ready="said", ready_seconds=0.1), NotReady, "within 0.1 s"),
        (
            ProcessSpec(["sleep", "60"], ready=lambda _child: False, ready_seconds=0.1),
            NotReady,
            "sleep was not ready",
        ),
    ],
)
def test_a_process_that_is_not_ready_in_time_failed_to_start(
    threads: World, spec: ProcessSpec, cause: type[Exception], says: str
) -> None:
    """S4: each start is acknowledged; what did not start is gone again (the leak check)."""
    with pytest.raises(StartFailed, match=says) as failure:
        supervise(threads, ChildSpec("first", SLEEP), ChildSpec("p", spec))
    failed = failure.value.cause
    assert isinstance(failed, FailedToStart) and failed.child == "p"
    assert isinstance(failed.cause, cause)


def test_readiness_may_be_a_question_about_the_child(threads: World, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    spec = ProcessSpec(["sh", "-c", f"touch {sign}; sleep 60"], ready=lambda _child: sign.exists())
    top = supervise(threads, ChildSpec("p", spec))
    assert sign.exists() and top.ask(FindChild("p"), timeout=10).state == "running"


def test_a_failed_process_start_by_request_is_refused(threads: World) -> None:
    template = ChildSpec("t", ProcessSpec(["/no/such/program"]))
    top = threads.supervise(DynamicSpec("many", template))
    with pytest.raises(ReplyError, match="no/such/program"):
        top.ask(StartMember("p"), timeout=10)


def test_many_processes_of_one_template(threads: World) -> None:
    """S2: restarted alone, stopped together."""
    top = threads.supervise(DynamicSpec("many", ChildSpec("t", SLEEP)))
    for id in ("p", "q", "r"):
        top.ask(StartMember(id), timeout=10)
    os.kill(pid_of(top, "q"), signal.SIGKILL)
    threads.until(lambda: threads.diary, "the restart")
    assert [c.incarnation for c in top.ask(WhichChildren(), timeout=10)] == [1, 2, 1]
    assert top.ask(TerminateChild("r"), timeout=10) is True
    processes = [ProcessId.of(child.pid) for child in top.ask(WhichChildren(), timeout=10)]
    top.stop()
    threads.until(lambda: threads.ends)
    assert not any(process.alive() for process in processes)
