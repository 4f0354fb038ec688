"""Commands that ask a running box."""

import json
import os
import subprocess
import sys

import pytest

from covend.protocol import Step, SubmitJob, SwapRequest
from covend.runtime.pidfd import ProcessId

from .conftest import STATUS, TREE


def test_status_shows_the_whole_box(box, covend):
    shown = covend("status", "--run-dir", box.run_dir).stdout
    for text in (
        "box test, core up 1 h 1 min, incarnation 7",
        "24 GiB",
        "3/4",
        "[red]embed",
        "reasoning",
        "1 min 5 s",
        "transition t-1: to night, draining for 2.0 s, attempt 1, 1 min 58 s left",
        "jobs: 1 queued, 2 running, 3 parked, 4 done, 5 failed",
        "last decision: decision swap, target night, reason D > I",
        "alert: chat was reset",
    ):
        assert text in shown


def test_status_is_given_to_programs_as_it_came(box, covend):
    assert json.loads(covend("status", "--run-dir", box.run_dir, "--json").stdout) == STATUS


@pytest.mark.parametrize("command", [("ps",), ("inbox",), ("responders",), ("keys", "list")])
def test_what_json_promises_is_true_of_lists_too(covend, command):
    told = " ".join(covend(*command, "--help").stdout.replace("│", " ").split())
    assert "Print one JSON value." in told and "JSON object" not in told


def test_a_box_file_that_cannot_be_read_is_said_in_words(covend, tmp_path):
    told = covend("status", "--config", tmp_path / "none.toml", status=2).stderr
    assert told.startswith(f"{tmp_path}/none.toml: cannot be read: No such file or directory; ")


def test_ps_shows_every_node_that_answers(box, covend):
    shown = covend("ps", "--run-dir", box.run_dir).stdout
    assert "core (pid 42)" in shown
    assert "covens  running  2 restarts" in shown
    assert "coven/day  running  9 in the mailbox" in shown


def test_ps_names_the_node_that_does_not_answer(box, covend):
    (box.run_dir / "wire" / "gate-0.sock").touch()
    found = json.loads(covend("ps", "--run-dir", box.run_dir, "--json").stdout)
    assert found[0] == TREE
    assert (found[1]["node"], list(found[1])) == ("gate-0", ["node", "error"])
    assert "gate-0: no answer" in covend("ps", "--run-dir", box.run_dir).stdout


def test_swap_says_how_it_ended(box, covend):
    shown = covend("swap", "day", "--run-dir", box.run_dir, "--timeout", "60").stdout
    assert shown == "day is open after 1.2 s (transition t-2)\n"
    assert box.asked == [SwapRequest(coven="day", timeout=60.0)]


def test_what_the_box_refuses_is_said_with_its_reason(box, covend):
    result = covend("swap", "dya", "--run-dir", box.run_dir, status=1)
    assert result.stderr == "covend: there is no coven 'dya'\n"


def test_no_answer_in_time_has_a_status_of_its_own(box, covend):
    result = covend("swap", "slow", "--run-dir", box.run_dir, "--timeout", "0.1", status=4)
    assert "console@core did not answer within 2.1 s" in result.stderr


def test_why_shows_the_reasons(box, covend):
    """W18."""
    shown = covend("why", "t-1", "--run-dir", box.run_dir).stdout
    assert "t-1" in shown
    assert "decision arbiter" in shown
    assert "D: 3.142" in shown


def test_a_job_is_a_list_of_chat_calls(box, covend):
    shown = covend("jobs", "submit", "chat", "one", "two", "--run-dir", box.run_dir)
    assert shown.stdout == "j-1\n"
    (job,) = box.asked
    assert (job.capability, job.klass) == ("chat", "ritual")
    assert [step.body["messages"][0]["content"] for step in job.steps] == ["one", "two"]


def test_a_job_can_come_from_a_file(box, covend, tmp_path):
    (tmp_path / "steps").write_text('{"path": "/v1/embeddings", "body": {"input": "x"}}\n\n')
    options = ("--file", "steps", "--class", "ingest", "--id", "mine", "--run-dir", box.run_dir)
    assert json.loads(covend("jobs", "submit", "e", *options, "--json").stdout) == {"id": "mine"}
    step = Step(path="/v1/embeddings", body={"input": "x"})
    assert box.asked == [SubmitJob(capability="e", steps=[step], klass="ingest", id="mine")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a job needs at least one prompt, or --file"),
        (("x", "--class", "high"), "no class 'high'; one of reflex, ritual, ingest, swarm"),
        (("--file", "none"), "none cannot be read: No such file or directory"),
        (("--file", "bad"), "bad:2: Object missing required field `body`"),
        (("--file", "relative"), "relative:1: path must begin with /, not 'v1'"),
    ],
)
def test_a_wrong_job_is_refused_before_the_box_is_asked(box, covend, tmp_path, arguments, said):
    (tmp_path / "bad").write_text('{"path": "/v1", "body": {}}\n{"path": "/v1"}\n')
    (tmp_path / "relative").write_text('{"path": "v1", "body": {}}\n')
    result = covend("jobs", "submit", "e", *arguments, "--run-dir", box.run_dir, status=2)
    assert said in result.stderr
    assert box.asked == []


def test_a_job_is_shown_by_its_id(box, covend):
    shown = covend("jobs", "show", "j-1", "--run-dir", box.run_dir).stdout
    assert "job j-1" in shown
    assert "status: done" in shown


def test_the_trace_of_all_processes_is_shown_and_exported(box, covend, tmp_path):
    """X2."""
    covend("why", "t-1", "--run-dir", box.run_dir)
    lines = covend("trace", "tail", "--actor", "console", "--run-dir", box.run_dir).stdout
    (received,) = [line for line in lines.splitlines() if "receive" in line]
    assert "WhyQuery" in received
    assert "TraceQuery" not in covend("trace", "tail", "--run-dir", box.run_dir).stdout
    number = received.partition("#")[2].split()[0]
    assert "WhyQuery" in covend("trace", "tree", f"#{number}", "--run-dir", box.run_dir).stdout
    assert "WhyQuery" in covend("trace", "why", number, "--run-dir", box.run_dir).stdout
    covend("trace", "export", "--perfetto", "out.json", "--run-dir", box.run_dir)
    assert json.loads((tmp_path / "out.json").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("why", "consle"), "no record speaks of a message to 'consle'; did you mean 'console'?"),
        (("why", "zero@core"), "a message to 'zero@core'; known here: console@core"),
        (("why", "99999999999"), "no record has the message id 99999999999; of "),
        (("tree", "99999999999"), "99999999999: the rings may have forgotten it; of "),
    ],
)
def test_what_the_trace_has_not_is_said_with_what_it_has(box, covend, arguments, said):
    """X2."""
    covend("why", "t-1", "--run-dir", box.run_dir)
    told = covend("trace", *arguments, "--run-dir", box.run_dir, status=1).stderr
    assert said in told and told.endswith(" (`covend trace tail` shows them)\n"), told
    if arguments[1].isdecimal():
        newest = told.partition("the newest is #")[2].partition(" ")[0]
        assert covend("trace", "tree", newest, "--run-dir", box.run_dir).stdout


@pytest.mark.parametrize("command", [("why", "nope"), ("tree", "1")])
def test_where_nothing_is_recorded_that_is_said(box, covend, monkeypatch, command):
    monkeypatch.setattr("covend.runtime.export.collect", lambda *_: [])
    told = covend("trace", *command, "--run-dir", box.run_dir, status=1).stderr
    assert told.endswith(": nothing is recorded\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tree", "x"), "'x' is no message number"),
        (("export",), "say what to write: --perfetto FILE"),
        (("tail", "--follow", "--json"), "--follow reads the running box and prints lines"),
        (("tail", "--dump", "none"), "a dump cannot be read"),
    ],
)
def test_a_wrong_question_about_the_trace_is_refused(covend, arguments, said):
    assert said in covend("trace", *arguments, status=2).stderr


@pytest.mark.parametrize("command", [["status"], ["ps"], ["swap", "x"], ["why", "x"], ["stop"]])
def test_without_a_running_box_the_status_is_three(covend, tmp_path, command):
    (tmp_path / "empty").mkdir()
    none = covend(*command, "--run-dir", tmp_path / "none", status=3)
    assert "no box is running: there is no folder" in none.stderr
    empty = covend(*command, "--run-dir", tmp_path / "empty", status=3)
    assert f"no box is running in {tmp_path}/empty (covend serve)" in empty.stderr


def test_a_box_that_was_killed_is_told_from_one_that_runs(box, covend):
    """A reused pid is not taken for the root: its create time is another."""
    box.identify(os.getpid(), 1.0)
    assert (
        "is gone: its root process" in covend("status", "--run-dir", box.run_dir, status=3).stderr
    )


def test_a_broken_identity_file_is_said(box, covend):
    (box.run_dir / "root.json").write_text("{")
    result = covend("status", "--run-dir", box.run_dir, status=3)
    assert "root.json does not say who runs the box" in result.stderr


def test_the_run_folder_comes_from_the_box_file_by_default(box, covend, tmp_path):
    device = '[[device]]\nname = "host"\n'
    stone = '[[soulstone]]\nname = "s"\nauthority = "shared"\nendpoint = "http://127.0.0.1:1"\n'
    (tmp_path / "covend.toml").write_text(f'run_dir = "{box.run_dir}"\n{device}{stone}')
    assert json.loads(covend("status", "--json").stdout) == STATUS


# ── stop ─────────────────────────────────────────────────────────────────────────────────────


IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def root(box):
    """A process that plays the root of the box, started with a line of code of its own."""
    started = []

    def start(code=""):
        code = f"import signal\n{code}\nprint('up', flush=True)\nsignal.pause()"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        identity = ProcessId.of(process.pid)
        box.identify(identity.pid, identity.create_time)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_stop_falls_back_to_a_signal_where_the_wire_is_silent(box, covend, root):
    process = root()
    told = json.loads(covend("stop", "--run-dir", box.run_dir, "--json").stdout)
    assert (told["stopped"], told["how"], told["pid"]) == (True, "SIGTERM", process.pid)
    assert process.wait(30) != 0


def test_stop_reports_a_root_that_will_not_go(box, covend, root, monkeypatch):
    monkeypatch.setattr("covend.cli.life.TERM_SECONDS", 0.1)
    process = root(IGNORES_TERM)
    result = covend("stop", "--run-dir", box.run_dir, "--timeout", "1", status=1)
    assert f"the root process {process.pid} is still there" in result.stderr
    assert f"kill -9 {process.pid}" in result.stderr
    assert process.poll() is None
