"""A whole box under seeded faults and mixed load, judged by an observer outside it."""

import asyncio
import http.client
import json
import os
import signal

import pytest
from tools.chaos.box import Box, Stone
from tools.chaos.clients import Load, Plan, ask
from tools.chaos.nemesis import CORE_ACTORS, FAULTS, RAISE, schedule
from tools.chaos.storm import storm

from covend.testing import eventually

pytestmark = pytest.mark.xdist_group("box")

NODES = ["core", "core", "reactor", "gate-0", "ghoul-0", "soulstone:chat", "soulstone:code"]
LIVELY = {
    "whim": {"kappa": 2.0, "think": 0.1, "linger": 0.5, "inertia": {"titan": 0.1, "kinetic": 0.2}},
    "watchdog": {
        "health_seconds": 0.5,
        "stall_seconds": 3.0,
        "answer_seconds": 3.0,
        "quota_seconds": 2.0,
    },
}


def lively_box():
    """Two covens that exclude each other, with loads and swaps of fractions of a second."""
    stones = [
        Stone("chat", coven="talk", slots=4, load=0.3, tokens_per_second=200),
        Stone("code", coven="work", slots=1, load=0.3, tokens_per_second=400),
    ]
    return Box(stones, budget=200, tables=LIVELY)


def run_storm(seed, seconds, faults=tuple(FAULTS), gap=1.5):
    strikes = schedule(seed, seconds, NODES, faults, gap)
    load = Load(["chat", "code"], clients=6, tokens=(3, 60), deadline=90.0)
    with lively_box() as box:
        verdict = storm(box, strikes, load, seconds, seed)
        print(f"seed {seed}, {seconds:g} s\n{verdict}")
        assert not verdict.wrong, f"seed {seed}:\n{verdict}\n{box.tail()}"
    assert any(outcome.kind == "full" for outcome in verdict.outcomes)
    return verdict


def test_killing_the_core_breaks_no_stream():
    """W8: the gate goes on with what it last heard."""

    async def streams_across_a_kill(box):
        plans = [Plan(number, "chat", True, 300) for number in range(4)]
        tasks = [asyncio.create_task(ask(box.port, plan)) for plan in plans]
        await asyncio.to_thread(eventually, lambda: stats(box)["in_flight"] == 4)
        core = box.processes.find("core").process.pid
        os.kill(core, signal.SIGKILL)
        during = await ask(box.port, Plan(9, "chat", True, 3))
        return core, during, await asyncio.gather(*tasks)

    with lively_box() as box, box.observe() as watch:
        assert box.chat("chat")[0] == 200
        stone = box.processes.find("soulstone:chat").process.pid
        core, during, outcomes = asyncio.run(streams_across_a_kill(box))
        assert [outcome.kind for outcome in outcomes] == ["full"] * 4, outcomes
        assert during.kind == "full", during
        eventually(lambda: born_after(box, core), 15, "a new core")
        assert box.processes.find("soulstone:chat").process.pid == stone
        assert box.chat("code")[0] == 200
        box.stop()
        watch.check_gone()
    assert watch.breaches == []


def test_a_short_storm_breaks_no_promise():
    """W1, W3, W8, W20, G4, S16, all at once."""
    run_storm(seed=int(os.environ.get("COVEND_CHAOS_SEED", "1")), seconds=10.0)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(10, 16))
def test_a_long_storm_breaks_no_promise(seed):
    seconds = float(os.environ.get("COVEND_CHAOS_SECONDS", "60"))
    run_storm(seed, seconds, faults=(*FAULTS, *(RAISE + actor for actor in CORE_ACTORS)))


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_storm_of_kills_alone_breaks_no_promise():
    run_storm(seed=100, seconds=45.0, faults=("kill",), gap=0.7)


def stats(box):
    """What the soulstone itself says."""
    connection = http.client.HTTPConnection("127.0.0.1", box.stones["chat"].port, timeout=5)
    try:
        connection.request("GET", "/stats")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def born_after(box, old):
    sight = box.processes.find("core")
    return sight is not None and sight.process.pid != old
