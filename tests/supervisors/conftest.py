"""The world of ``supervised_world`` as fixtures: on both runtimes, or on one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from supervised_world import World, world_of

from covend.runtime import SimSystem, ThreadSystem


@pytest.fixture(params=["threads", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One world per runtime: the same test runs in both."""
    system = ThreadSystem("test") if request.param == "threads" else SimSystem()
    with world_of(system) as world:
        yield world


@pytest.fixture
def sim() -> Iterator[World]:
    """A world with virtual time."""
    with world_of(SimSystem()) as world:
        yield world


@pytest.fixture
def threads() -> Iterator[World]:
    """A world with threads and processes."""
    with world_of(ThreadSystem("test")) as world:
        yield world
