"""Operating system processes: started, seen to end, ended for certain (S15, S16)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from covend.runtime import process
from covend.runtime.pidfd import ExitWatcher, ProcessId, process_table
from covend.runtime.process import (
    PARENT_FD,
    READY_FD,
    Child,
    Command,
    Spawner,
)
from covend.runtime.process_tree import end_tree

PYTHON = sys.executable


@pytest.fixture
def watcher() -> Iterator[ExitWatcher]:
    watcher = ExitWatcher("test-exits")
    yield watcher
    watcher.close()


@pytest.fixture
def spawner(watcher: ExitWatcher) -> Iterator[Spawner]:
    spawner = Spawner(watcher, "test-spawner")
    yield spawner
    for child in list(spawner.children.values()):
        end_tree(child.id, 0)
        assert child.wait(5)
    spawner.close()


def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def sleeper(spawner: Spawner, **options: object) -> Child:
    return spawner.spawn(Command(["sleep", "60"], **options))  # type: ignore[arg-type]


def script(spawner: Spawner, source: str, **options: object) -> Child:
    return spawner.spawn(Command([PYTHON, "-c", source], **options))  # type: ignore[arg-type]


def test_a_child_leads_its_own_session_and_group(spawner: Spawner) -> None:
    """S16: started with start_new_session."""
    child = sleeper(spawner)
    assert os.getsid(child.pid) == child.pid == os.getpgid(child.pid)


def test_all_children_are_started_by_one_thread(spawner: Spawner, monkeypatch: object) -> None:
    """S16: one long-lived spawner thread, whoever asks."""
    starters: list[str] = []
    real = Spawner._start

    def noting(self: Spawner, command: Command) -> Child:
        starters.append(threading.current_thread().name)
        return real(self, command)

    monkeypatch.setattr(Spawner, "_start", noting)  # type: ignore[attr-defined]
    askers = [threading.Thread(target=sleeper, args=(spawner,)) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(10)
    assert starters == ["test-spawner"] * 3


@pytest.mark.parametrize(("source", "status"), [("exit(0)", 0), ("exit(7)", 7)])
def test_an_exit_status_is_kept(spawner: Spawner, source: str, status: int) -> None:
    child = script(spawner, source)
    assert child.wait(10)
    assert child.status == status


def test_kill_9_is_seen_as_signal_9_and_leaves_no_zombie(spawner: Spawner) -> None:
    """S16: death seen through pidfd, and reaped."""
    child = sleeper(spawner)
    heard: list[int | None] = []
    child.on_exit(heard.append)
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: heard, "the exit callback")
    assert heard == [-signal.SIGKILL]
    assert child.status == -signal.SIGKILL
    assert child.id.stat() is None, "it was reaped"
    child.on_exit(heard.append)
    assert heard == [-9, -9], "asked late, told at once"


def test_a_program_that_does_not_exist_is_an_error_to_the_asker_alone(spawner: Spawner) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        spawner.spawn(Command(["/no-such-program"], notifies=True))
    assert sleeper(spawner).id.alive(), "the spawner goes on"


def test_an_empty_command_is_refused(spawner: Spawner) -> None:
    with pytest.raises(ValueError, match="argv is empty"):
        spawner.spawn(Command([]))


def test_output_goes_to_the_end_of_the_log_file(spawner: Spawner, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("before\n")
    source = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    assert script(spawner, source, log_path=log).wait(10)
    assert log.read_text() == "before\nout\nerr\n"


def test_environment_and_folder_are_given(spawner: Spawner, tmp_path: Path) -> None:
    log = tmp_path / "log"
    source = "import os; print(os.environ['WORD'], os.getcwd(), 'PATH' in os.environ)"
    assert script(spawner, source, env={"WORD": "here"}, cwd=tmp_path, log_path=log).wait(10)
    assert log.read_text() == f"here {tmp_path} True\n"


def test_several_watches_of_one_child_all_hear_its_status(
    spawner: Spawner, watcher: ExitWatcher
) -> None:
    child = sleeper(spawner)
    heard: list[tuple[str, int | None]] = []
    watcher.watch(child.pid, child.id.create_time, lambda status: heard.append(("a", status)))
    watch = watcher.watch(child.pid, child.id.create_time, lambda s: heard.append(("no", s)))
    watcher.watch(child.pid, child.id.create_time, lambda status: heard.append(("b", status)))
    watch.cancel()
    child.id.terminate()
    until(lambda: len(heard) == 2, "both callbacks")
    assert heard == [("a", -15), ("b", -15)]


def test_the_end_of_a_process_that_is_not_our_child_is_seen(
    spawner: Spawner, watcher: ExitWatcher, tmp_path: Path
) -> None:
    """S16: adopted processes are watched as well; only their status is unknown."""
    log = tmp_path / "pid"
    source = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '60']);"
        "print(p.pid, flush=True); p.wait(); time.sleep(60)"
    )
    script(spawner, source, log_path=log)
    until(lambda: log.read_text().endswith("\n"), "the grandchild's pid")
    grandchild = ProcessId.of(int(log.read_text()))
    heard: list[int | None] = []
    watcher.watch(grandchild.pid, grandchild.create_time, heard.append)
    assert grandchild.kill()
    until(lambda: heard, "the exit callback")
    assert heard == [None]


def test_watching_what_is_gone_calls_back_from_the_watchers_thread(
    spawner: Spawner, watcher: ExitWatcher
) -> None:
    child = script(spawner, "")
    assert child.wait(10)
    heard: list[tuple[int | None, str]] = []
    watcher.watch(
        child.pid,
        child.id.create_time,
        lambda status: heard.append((status, threading.current_thread().name)),
    )
    until(lambda: heard, "the callback")
    assert heard == [(None, "test-exits")]


def test_a_failing_callback_blinds_nobody(
    spawner: Spawner, watcher: ExitWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sleeper(spawner), sleeper(spawner)
    watcher.watch(first.pid, first.id.create_time, lambda _status: 1 // 0)
    first.id.kill()
    second.id.kill()
    assert first.wait(10) and second.wait(10)
    until(lambda: "ZeroDivisionError" in caplog.text, "the failure in the log")


def test_a_reused_pid_is_somebody_else(spawner: Spawner, watcher: ExitWatcher) -> None:
    """Pid and create time, never pid alone: nothing is sent to the pid's new owner."""
    child = sleeper(spawner)
    former = ProcessId(child.pid, child.id.create_time - 1)
    heard: list[int | None] = []
    watcher.watch(former.pid, former.create_time, heard.append)
    until(lambda: heard, "the callback for the one long gone")
    assert not former.alive()
    assert not former.kill() and not former.terminate()
    assert former.wait(0)
    assert end_tree(former, 0).killed == 0
    assert child.id.alive()


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = ProcessId.of(child.pid)
    assert process.alive() and not process.wait(0)
    child.kill()
    assert process.wait(10)
    assert not process.alive() and process.stat() is not None
    child.wait(10)
    assert process.stat() is None
    with pytest.raises(ProcessLookupError):
        ProcessId.of(child.pid)


def test_the_parents_death_is_seen_through_the_pipe(spawner: Spawner, tmp_path: Path) -> None:
    """S16: not PDEATHSIG; kill -9 of the parent makes its child leave in order."""
    log = tmp_path / "log"
    follower = (
        "import threading, os; from covend.runtime.process import watch_parent;"
        "fd = int(os.environ['COVEND_PARENT_FD']);"
        "gone = threading.Event(); watch_parent(gone.set);"
        "hidden = 'COVEND_PARENT_FD' not in os.environ and not os.get_inheritable(fd);"
        "print(os.getpid(), hidden, flush=True);"
        "assert gone.wait(60); print('left in order', flush=True)"
    )
    parent = (
        "import sys, time; from covend.runtime.process import *;"
        f"spawner().spawn(Command([sys.executable, '-c', {follower!r}]));"
        "time.sleep(60)"
    )
    child = script(spawner, parent, log_path=log)
    until(lambda: log.read_text().endswith("\n"), "the follower's pid")
    pid, hidden = log.read_text().split()
    assert hidden == "True", "the pipe is hidden from the follower's own children"
    follower_id = ProcessId.of(int(pid))
    child.id.kill()
    assert follower_id.wait(10)
    assert log.read_text().endswith("left in order\n")


def test_a_child_that_does_not_follow_gets_no_pipe(spawner: Spawner, tmp_path: Path) -> None:
    """S16: no soulstone dies of a core crash."""
    log = tmp_path / "log"
    source = f"import os; print(os.environ.get('{PARENT_FD}'), os.environ.get('{READY_FD}'))"
    env = {PARENT_FD: "99", READY_FD: "98"}
    assert script(spawner, source, env=env, follows_parent=False, log_path=log).wait(10)
    assert log.read_text() == "None None\n"


def test_readiness_is_what_the_child_says(spawner: Spawner) -> None:
    ready = script(
        spawner,
        "import time; from covend.runtime.process import say_ready; say_ready(); say_ready();"
        "time.sleep(60)",
        notifies=True,
    )
    assert ready.wait_ready(20)
    with pytest.raises(RuntimeError, match="works once"):
        ready.wait_ready(1)
    assert not script(spawner, "exit(3)", notifies=True).wait_ready(20), "ended without a word"
    assert not sleeper(spawner, notifies=True).wait_ready(0.01), "says nothing"


def test_end_tree_lets_an_orderly_process_end_by_itself(spawner: Spawner) -> None:
    child = sleeper(spawner)
    ended = end_tree(child.id, term_seconds=10)
    assert ended.orderly and ended.killed == 0 and ended.survivors == ()
    assert child.wait(10) and child.status == -signal.SIGTERM


IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "from covend.runtime.process import say_ready; say_ready(); time.sleep(60)"
)


def test_end_tree_kills_who_ignores_sigterm(spawner: Spawner) -> None:
    child = script(spawner, IGNORES_SIGTERM, notifies=True)
    assert child.wait_ready(20)
    ended = end_tree(child.id, term_seconds=0.05)
    assert not ended.orderly and ended.killed == 1 and ended.survivors == ()
    assert child.wait(10) and child.status == -signal.SIGKILL


def test_end_tree_ends_a_stopped_process(spawner: Spawner) -> None:
    child = sleeper(spawner)
    child.id.send(signal.SIGSTOP)
    until(lambda: (stat := child.id.stat()) and stat.state == "T", "the stop")
    assert end_tree(child.id, term_seconds=0.05).killed == 1
    assert child.wait(10)


def test_end_tree_leaves_no_descendant_in_whatever_session(
    spawner: Spawner, tmp_path: Path
) -> None:
    """One helper in the same session, one that left it, one whose parent is gone."""
    log = tmp_path / "pids"
    child = spawner.spawn(
        Command(
            [
                "sh",
                "-c",
                "sleep 60 & echo $!; setsid sleep 60 & echo $!; (sleep 60 & echo $!);"
                "echo end; wait",
            ],
            log_path=log,
        )
    )
    until(lambda: "end" in log.read_text(), "the helpers")
    helpers = [ProcessId.of(int(pid)) for pid in log.read_text().split()[:3]]
    until(lambda: os.getsid(helpers[1].pid) != child.pid, "the second leaves the session")
    ended = end_tree(child.id, term_seconds=10)
    assert ended.survivors == ()
    assert not any(helper.alive() for helper in helpers)
    assert child.wait(10)
    assert not any(s.session == child.pid and not s.gone for s in process_table())


SUBREAPER = """
import subprocess, sys, threading, time
from covend.runtime.orphans import OrphanReaper, become_subreaper, own_children
from covend.runtime.process import Command, spawner
from covend.runtime.process_tree import end_tree
become_subreaper()
reaper = OrphanReaper(interval=0.02)
lost = subprocess.Popen(["sh", "-c", "exit 5"])         # somebody else's child, in our session
first = spawner().spawn(Command(["sh", "-c", "(sleep 0.05 & sleep 60 & echo $!); exit 6"],
                                log_path=sys.argv[1]))
assert first.wait(10) and first.status == 6, first
def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, own_children()
        time.sleep(0.005)
long = int(open(sys.argv[1]).read())
until(lambda: [orphan.pid for orphan in reaper.orphans()] == [long])   # the short one was reaped
until(lambda: set(own_children()) == {long, lost.pid})
assert end_tree(reaper.orphans()[0], 0).killed == 1
until(lambda: set(own_children()) == {lost.pid})
assert lost.wait(10) == 5, "the status of a plain child is not stolen"
assert own_children() == []

# A child of the spawner, dead while the watcher is busy elsewhere, is not the reaper's to take.
busy, go = threading.Event(), threading.Event()
blocker, mine = (spawner().spawn(Command(["sleep", "60"])) for _ in range(2))
blocker.on_exit(lambda status: (busy.set(), go.wait(10)))
blocker.id.kill()
assert busy.wait(10)
mine.id.kill()
assert mine.id.wait(10)
assert reaper.reap() == [] and mine.pid in own_children()
go.set()
assert mine.wait(10) and mine.status == -9, mine
reaper.close()
become_subreaper(False)
print("all well")
"""


def test_a_subreaper_reaps_its_orphans_and_steals_no_status(
    spawner: Spawner, tmp_path: Path
) -> None:
    """S16: root is a child subreaper; a reaper that takes only adopted orphans."""
    log = tmp_path / "log"
    child = spawner.spawn(Command([PYTHON, "-c", SUBREAPER, str(tmp_path / "pids")], log_path=log))
    assert child.wait(30)
    assert log.read_text() == "all well\n"


def test_closed_means_refused(watcher: ExitWatcher) -> None:
    spawner = Spawner(watcher)
    spawner.close()
    spawner.close()
    with pytest.raises(RuntimeError, match="closed"):
        spawner.spawn(Command(["true"]))
    watcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        watcher.watch(os.getpid(), ProcessId.of(os.getpid()).create_time, print)


def test_a_long_log_is_set_aside_and_one_old_one_is_kept(
    spawner: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S16: of the box's own processes as of soulstones, so that no log fills the disk."""
    monkeypatch.setattr(process, "LOG_BYTES", 10)
    log = tmp_path / "core.log"
    (tmp_path / "core.log.1").write_text("older")
    for begun in ("x" * 10, "x" * 11):
        log.write_text(begun)
        assert script(spawner, "print('new')", log_path=log).wait(10)
    assert (log.read_text(), (tmp_path / "core.log.1").read_text()) == ("new\n", "x" * 11)
    log.write_text("x" * 10)
    assert script(spawner, "print('new')", log_path=log).wait(10)
    assert log.read_text() == "x" * 10 + "new\n"
