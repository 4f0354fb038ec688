"""A seeded storm against real models: what can be known of their answers is held to."""

import os

import pytest
from tools.chaos.box import Box
from tools.chaos.clients import Load
from tools.chaos.nemesis import CORE_ACTORS, RAISE, schedule
from tools.chaos.real import RealStone
from tools.chaos.storm import storm

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("box"),
]

NODES = ["core", "core", "reactor", "gate-0", "soulstone:thinker", "soulstone:chatter"]
FAULTS = ("kill", "pause", *(RAISE + actor for actor in CORE_ACTORS))
PATIENT = {
    "whim": {"kappa": 2.0, "think": 0.1, "linger": 0.5, "inertia": {"titan": 0.3, "kinetic": 0.5}},
    "watchdog": {
        "health_seconds": 1.0,
        "stall_seconds": 10.0,
        "answer_seconds": 10.0,
        "quota_seconds": 5.0,
    },
}


def real_box():
    """Two chat models that exclude each other, beside a lexicon that stays."""
    stones = [
        RealStone("thinker", coven="thinker", memory=300, load=2.0, request=1.0),
        RealStone("chatter", coven="chatter", slots=4, memory=330, load=2.0, request=2.0),
        RealStone("lexicon", coven="", memory=240, load=1.0, request=1.0),
    ]
    return Box(stones, budget=800, tables=PATIENT, extra='lexical_reserve = "270MiB"')


def test_a_storm_over_real_models_breaks_no_promise():
    """W1, W3, G4, S16 on real models: whole answers or proper errors, nothing silently short."""
    seed = int(os.environ.get("COVEND_CHAOS_SEED", "7"))
    seconds = float(os.environ.get("COVEND_CHAOS_SECONDS", "45"))
    strikes = schedule(seed, seconds, NODES, FAULTS, gap=3.0)
    models = ["thinker", "chatter", "lexicon"]
    load = Load(models, clients=4, tokens=(3, 40), pause=0.3, deadline=120.0, numbered=False)
    with real_box() as box:
        verdict = storm(box, strikes, load, seconds, seed)
        print(f"seed {seed}, {seconds:g} s\n{verdict}")
        assert not verdict.wrong, f"seed {seed}:\n{verdict}\n{box.tail()}"
    full = {outcome.model for outcome in verdict.outcomes if outcome.kind == "full"}
    assert full == set(models)
