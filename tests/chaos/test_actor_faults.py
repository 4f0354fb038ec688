"""Every actor of the core raises once under load: supervision inside the core, seen from outside.

Unlike a kill of the core this takes down one actor and those that trust it (docs/architecture.md).
"""

import asyncio
import threading

import pytest
from tools.chaos.box import Box, Stone
from tools.chaos.clients import Load
from tools.chaos.nemesis import CORE_ACTORS, raise_in
from tools.chaos.storm import recover, warm_up

from covend.testing import eventually

pytestmark = [pytest.mark.xdist_group("box"), pytest.mark.timeout(120)]

VICTIMS = ("coven/talk", "soulstone/chat", *reversed(CORE_ACTORS))
GAP_SECONDS = 1.0
LIVELY = {
    "whim": {"kappa": 2.0, "think": 0.1, "linger": 0.5, "inertia": {"titan": 0.1, "kinetic": 0.2}},
    "watchdog": {
        "health_seconds": 0.5,
        "stall_seconds": 5.0,
        "answer_seconds": 5.0,
        "quota_seconds": 5.0,
    },
}


def test_each_actor_of_the_core_may_raise_under_load():
    """S2, S6, W3, W25: every request ends in full or in a proper error, and all goes on.

    So many deaths so fast may be more than the core's supervisor bears: then, once, the process
    gives up and a new one adopts the world.
    """
    stones = [
        Stone("chat", coven="talk", slots=4, load=0.2, tokens_per_second=200),
        Stone("code", coven="work", slots=1, load=0.2, tokens_per_second=400),
    ]
    load = Load(["chat", "code"], clients=5, tokens=(3, 40), deadline=30.0)
    with Box(stones, budget=200, tables=LIVELY) as box, box.observe() as watch:
        warm_up(box, load.models)
        cores, outcomes = set(), []
        seconds = GAP_SECONDS * len(VICTIMS) + 0.5
        client = threading.Thread(
            target=lambda: outcomes.extend(asyncio.run(load.run(box.port, seconds, 1)))
        )
        client.start()
        try:
            for victim in VICTIMS:
                cores.add(hit(box, victim))
                threading.Event().wait(GAP_SECONDS)
        finally:
            client.join(60)
        assert recover(box, load.models) == []
        cores.add(box.processes.find("core").process.pid)
        assert len(cores) <= 2, box.tail()
        assert {outcome.kind for outcome in outcomes} <= {"full", "error"}, bad(outcomes)
        assert sum(outcome.kind == "full" for outcome in outcomes) > len(outcomes) / 2
        box.stop()
        watch.check_gone()
    assert watch.breaches == []


def hit(box, victim):
    """Makes an actor raise, as soon as it is there; the pid of its process."""
    eventually(lambda: raise_in(box.run_dir, victim), 10, f"{victim} is there to be hit")
    return eventually(lambda: box.processes.find("core"), 10, "a core").process.pid


def bad(outcomes):
    return [outcome for outcome in outcomes if outcome.kind not in ("full", "error")]
