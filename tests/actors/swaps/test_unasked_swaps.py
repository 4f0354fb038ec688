"""Swaps that are decided though nobody waits: a larger tier comes back (W6, W21)."""

import pytest
from tests.actors.stage import heard
from tests.actors.swaps.test_arbiter import Stage

from covend.actors.messages import ServiceLearned
from covend.actors.swaps.coven import SoftStopCoven
from covend.config import Role
from covend.runtime import SimSystem


@pytest.fixture
def stage(monkeypatch, tmp_path):
    roles = (Role(name="writer", tiers=("b", "a")),)
    with SimSystem(node="core", start=1000.0) as system:
        yield Stage(system, monkeypatch, tmp_path, alive=("a",), role=roles)


def test_a_larger_tier_comes_back_also_while_nobody_waits(stage):
    """W6; W21: only a demand that was there can have vanished."""
    for _ in range(4):
        stage.tell(ServiceLearned("a", "writer", "reflex", 1.0), seconds=20.0)
    stage.tell(stage.demand())
    assert stage.phase() == "draining"
    stage.confirm()
    assert stage.phase() == "signalled" and stage.intents[-1].target == ("b",)
    stage.act()
    stage.ready("b")
    assert stage.phase() is None and stage.open() == {"b"}
    assert len(heard(stage.coven, SoftStopCoven)) == 1
