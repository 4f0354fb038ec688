"""The crash kit does to a program what it says, at the very call it says, and leaves nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

from covend.testing import eventually
from covend.testing.crash import Fault, Target, crash, survey, traceable

pytestmark = pytest.mark.skipif(bool(traceable()), reason=traceable() or "-")

APPENDS = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for letter in b"abc":
    os.write(fd, bytes([letter]) * 10)
    os.fdatasync(fd)
os.rename(sys.argv[1], sys.argv[1] + ".done")
print("well")
"""
STEPS = ["openat", *["write", "fdatasync"] * 3, "rename"]
LAST = len(STEPS)


@pytest.fixture
def target(tmp_path):
    return Target([sys.executable, "-c", APPENDS, str(tmp_path / "log")], folders=[tmp_path])


def left(tmp_path):
    """What the program left behind: its file's name and content."""
    found = list(tmp_path.iterdir())
    return (found[0].name, found[0].read_bytes()) if found else None


def test_a_survey_sees_every_call_that_changes_something_and_no_other(target, tmp_path):
    run = survey(target)
    assert [call.name for call in run.calls] == STEPS
    assert {call.what for call in run.calls} == {str(tmp_path / "log")}
    assert run.output == "well\n"
    assert list(run.gaps())[:3] == [Fault("kill", 1), Fault("kill_after", 1), Fault("kill", 2)]
    assert len(list(run.gaps())) == 2 * LAST
    assert not run.struck


@pytest.mark.parametrize("gap", range(1, LAST + 1))
@pytest.mark.parametrize("damage", ["kill", "kill_after"])
def test_a_kill_lets_everything_before_it_happen_and_nothing_after(target, tmp_path, damage, gap):
    run = crash(target, Fault(damage, gap))
    assert (run.status, run.struck, len(run.calls)) == (-9, True, gap)
    done = gap - (damage == "kill")
    writes = STEPS[:done].count("write")
    name = "log.done" if done == LAST else "log"
    content = b"".join(bytes([letter]) * 10 for letter in b"abc"[:writes])
    assert left(tmp_path) == ((name, content) if done else None)


def test_a_torn_write_leaves_its_first_half(target, tmp_path):
    assert crash(target, Fault("torn", 4)).status == -9
    assert left(tmp_path) == ("log", b"a" * 10 + b"b" * 5)


BUFFERS = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
{write}(fd, [b"", b"a" * 10, b"b" * 20, b"c" * 10]{place})
os._exit(0)
"""


@pytest.mark.parametrize(("write", "place"), [("os.writev", ""), ("os.pwritev", ", 0")])
def test_a_torn_write_of_many_buffers_leaves_their_first_half(tmp_path, write, place):
    code = BUFFERS.format(write=write, place=place)
    target = Target([sys.executable, "-c", code, str(tmp_path / "log")], [tmp_path])
    run = crash(target, Fault("torn", 2))
    assert (run.status, run.struck) == (-9, True)
    assert left(tmp_path) == ("log", b"a" * 10 + b"b" * 10)


@pytest.mark.parametrize("gap", [1, 3, LAST])
def test_what_cannot_be_torn_is_left_alone_and_said_so(target, tmp_path, gap):
    """A file's creation, a sync and a rename have no half."""
    run = crash(target, Fault("torn", gap))
    assert (run.status, run.struck) == (0, False)
    assert left(tmp_path) == ("log.done", b"a" * 10 + b"b" * 10 + b"c" * 10)


def test_a_full_disk_takes_nothing_from_there_on(target, tmp_path):
    run = crash(target, Fault("full", 3))
    assert run.struck
    assert run.status == 1
    assert "No space left on device" in run.output
    assert left(tmp_path) == ("log", b"a" * 10)


TALKS_AND_WRITES = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for fd in (client.fileno(), log):
    try:
        os.write(fd, b"hello")
        print("taken")
    except OSError as error:
        print(error)
"""


def test_a_full_disk_refuses_nothing_that_is_said_to_others(tmp_path):
    argv = [sys.executable, "-c", TALKS_AND_WRITES, str(tmp_path / "log")]
    run = crash(Target(argv, [tmp_path]), Fault("full", 2))
    assert [call.what.rpartition("/")[2] for call in run.calls] == ["log", "tcp", "log"]
    assert run.output.splitlines() == ["taken", "[Errno 28] No space left on device"]


def test_a_full_disk_creates_nothing_but_lets_go_of_what_is_there(tmp_path):
    (tmp_path / "old").write_text("old")
    code = """
import os, sys
os.chdir(sys.argv[1])
os.truncate("old", 2)
open("old", "w").close()
os.rename("old", "older")
for create in (lambda: open("new", "w"), lambda: os.mkdir("folder"), lambda: os.symlink("a", "b")):
    try:
        create()
    except OSError as error:
        print(error.strerror)
"""
    run = crash(Target([sys.executable, "-c", code, str(tmp_path)], [tmp_path]), Fault("full", 1))
    assert run.output.splitlines() == ["No space left on device"] * 3
    assert left(tmp_path) == ("older", b"")


SYNCS = """
import os, sys, threading, time
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
begun, done = threading.Event(), threading.Event()
def others():
    begun.wait()
    for _ in range(20):
        os.write(log, b"b")
    done.set()
threading.Thread(target=others).start()
before = time.monotonic()
begun.set()
os.fsync(log)
print(done.is_set(), time.monotonic() - before)
"""


def test_a_slow_sync_holds_its_own_thread_that_long_and_no_other(tmp_path):
    target = Target([sys.executable, "-c", SYNCS, str(tmp_path / "log")], [tmp_path])
    run = crash(target, Fault("slow", seconds=1.0))
    others_had_done, took = run.output.split()
    assert (run.status, run.struck) == (0, True)
    assert others_had_done == "True"
    assert float(took) >= 1.0
    assert left(tmp_path) == ("log", b"b" * 20)


def test_calls_tell_the_threads_apart_that_made_them(tmp_path):
    target = Target([sys.executable, "-c", SYNCS, str(tmp_path / "log")], [tmp_path])
    by_thread = {(call.thread, call.name) for call in survey(target).calls}
    assert by_thread == {(1, "openat"), (1, "fsync"), (2, "write")}


THREADS_AND_CHILDREN = """
import os, subprocess, sys, threading
folder = sys.argv[1]
def write(name):
    with open(os.path.join(folder, name), "w") as file:
        file.write(name)
thread = threading.Thread(target=write, args=["thread"])
thread.start()
thread.join()
code = "import os, sys; open(os.path.join(sys.argv[1], 'child'), 'w').write('child')"
subprocess.run([sys.executable, "-c", code, folder], check=True)
write("end")
"""


def test_threads_and_children_are_seen_and_killed_with_it(tmp_path):
    target = Target([sys.executable, "-c", THREADS_AND_CHILDREN, str(tmp_path)], [tmp_path])
    seen = [call.what.rpartition("/")[2] for call in survey(target).calls]
    assert seen == ["thread", "thread", "child", "child", "end", "end"]
    for path in tmp_path.iterdir():
        path.unlink()
    assert crash(target, Fault("kill", 4)).status == -9
    assert (tmp_path / "thread").read_text() == "thread"
    assert (tmp_path / "child").read_text() == ""
    assert not (tmp_path / "end").exists()


def test_what_is_said_to_others_counts_and_what_is_said_to_nobody_does_not(tmp_path):
    talks = """
import os, socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.sendall(b"hello")
one, other = socket.socketpair()
one.sendall(b"unix")
read, write = os.pipe()
os.write(write, b"pipe")
far = socket.socket(type=socket.SOCK_DGRAM)
far.bind(("127.0.0.1", 0))
socket.socket(type=socket.SOCK_DGRAM).sendto(b"hello", far.getsockname())
"""
    run = survey(Target([sys.executable, "-c", talks], folders=[]))
    assert [(call.name, call.what) for call in run.calls] == [("sendto", "tcp"), ("sendto", "udp")]
    quiet = Target([sys.executable, "-c", talks], folders=[tmp_path], sockets=False)
    assert crash(quiet, Fault("none")).calls == ()


def test_a_program_that_hangs_is_killed_and_told(tmp_path):
    hangs = Target([sys.executable, "-c", "import time; time.sleep(600)"], folders=[tmp_path])
    with pytest.raises(TimeoutError, match="did not end within"):
        crash(hangs, Fault("none"), seconds=1.0)


HANGS = """
import os, sys, time
open(sys.argv[1] + "/pid", "w").write(f"{os.getpid()} ")
time.sleep(600)
"""


def test_whatever_ends_the_wait_for_a_program_ends_the_program(tmp_path, monkeypatch):
    """As Ctrl-C does, or a test's own time limit."""

    def interrupted(tracer, plan, timeout):
        tracer.stdin.write(plan)
        tracer.stdin.close()
        eventually(lambda: pid.exists() and pid.read_text().endswith(" "), what="the program")
        raise KeyboardInterrupt

    pid = tmp_path / "pid"
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crash(Target([sys.executable, "-c", HANGS, str(tmp_path)], [tmp_path]), Fault("none"))
    eventually(lambda: not runs(int(pid.read_text())), what="the program's end")


def runs(pid):
    """Whether a process is there and is more than what its parent has not yet waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_fails_undisturbed_is_no_base_for_a_survey(tmp_path):
    with pytest.raises(RuntimeError, match="undisturbed it ended with 3"):
        survey(Target([sys.executable, "-c", "raise SystemExit(3)"], folders=[tmp_path]))


@pytest.mark.parametrize("find", [survey, lambda target: crash(target, Fault("kill", 1))])
def test_a_program_that_is_not_there_is_named(tmp_path, find):
    with pytest.raises(FileNotFoundError, match="nosuchprog: no program of that name"):
        find(Target(["nosuchprog"], folders=[tmp_path]))


def test_a_program_is_looked_for_on_the_path_that_it_is_given(tmp_path):
    (tmp_path / "nosuchprog").symlink_to("/bin/true")
    found = Target(["nosuchprog"], folders=[], env={"PATH": str(tmp_path)})
    assert survey(found).status == 0


def test_a_program_that_the_kernel_does_not_take_is_told_without_a_traceback(tmp_path):
    script = tmp_path / "script"
    script.write_text("no interpreter is named here")
    script.chmod(0o755)
    with pytest.raises(RuntimeError, match="script cannot be run: Exec format error") as told:
        survey(Target([str(script)], folders=[tmp_path]))
    assert "Traceback" not in str(told.value)


def test_a_survey_that_saw_nothing_in_the_folders_is_refused(target, tmp_path):
    """A loop over its gaps would kill nothing, and pass."""
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(RuntimeError, match=r"nothing in .*/other was changed"):
        survey(Target(target.argv, folders=[other]))


def test_of_several_folders_one_that_is_not_there_is_named(target, tmp_path):
    """One of them that is there and was left alone is none of that."""
    (tmp_path / "quiet").mkdir()
    folders = [tmp_path, tmp_path / "quiet"]
    with pytest.raises(RuntimeError, match=r"nothing in [^,]*/mistyped was changed"):
        survey(Target(target.argv, folders=[*folders, tmp_path / "mistyped"]))
    (tmp_path / "log.done").unlink()
    assert len(survey(Target(target.argv, folders=folders)).calls) == LAST


@pytest.mark.parametrize("fault", [("kill", 0), ("torn", -1), ("melt", 1)])
def test_a_fault_that_makes_no_sense_is_refused(fault):
    with pytest.raises(ValueError, match=r"call|damage"):
        Fault(*fault)
