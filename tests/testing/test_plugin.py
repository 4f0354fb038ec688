"""The leak fixture catches each kind of leak by name, and lets what is tidy pass."""

import os
import signal

import pytest

LEAKY = """
import os, socket, subprocess, threading, time
from pathlib import Path

kept = []

def keep(thing, pid=None):
    kept.append(thing)
    if pid:
        with open("pids", "a") as file:
            file.write(f"{pid}\\n")

def test_leaks_a_thread():
    thread = threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True)
    thread.start()

def test_leaks_a_file():
    keep(open("left-open", "w"))

def test_leaks_a_listening_socket():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    keep(listener)

def test_leaks_a_child():
    child = subprocess.Popen(["sleep", "61"])
    keep(child, child.pid)

def test_leaks_a_zombie():
    child = subprocess.Popen(["true"])
    keep(child)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

def test_leaks_an_orphan():
    shell = subprocess.run(
        ["sh", "-c", "setsid sleep 62 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE
    )
    keep(None, int(shell.stdout))
"""

TIDY = """
import os, socket, subprocess, threading

def test_nothing_happens():
    pass

def test_all_is_closed():
    left, right = socket.socketpair()
    left.close(), right.close()
    with open(os.devnull): pass
    subprocess.run(["true"], check=True)

def test_a_thread_that_is_about_to_end_gets_its_time():
    threading.Timer(0.05, lambda: None).start()

def test_a_cycle_of_garbage_is_collected_first():
    class Holder: pass
    holder = Holder()
    holder.me = holder
    holder.fds = socket.socketpair()
    holder.close = [end.detach() for end in holder.fds]
    class Closer:
        def __init__(self, fds): self.fds, self.me = fds, self
        def __del__(self): [os.close(fd) for fd in self.fds]
    Closer(holder.close)

def test_what_was_there_before_may_be_there_after(tmp_path_factory, older):
    assert older.poll() is None
"""

TIDY_CONFTEST = """
import subprocess, pytest

@pytest.fixture(scope="module")
def older():
    process = subprocess.Popen(["sleep", "63"])
    yield process
    process.kill()
    process.wait()
"""


@pytest.fixture
def inner(pytester):
    """A pytest of its own in a folder of its own, whose leaks do not outlive this test."""
    pytester.makeini("[pytest]\naddopts = -p covend.testing.plugin\nleak_seconds = 0.3")
    yield pytester
    pids = pytester.path / "pids"
    for pid in map(int, pids.read_text().split()) if pids.exists() else ():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # ended with the pytest that started it


def test_each_leak_fails_its_test_and_is_named(inner):
    inner.makepyfile(LEAKY)
    result = inner.runpytest_subprocess("-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(passed=6, errors=6)
    for line in (
        "*thread 'forgotten'*",
        "*descriptor *: */left-open*",
        "*descriptor *(tcp port *, listening)*",
        "*process *: sleep 61*",
        "*process *: a zombie that nobody waited for*",
        "*process *: sleep 62*",
    ):
        result.stdout.fnmatch_lines_random([line])


def test_what_is_tidy_passes(inner):
    inner.makeconftest(TIDY_CONFTEST)
    inner.makepyfile(TIDY)
    result = inner.runpytest_subprocess("-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(passed=5)
