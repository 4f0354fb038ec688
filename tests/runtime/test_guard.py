"""No command outlives the process that started it, however that ends (S16)."""

import os
import signal
import subprocess
import sys

import pytest

from covend.runtime.guard import guarded
from covend.runtime.pidfd import ProcessId
from covend.testing import eventually

OWNER = """
import subprocess, sys, time
from covend.runtime.guard import guarded
process = subprocess.Popen(guarded(sys.argv[1:]), start_new_session=True)
print(process.pid, flush=True)
time.sleep(60)
"""


def pids(path, count):
    """The processes that wrote their pids there."""

    def once():
        found = path.read_text().split() if path.exists() else []
        return [ProcessId.of(int(pid)) for pid in found] if len(found) == count else None

    return eventually(once, 10, f"{count} processes say who they are")


def members(group):
    """The processes of a group: the command, what it began, and the guard."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.getpgid(int(name)) == group:
                found.append(ProcessId.of(int(name)))
        except ProcessLookupError:
            continue
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_dies_with_all_it_began_when_its_owner_is_killed(tmp_path, how):
    """S16: also what heeds no signal that can be heeded, and the guard itself."""
    said = tmp_path / "pids"
    script = f"trap '' TERM HUP; sleep 60 & echo $! $$ >> {said}; wait; sleep 60"
    argv = [sys.executable, "-c", OWNER, "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as owner:
        group = int(owner.stdout.readline())
        assert group in [process.pid for process in pids(said, 2)]
        everybody = members(group)
        assert len(everybody) == 3
        owner.send_signal(how)
        eventually(lambda: not any(one.alive() for one in everybody), 10, "all are gone")


def test_an_owner_that_dies_at_once_leaves_no_command(tmp_path):
    """S16: there is no moment without a guard."""
    said = tmp_path / "pids"
    early = OWNER.replace("time.sleep(60)", "import os; os.kill(os.getpid(), 9)")
    for _ in range(10):
        argv = [sys.executable, "-c", early, "sh", "-c", f"echo $$ >> {said}; exec sleep 60"]
        ended = subprocess.run(argv, capture_output=True, timeout=30, check=False)
        group = int(ended.stdout)
        eventually(lambda group=group: not any(one.alive() for one in members(group)), 10, "gone")


def test_a_guarded_command_is_what_it_would_be_alone():
    """Its input, its outputs, its status and its own pid as the leader; no child of a stranger."""
    script = (
        "read -r line; read -r kids </proc/$$/task/$$/children; "
        'echo "$line,$kids,$$"; echo oh >&2; exit 3'
    )
    with subprocess.Popen(
        guarded(["sh", "-c", script, "a b", "*"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        output, complaint = process.communicate("given\n", timeout=10)
        os.killpg(process.pid, signal.SIGKILL)
    assert output == f"given,,{process.pid}\n"
    assert (complaint, process.returncode) == ("oh\n", 3)


def test_signals_to_the_whole_group_end_no_guard(tmp_path):
    """S16: a command that survives what it sends to its own group is guarded still."""
    said = tmp_path / "pids"
    script = f"trap '' TERM; kill -TERM 0; echo $$ >> {said}; sleep 60"
    argv = [sys.executable, "-c", OWNER, "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as owner:
        group = int(owner.stdout.readline())
        pids(said, 1)
        everybody = members(group)
        owner.kill()
        eventually(lambda: not any(one.alive() for one in everybody), 10, "all are gone")


@pytest.mark.parametrize("name", ["/nonexistent/program", "no-such-program", ""])
def test_a_program_that_cannot_be_run_is_said_before_it_is_tried(name):
    with pytest.raises(FileNotFoundError):
        guarded([name])


def test_a_guarded_command_hears_the_signals_that_its_guard_does_not():
    with subprocess.Popen(
        guarded(["sh", "-c", "kill -TERM $$"]), start_new_session=True
    ) as process:
        assert process.wait(10) == -signal.SIGTERM
        os.killpg(process.pid, signal.SIGKILL)
