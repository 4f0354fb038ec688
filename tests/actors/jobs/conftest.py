"""A broker with one ghoul, and the steps that are under way."""

import pytest
from tests.actors.jobs.working import Calls, Stage

from covend.actors.jobs import ghoul as ghoul_module
from covend.runtime import SimSystem


@pytest.fixture
def calls(monkeypatch):
    calls = Calls()
    monkeypatch.setattr(ghoul_module, "threading", calls)
    monkeypatch.setattr(ghoul_module, "call_gate", calls.gate)
    return calls


@pytest.fixture
def stage(calls):
    with SimSystem(node="core") as system:
        yield Stage(system, calls)
