"""The crash kit does to a program what it says, at the very call it says, and leaves nobody."""

import sys

import pytest

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
STEPS = ["write", "fdatasync"] * 3 + ["rename"]


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
    assert list(run.gaps()) == [1, 2, 3, 4, 5, 6, 7]
    assert not run.struck


@pytest.mark.parametrize("gap", range(1, 8))
@pytest.mark.parametrize("damage", ["kill", "kill_after"])
def test_a_kill_lets_everything_before_it_happen_and_nothing_after(target, tmp_path, damage, gap):
    run = crash(target, Fault(damage, gap))
    assert (run.status, run.struck, len(run.calls)) == (-9, True, gap)
    done = gap - (damage == "kill")
    writes = STEPS[:done].count("write")
    name = "log.done" if done == 7 else "log"
    assert left(tmp_path) == (name, b"".join(bytes([c]) * 10 for c in b"abc"[:writes]))


def test_a_torn_write_leaves_its_first_half(target, tmp_path):
    assert crash(target, Fault("torn", 3)).status == -9
    assert left(tmp_path) == ("log", b"a" * 10 + b"b" * 5)


def test_a_full_disk_takes_nothing_from_there_on(target, tmp_path):
    run = crash(target, Fault("full", 3))
    assert run.struck
    assert run.status == 1
    assert "No space left on device" in run.output
    assert left(tmp_path) == ("log", b"a" * 10)


def test_a_slow_disk_delays_and_changes_nothing(target, tmp_path):
    run = crash(target, Fault("slow", seconds=0.01))
    assert (run.status, run.struck) == (0, True)
    assert left(tmp_path) == ("log.done", b"a" * 10 + b"b" * 10 + b"c" * 10)


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
    assert seen == ["thread", "child", "end"]
    for path in tmp_path.iterdir():
        path.unlink()
    assert crash(target, Fault("kill", 2)).status == -9
    assert (tmp_path / "thread").read_text() == "thread"
    assert not (tmp_path / "end").exists()


def test_what_is_said_over_tcp_counts_and_what_is_said_to_nobody_does_not(tmp_path):
    talks = """
import os, socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.sendall(b"hello")
one, other = socket.socketpair()
one.sendall(b"unix")
read, write = os.pipe()
os.write(write, b"pipe")
"""
    run = survey(Target([sys.executable, "-c", talks], folders=[tmp_path]))
    assert [(call.name, call.what) for call in run.calls] == [("sendto", "tcp")]
    quiet = Target([sys.executable, "-c", talks], folders=[tmp_path], sockets=False)
    assert survey(quiet).calls == ()


def test_a_program_that_hangs_is_killed_and_told(tmp_path):
    hangs = Target([sys.executable, "-c", "import time; time.sleep(600)"], folders=[tmp_path])
    with pytest.raises(TimeoutError, match="did not end within"):
        crash(hangs, Fault("none"), seconds=1.0)


def test_a_program_that_fails_undisturbed_is_no_base_for_a_survey(tmp_path):
    with pytest.raises(RuntimeError, match="undisturbed it ended with 3"):
        survey(Target([sys.executable, "-c", "raise SystemExit(3)"], folders=[tmp_path]))


@pytest.mark.parametrize("fault", [("kill", 0), ("torn", -1), ("melt", 1)])
def test_a_fault_that_makes_no_sense_is_refused(fault):
    with pytest.raises(ValueError, match=r"call|damage"):
        Fault(*fault)
