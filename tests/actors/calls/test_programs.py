"""Calls that a command or a function answers: what is said, and what it costs (P8, P13)."""

import os
import queue
import subprocess
import sys

import pytest
from tests.actors.running import World, query

from covend.actors.calls import programs, replies
from covend.actors.calls.pipes import COMPLAINT_BYTES, kill_session, talk

PRICE = 0.25


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


def command(world, *argv, **more):
    world.other(name="cmd", kind="system", command=list(argv), **more)


def said(script, told=b"", seconds=10.0, most=1 << 24):
    """What a shell says that runs this."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, **pipes) as process:
        try:
            return talk(process, told, seconds, most)
        finally:
            kill_session(process.pid)


@pytest.mark.parametrize("script", [
    "echo done; sleep 60 &",
    "sleep 60 & echo done",
    "echo done; sleep 60 >/dev/null &",
    "echo done; exec >&- 2>&-; read line",
])  # fmt: skip
def test_what_a_program_said_is_complete_once_it_has_ended(script):
    """What it leaves running holds its streams, and may do so for ever."""
    assert said(script, b"a line\n", seconds=20).output == b"done\n"


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_all_that_a_program_says_before_it_ends_is_heard(size):
    """Also what it says last, and what is still in the pipe when it is gone."""
    script = f"head -c {size} /dev/zero >&2; head -c {size} /dev/zero; sleep 60 &"
    heard = said(script)
    assert len(heard.output) == size
    assert len(heard.complaint) == min(size, COMPLAINT_BYTES)


def test_what_is_in_the_pipes_when_a_program_has_ended_is_heard_to_its_end():
    """Also where that is more than is read at once, and nobody ever closes them."""
    script = "for to in 1 2; do head -c 300000 /dev/zero >&$to; echo end >&$to; done; sleep 60 &"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(
        ["sh", "-c", script], start_new_session=True, pipesize=1 << 20, **pipes
    ) as process:
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            heard = talk(process, b"", 10.0, 1 << 24)
        finally:
            kill_session(process.pid)
    assert len(heard.output) == 300_004
    assert heard.complaint.endswith(b"end\n")


def test_a_program_that_closes_its_streams_is_still_waited_for():
    with pytest.raises(TimeoutError):
        said("exec <&- >&- 2>&-; sleep 60", seconds=0.2)


def test_a_program_may_leave_something_running(world):
    """Its answer counts at once, and what it left is ended."""
    command(world, "sh", "-c", "echo done; sleep 60 &")
    with world.core() as core:
        know = core.run(query("cmd", side_effects={"max_latency_secs": 20}))
    assert know["answer"] == "done"


def test_a_program_that_was_waited_for_is_never_killed(monkeypatch):
    """S16: its number may be another's by then, who would be killed with all of its group."""
    killed, heard = [], queue.SimpleQueue()

    def kill(leader):
        killed.append(os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT).si_pid)
        kill_session(leader)

    monkeypatch.setattr(programs, "kill_session", kill)
    program = programs.Program(("echo", "done"), {}, 10.0, heard.put)
    assert heard.get(timeout=10).body == "done"
    program.cancel()
    assert len(killed) == 1


def test_a_file_that_may_not_be_run_is_no_missing_one(world, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("echo done")
    command(world, str(plain))
    with world.core() as core:
        problem = core.run(query("cmd"))["partial"][0]["problem"]
    assert problem.startswith("PermissionError")
    assert str(plain) in problem


def test_what_a_program_says_is_utf_8(world):
    """P11: half of it would be made up; a BOM is no part of it."""
    command(world, "printf", r"\357\273\277M\303\274ller")
    world.other(name="old", kind="system", command=["printf", r"M\374ller"])
    with world.core() as core:
        assert core.run(query("cmd"))["answer"] == "Müller"
        partial = core.run(query("old"))["partial"][0]
    problem = "the answer is not UTF-8: byte 1 is 0xfc"
    assert (partial["status"], partial["problem"]) == ("invalid", problem)


@pytest.mark.parametrize(("argv", "status"), [
    (["sh", "-c", "exit 3"], "error"),
    (["sh", "-c", "kill -9 $$"], "error"),
    (["printf", r"\377"], "invalid"),
    (["yes"], "invalid"),
])  # fmt: skip
def test_a_paid_program_that_fails_had_the_work(world, monkeypatch, argv, status):
    """P13: it may have done it, and bill it."""
    monkeypatch.setattr(replies, "MAX_ANSWER_BYTES", 1000)
    command(world, *argv, cost={"per_call": PRICE})
    with world.core() as core:
        know = core.run(query("cmd", side_effects={"max_cost_usd": 0.4}))
    assert know["cost"] == {"settled": PRICE, "reserved": 0, "overrun": 0}
    assert know["partial"][0]["status"] == status


def test_a_paid_program_that_never_began_costs_nothing(world):
    """P13: nobody had the work."""
    command(world, "/nonexistent/program", cost={"per_call": PRICE})
    with world.core() as core:
        assert core.run(query("cmd"))["cost"] == {"settled": 0, "reserved": 0, "overrun": 0}


def test_a_function_that_wants_to_end_the_process_ends_its_call(world):
    """P8: it is heard of at once, and its thread goes on to the next."""
    world.scripted("quits", lambda asked: sys.exit("enough"))
    world.scripted("paid", lambda asked: sys.exit(3), cost={"per_call": PRICE})
    with world.core() as core:
        partial = core.run(query("quits"))["partial"][0]
        know = core.run(query("paid", side_effects={"max_cost_usd": 0.4}))
    assert (partial["status"], partial["problem"]) == ("error", "SystemExit: enough")
    assert know["cost"]["settled"] == PRICE
