"""Every process of a box is killed at its worst moment; an observer outside keeps the score."""

import os
import signal

import pytest
from tools.chaos.box import Stone

from covend.testing import eventually

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")


@pytest.fixture(scope="module")
def box():
    stones = [
        Stone("chat", coven="talk", slots=4, load=0.2, tokens_per_second=200),
        Stone("code", coven="work", slots=1, load=1.0, tokens_per_second=200),
    ]
    with Live(stones, budget=200, tables=LIVELY) as box:
        yield box


@pytest.fixture
def watch(box):
    with box.observe() as watch:
        yield watch
    assert watch.breaches == []


def only(box, coven, stone):
    """Exactly this coven is open, and exactly its soulstone runs (W3)."""
    box.until_open(coven)
    running = [s.process.node for s in box.processes.look() if s.runs]
    assert [node for node in running if node.startswith("soulstone:")] == [f"soulstone:{stone}"]


@pytest.mark.parametrize("phase", ["draining", "transmuting", "awakening"])
def test_a_core_killed_in_mid_transition_loses_nobody(box, watch, clients, phase):
    """W25: the next core adopts what it finds and finishes or compensates; every wait is served."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    before = []
    if phase == "draining":
        before = [clients.ask(box, "chat", tokens=400) for _ in range(2)]
        box.until_busy("chat", 2)
    elif phase == "transmuting":
        box.fault("chat", "slow-stop:2.5")
    wanted = clients.ask(box, "code")
    box.until_phase(phase, "signalled") if phase == "transmuting" else box.until_phase(phase)
    core = box.kill("core")
    after = [clients.ask(box, "chat"), clients.ask(box, "code")]
    assert kinds([*before, wanted, *after]) == ["full"] * (len(before) + 3)
    box.until_reborn("core", core)
    eventually(lambda: not box.status()["transition"], 30, "the box is at rest")
    (name,) = box.open()
    only(box, name, {"talk": "chat", "work": "code"}[name])


def test_a_reactor_killed_in_mid_transmutation_loses_nobody(box, watch, clients):
    """W22, S16: the next reactor finds the intent or the world; the core asks again or undoes."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    box.fault("chat", "slow-stop:2.5")
    wanted = clients.ask(box, "code")
    box.until_phase("signalled", "transmuting")
    box.kill("reactor")
    assert kinds([wanted]) == ["full"]
    only(box, "work", "code")


def test_a_killed_gate_takes_its_clients_along_and_nothing_else(box, watch, clients):
    """docs/architecture.md: its clients see broken connections, the core forgets them."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    core, stone = box.pid("core"), box.pid("soulstone:chat")
    lost = [clients.ask(box, "chat", tokens=3000) for _ in range(4)]
    box.until_busy("chat", 4)
    lost += [clients.ask(box, "chat") for _ in range(3)]
    eventually(lambda: box.status()["queue"], 30, "three wait")
    gate = box.kill("gate-0")
    assert all(kind.startswith("broken") for kind in kinds(lost))
    box.until_reborn("gate-0", gate)
    eventually(box.answers, 30, "the new gate answers")
    eventually(lambda: not box.status()["queue"], 30, "their demand is forgotten")
    assert kinds([clients.ask(box, "chat"), clients.ask(box, "code")]) == ["full", "full"]
    assert box.pid("core") == core
    assert stone in {line["pid"] for line in box.written("chat", "stopping")}, "drained, not killed"


def test_a_killed_ghoul_worker_loses_only_the_step_it_was_in(box, watch, clients):
    """P4, S17: every result once, in order; what was durable is not asked for again."""
    assert kinds([clients.ask(box, "code")]) == ["full"]
    job = box.submit("code", steps=6, tokens=40)
    box.until_job(job, lambda job: job["done"] >= 2, "two steps are done")
    box.kill("ghoul-0")
    story = box.until_job(job, lambda job: job["status"] == "done", "the job is done")
    assert [r["usage"]["completion_tokens"] for r in story["results"]] == list(range(40, 46))
    keys = [line["key"] for line in box.written("code", "request") if line["key"]]
    asked = [keys.count(f"{job}/{index}") for index in range(6)]
    assert min(asked) == 1
    assert sum(asked) <= 7, asked


@pytest.mark.parametrize("core_dies", [False, True])
def test_a_job_parked_by_a_swap_goes_on_after_it_and_repeats_nothing(
    box, watch, clients, core_dies
):
    """S17, W20, P4: parked at its boundary; each step is asked once, across a core's death too."""
    assert kinds([clients.ask(box, "code")]) == ["full"]
    job = box.submit("code", steps=12, tokens=40)
    box.until_job(job, lambda job: job["done"] >= 2, "two steps are done")
    wanted = clients.ask(box, "chat", tokens=300)
    box.until_job(job, lambda job: job["parked"] >= 1, "the job is parked")
    if core_dies:
        box.until_busy("chat", 1)
        core = box.kill("core")
        box.until_reborn("core", core)
    assert kinds([wanted]) == ["full"]
    story = box.until_job(job, lambda job: job["status"] == "done", "the job is done", 40)
    assert [r["usage"]["completion_tokens"] for r in story["results"]] == list(range(40, 52))
    keys = [line["key"] for line in box.written("code", "request") if line["key"]]
    assert [keys.count(f"{job}/{index}") for index in range(12)] == [1] * 12


def test_a_stopped_core_is_no_dead_one_and_harms_no_warm_request(box, watch, clients):
    """W8: a warm request needs nobody but its gate and its soulstone."""
    assert kinds([clients.ask(box, "chat")]) == ["full"]
    core = box.pid("core")
    os.kill(core, signal.SIGSTOP)
    try:
        assert kinds([clients.ask(box, "chat") for _ in range(4)]) == ["full"] * 4
    finally:
        os.kill(core, signal.SIGCONT)
    assert kinds([clients.ask(box, "code")]) == ["full"]
    assert box.pid("core") == core
