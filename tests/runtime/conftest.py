"""Both systems for every test of the runtime, and how to wait on either."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from covend.runtime import SimSystem, System, ThreadSystem


@pytest.fixture(params=["threads", "sim"])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system that is shut down afterwards: first on threads, then simulated."""
    with ThreadSystem() if request.param == "threads" else SimSystem() as made:
        yield made


@pytest.fixture
def until(system: System) -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition: in virtual time, or by looking again up to ten real seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        if isinstance(system, SimSystem):
            system.run(condition)
            return
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in 10 s"
            time.sleep(0.001)

    return wait
