"""Specs are refused when they cannot hold (S1), and say what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from covend.runtime import Actor
from covend.supervisors import ChildSpec, DynamicSpec, ProcessSpec, SpecError, SupervisorSpec

PROCESS = ProcessSpec(["true"])
START = (Actor,)


def test_defaults_fit_the_kind_of_child() -> None:
    """S1: a thread gets a second, a supervisor what its children need."""
    worker, process = ChildSpec("w", START), ChildSpec("p", PROCESS)
    supervisor = ChildSpec("s", START, kind="supervisor")
    assert [c.kind for c in (worker, process, supervisor)] == ["worker", "process", "supervisor"]
    assert [c.shutdown for c in (worker, process, supervisor)] == [1.0, 1.0, "infinity"]
    assert worker.name == "w" and ChildSpec("w", START, name="known").name == "known"
    SupervisorSpec("top", children=[worker, process, supervisor])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"id": ""}, "without an id"),
        ({"restart": "always"}, "restart is 'always': give one of permanent, transient, temporary"),
        ({"kind": "thread"}, "kind is 'thread'"),
        ({"kind": "process"}, "does not fit its start"),
        ({"start": PROCESS, "kind": "worker"}, "does not fit its start"),
        ({"start": Actor()}, "start is"),
        ({"start": ("Actor",)}, "start is"),
        ({"start": (Actor, {"a": 1})}, "start is"),
        ({"significant": True}, "significant and permanent"),
        ({"shutdown": "brutal_kill"}, "a thread cannot be killed"),
        ({"shutdown": "brutal_kill", "kind": "supervisor"}, "a thread cannot be killed"),
        ({"shutdown": "infinity"}, "only a supervisor"),
        ({"start": PROCESS, "shutdown": "infinity"}, "only a supervisor"),
        ({"shutdown": 0}, "seconds > 0"),
        ({"shutdown": -1.0}, "seconds > 0"),
        ({"shutdown": float("nan")}, "seconds > 0"),
        ({"shutdown": float("inf")}, "seconds > 0"),
        ({"shutdown": "soon"}, "shutdown is 'soon'"),
    ],
)
def test_a_child_spec_that_cannot_hold_is_refused(wrong: dict[str, Any], says: str) -> None:
    """S1."""
    with pytest.raises(SpecError, match=says):
        ChildSpec(**{"id": "x", "start": START, **wrong})


def test_a_process_may_be_killed_at_once() -> None:
    """S1: brutal_kill is for processes."""
    assert ChildSpec("p", PROCESS, shutdown="brutal_kill").shutdown == "brutal_kill"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"strategy": "simple"}, "strategy is 'simple'"),
        ({"auto_shutdown": "maybe"}, "auto_shutdown is 'maybe'"),
        ({"intensity": -1}, "intensity is -1"),
        ({"period": 0}, "period is 0"),
        ({"children": [ChildSpec("x", START), ChildSpec("x", START)]}, "the id x"),
        (
            {"children": [ChildSpec("x", START, name="n"), ChildSpec("y", START, name="n")]},
            "the name n",
        ),
        (
            {"children": [ChildSpec("x", START, "transient", significant=True)]},
            "auto_shutdown is 'never'",
        ),
        ({"children": [ChildSpec("x", START, shutdown=2.0)]}, "less than 1.66667 s, or a period"),
        ({"children": [ChildSpec("x", START, shutdown=1.0)], "intensity": 5}, "period of more"),
    ],
)
def test_a_supervisor_spec_that_cannot_hold_is_refused(wrong: dict[str, Any], says: str) -> None:
    """S1: also a shutdown so slow that restarts could never reach the intensity."""
    with pytest.raises(SpecError, match=says):
        SupervisorSpec("top", **wrong)


def test_slow_shutdowns_hold_where_no_restart_is_counted() -> None:
    SupervisorSpec("top", children=[ChildSpec("x", START, shutdown=60.0)], intensity=0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_children": 0}, "max_children is 0"),
        ({"child": ChildSpec("t", START, "transient", significant=True)}, "cannot be significant"),
        ({"child": ChildSpec("t", START, shutdown=9.0)}, "its template"),
        ({"period": -1}, "period is -1"),
    ],
)
def test_a_dynamic_spec_that_cannot_hold_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        DynamicSpec(**{"name": "many", "child": ChildSpec("t", START), **wrong})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"argv": []}, "argv is"),
        ({"argv": "sleep 1"}, "give a list"),
        ({"ready": "soon"}, "ready is 'soon'"),
        ({"ready_seconds": 0}, "ready_seconds is 0"),
    ],
)
def test_a_process_spec_that_cannot_hold_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        ProcessSpec(**{"argv": ["true"], **wrong})
