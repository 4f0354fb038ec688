"""The observer sees each broken promise, and none where all is well."""

import os
import signal
import subprocess
import sys

import pytest
from tools.chaos.nemesis import FAULTS, Nemesis, Strike, schedule
from tools.chaos.observer import Observer, Promise
from tools.chaos.processes import MARK, Processes, node_of

from covend.testing import FakeSoulstone, eventually

MIB = 1024 * 1024
HOST = frozenset({"host"})


@pytest.fixture
def mark(monkeypatch, tmp_path):
    """Every process this test starts belongs to one box."""
    monkeypatch.setenv(MARK, str(tmp_path))
    return str(tmp_path)


def observer(mark, *, budget=1000 * MIB, journals=(), coexist=()):
    covens = {"chat": ("big", HOST), "embed": ("small", HOST), "helper": ("big", HOST)}
    return Observer(Processes(mark), Promise(covens, budget, journals, frozenset(coexist)))


def rules(watch):
    return {breach.rule for breach in watch.breaches}


def seen(watch, samples=5):
    at_least = watch.samples + samples
    eventually(lambda: watch.samples >= at_least, what="more samples")


def test_soulstones_of_one_coven_run_together_in_peace(mark):
    with FakeSoulstone("chat"), FakeSoulstone("helper"), observer(mark) as watch:
        seen(watch)
    assert watch.breaches == []
    assert watch.peak > 0


def test_two_exclusive_covens_on_a_device_are_a_breach(mark):
    """W3."""
    with FakeSoulstone("chat"), FakeSoulstone("embed"), observer(mark) as watch:
        eventually(lambda: watch.breaches, what="the breach is seen")
    assert rules(watch) == {"W3 one exclusive coven per device"}


def test_covens_declared_to_coexist_are_no_breach(mark):
    together = [frozenset({"big", "small"})]
    with FakeSoulstone("chat"), FakeSoulstone("embed"):
        with observer(mark, coexist=together) as watch:
            seen(watch)
    assert watch.breaches == []


def test_a_soulstone_that_runs_twice_is_a_breach(mark):
    with FakeSoulstone("chat"), FakeSoulstone("chat"), observer(mark) as watch:
        eventually(lambda: watch.breaches, what="the breach is seen")
    assert rules(watch) == {"W3 one process each"}


def test_memory_over_the_budget_is_a_breach(mark):
    """W1."""
    with FakeSoulstone("chat", memory_mib=30), observer(mark, budget=25 * MIB) as watch:
        eventually(lambda: watch.breaches, what="the breach is seen")
    assert rules(watch) == {"W1 memory within budget"}


def test_a_zombie_is_a_breach_after_a_while(mark, monkeypatch):
    """S16."""
    monkeypatch.setattr("tools.chaos.observer.ZOMBIE_SECONDS", 0.1)
    stone = FakeSoulstone("chat").start()
    try:
        with observer(mark) as watch:
            seen(watch)
            os.kill(stone.pid, signal.SIGKILL)
            eventually(lambda: watch.breaches, what="the breach is seen")
    finally:
        stone.kill()
    assert rules(watch) == {"S16 no zombies"}


def test_work_beyond_the_slots_and_a_stop_without_a_drain_are_breaches(mark, tmp_path):
    """W8 and W20, by the journal."""
    journal = tmp_path / "chat.jsonl"
    journal.write_text(
        '{"t": 1, "pid": 2, "event": "over_admitted"}\n'
        '{"t": 2, "pid": 2, "event": "stopping", "in_flight": 1}\n'
        '{"t": 3, "pid": 3, "event": "stopping", "in_flight": 0}\n'
    )
    with observer(mark, journals=[journal]) as watch:
        pass
    assert rules(watch) == {"W8 no more requests than slots", "W20 drained before stopped"}


def test_who_is_left_after_the_stop_is_a_breach(mark):
    """S16."""
    with observer(mark) as watch, FakeSoulstone("chat"):
        watch.check_gone()
    assert rules(watch) == {"S16 nothing left behind"}


def test_a_node_that_holds_ever_more_is_named(mark, tmp_path):
    script = tmp_path / "core.py"
    script.write_text("import os, sys; sys.stdin.read(1); [os.dup(0) for _ in range(40)]\n"
                      "print(1, flush=True); sys.stdin.read()")  # fmt: skip
    command = ["python3", str(script), "covend.boot", "core"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process, observer(mark) as watch:
        eventually(lambda: "core" in watch.census(), what="the node is seen")
        before = watch.census()
        assert watch.grown(before) == []
        process.stdin.write(b"x")
        process.stdin.flush()
        process.stdout.readline()
        (found,) = watch.grown(before)
        process.kill()
    assert found.startswith("core: ")


def test_a_schedule_is_its_seed():
    nodes = ["core", "gate-0", "soulstone:chat"]
    assert schedule(3, 60, nodes, list(FAULTS)) == schedule(3, 60, nodes, list(FAULTS))
    assert schedule(3, 60, nodes, list(FAULTS)) != schedule(4, 60, nodes, list(FAULTS))


def test_only_soulstones_are_asked_for_what_only_they_can_do():
    strikes = schedule(5, 200, ["core", "soulstone:chat"], list(FAULTS))
    assert {strike.fault for strike in strikes} == set(FAULTS)
    assert {s.node for s in strikes if ":" in s.fault} == {"soulstone:chat"}


def test_the_nemesis_kills_pauses_resumes_and_writes_it_down(mark):
    with FakeSoulstone("chat") as chat, FakeSoulstone("embed") as embed:
        strikes = [
            Strike(0.0, "soulstone:embed", "pause", 0.1),
            Strike(0.05, "soulstone:chat", "kill"),
            Strike(0.05, "gate-0", "kill"),
        ]
        with Nemesis(Processes(mark), strikes) as nemesis:
            eventually(lambda: state(embed.pid) == "T", what="the pause")
            assert nemesis.wait(5)
        assert chat.process.wait(5) == -signal.SIGKILL
        eventually(lambda: state(embed.pid) != "T", what="the resumption")
        hit = {struck.strike.node: struck.pid for struck in nemesis.history}
    assert hit == {"soulstone:embed": embed.pid, "soulstone:chat": chat.pid, "gate-0": None}


def test_a_nemesis_that_is_called_off_resumes_whom_it_paused(mark):
    with FakeSoulstone("chat") as chat:
        strikes = [Strike(0.0, "soulstone:chat", "pause", 600)]
        with Nemesis(Processes(mark), strikes):
            eventually(lambda: state(chat.pid) == "T", what="the pause")
        assert state(chat.pid) != "T"


def test_the_nemesis_gives_a_soulstone_a_fault_and_takes_it_away(mark, monkeypatch):
    monkeypatch.setattr("tools.chaos.nemesis._CLEAR_SECONDS", 0.1)
    with FakeSoulstone("chat") as chat:
        strikes = [Strike(0.0, "soulstone:chat", "hang:2")]
        with Nemesis(Processes(mark), strikes, {"chat": chat.port}) as nemesis:
            eventually(lambda: chat.stats()["faults"] == {"hang": 2.0}, what="the fault")
            assert nemesis.wait(5)
        assert chat.stats()["faults"] == {}


def test_nodes_are_known_by_their_command_lines():
    assert node_of(("python", "-m", "covend.boot", "ghoul-0", "--config", "x")) == "ghoul-0"
    assert node_of(("python", "-m", "tools.chaos.serve", "x")) == "root"
    assert node_of(("sleep", "1")) == "other"


def test_a_process_seen_before_its_exec_is_known_by_what_it_became(mark):
    """A child shows its parent's command line until then: a gate would pass for the root."""
    becomes = ["-c", "import time; time.sleep(60)", "covend.boot", "gate-0"]
    program = f"import os, sys; sys.stdin.read(); os.execv(sys.executable, ['python', *{becomes}])"
    processes = Processes(mark)
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
        try:
            eventually(lambda: processes.find("other"), what="it runs")
            assert processes.find("gate-0") is None
            child.stdin.close()
            eventually(lambda: processes.find("gate-0"), what="it became a gate")
            assert processes.find("other") is None
        finally:
            child.kill()
    assert processes.look() == []


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]
