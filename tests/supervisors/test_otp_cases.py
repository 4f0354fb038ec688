"""The OTP cases (S10): one table, every row on both runtimes.

A row is a sentence, a supervisor, and steps. Each step does something and says what the diary then
gains: ``+a`` a started, ``-a failed`` it ended so, ``restart a`` what the supervisor decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from supervised_world import World

from covend.runtime import StartFailed
from covend.supervisors import (
    FailedToStart,
    FindChild,
    RestartChild,
    StartChild,
    SupervisorSpec,
    TerminateChild,
)

Step = tuple[str, str, Sequence[str]]


@dataclass
class Row:
    sentence: str
    spec: Callable[[World], SupervisorSpec]
    started: Sequence[str]
    steps: Sequence[Step]
    ends: str | None = None
    failing: dict[str, int] = field(default_factory=dict)


def three(strategy: str = "one_for_one", **options: Any) -> Callable[[World], SupervisorSpec]:
    """Children a, b, c; options of one child as ``a={...}``, others of the supervisor."""
    own = {id: options.pop(id, {}) for id in "abc"}
    return lambda world: SupervisorSpec(
        "top",
        strategy,  # type: ignore[arg-type]
        [world.worker(id, **own[id]) for id in "abc"],
        **options,
    )


def nested(restart: str, **options: Any) -> Callable[[World], SupervisorSpec]:
    """A supervisor ``inner`` of one worker ``x``, which gives up at the first crash."""

    def build(world: World) -> SupervisorSpec:
        inner = SupervisorSpec("inner", children=[world.worker("x")], intensity=0, **options)
        return SupervisorSpec("top", children=[world.inner(inner, restart=restart)])

    return build


def stubborn(world: World) -> SupervisorSpec:
    children = [world.worker("a"), world.worker("b", "stubborn", shutdown=0.05)]
    return SupervisorSpec("top", "one_for_all", children)


ABC = ["+a", "+b", "+c"]
CBA = ["-c shutdown", "-b shutdown", "-a shutdown"]

ROWS = [
    Row(
        "a failed initial start stops what was started and is not retried",
        three(),
        ["+a", "+b", "failed_to_start c", "-b shutdown", "-a shutdown"],
        [],
        ends="failed to start",
        failing={"c": 1},
    ),
    Row(
        "with intensity 0 the first death ends the supervisor",
        three(intensity=0),
        ABC,
        [("crash", "b", ["-b failed", "escalate b", "-c shutdown", "-a shutdown"])],
        ends="escalated(failed(Boom: b))",
    ),
    Row(
        "one_for_one restarts the dead child alone, until there were too many",
        three(intensity=1),
        ABC,
        [
            ("crash", "b", ["-b failed", "restart b", "+b"]),
            ("crash", "a", ["-a failed", "escalate a", "-c shutdown", "-b shutdown"]),
        ],
        ends="escalated(failed(Boom: a))",
    ),
    Row(
        "one_for_all takes a temporary sibling down and does not start it again",
        three("one_for_all", b={"restart": "temporary"}),
        ABC,
        [
            ("crash", "a", ["-a failed", "restart a", "-c shutdown", "-b shutdown", "+a", "+c"]),
            ("crash", "c", ["-c failed", "restart c", "-a shutdown", "+a", "+c"]),
        ],
    ),
    Row(
        "rest_for_one restarts those to the right, stopped right to left, started left to right",
        three("rest_for_one"),
        ABC,
        [
            ("crash", "b", ["-b failed", "restart b", "-c shutdown", "+b", "+c"]),
            ("crash", "c", ["-c failed", "restart c", "+c"]),
        ],
    ),
    Row(
        "a start that keeps failing costs one restart each time and exhausts the supervisor",
        three(intensity=2),
        ABC,
        [
            ("fail", "b", []),
            (
                "crash",
                "b",
                [
                    "-b failed",
                    *["restart b", "failed_to_start b"] * 2,
                    "escalate b",
                    "-c shutdown",
                    "-a shutdown",
                ],
            ),
        ],
        ends="escalated(failed(Boom: b cannot start))",
    ),
    Row(
        "a later sibling that fails to start is tried again without those to its left",
        three("rest_for_one"),
        ABC,
        [
            ("fail once", "b", []),
            (
                "crash",
                "a",
                [
                    *["-a failed", "restart a", "-c shutdown", "-b shutdown", "+a"],
                    *["failed_to_start b", "restart b", "+b", "+c"],
                ],
            ),
        ],
    ),
    Row(
        "a later sibling that fails to start makes one_for_all begin anew",
        three("one_for_all"),
        ABC,
        [
            ("fail once", "b", []),
            (
                "crash",
                "a",
                [
                    *["-a failed", "restart a", "-c shutdown", "-b shutdown", "+a"],
                    *["failed_to_start b", "restart b", "-a shutdown", *ABC],
                ],
            ),
        ],
    ),
    Row(
        "a permanent inner supervisor that gave up is restarted",
        nested("permanent"),
        ["+x"],
        [("crash", "x", ["-x failed", "escalate x", "restart inner", "+x"])],
    ),
    Row(
        "a transient inner supervisor that gave up is restarted: escalated is abnormal",
        nested("transient"),
        ["+x"],
        [("crash", "x", ["-x failed", "escalate x", "restart inner", "+x"])],
    ),
    Row(
        "a transient inner supervisor that gave up as OTP's do is not restarted",
        nested("transient", otp_exact=True),
        ["+x"],
        [("crash", "x", ["-x failed", "escalate x", "keep inner"])],
    ),
    Row(
        "a temporary inner supervisor that gave up is forgotten",
        nested("temporary"),
        ["+x"],
        [("crash", "x", ["-x failed", "escalate x", "drop inner"])],
    ),
    Row(
        "a child that ignores its shutdown is a zombie, and its supervisor escalates",
        stubborn,
        ["+a", "+b"],
        [("crash", "a", ["-a failed", "restart a", "zombie b", "escalate b"])],
        ends="escalated(zombie)",
    ),
    Row(
        "any significant child that ends for good ends the supervisor",
        three(
            auto_shutdown="any_significant",
            a={"restart": "transient", "significant": True},
            b={"restart": "temporary", "significant": True},
        ),
        ABC,
        [
            ("crash", "a", ["-a failed", "restart a", "+a"]),
            ("finish", "a", ["-a normal", "auto_shutdown a", "-c shutdown", "-b shutdown"]),
        ],
        ends="shutdown",
    ),
    Row(
        "the last of all significant children ends the supervisor, however it ended",
        three(
            auto_shutdown="all_significant",
            a={"restart": "transient", "significant": True},
            b={"restart": "temporary", "significant": True},
        ),
        ABC,
        [
            ("finish", "a", ["-a normal", "keep a"]),
            ("crash", "b", ["-b failed", "auto_shutdown b", "-c shutdown"]),
        ],
        ends="shutdown",
    ),
    Row(
        "a significant child that was terminated by request ends nobody",
        three(auto_shutdown="any_significant", a={"restart": "transient", "significant": True}),
        ABC,
        [("terminate", "a", ["-a shutdown"])],
    ),
    Row(
        "two deaths at once under one_for_all are one restart",
        three("one_for_all", intensity=1),
        ABC,
        [
            (
                "murder",
                "m",
                [
                    *["+m", "-a failed", "-b failed", "restart a"],
                    *["-m shutdown", "-c shutdown", *ABC],
                ],
            )
        ],
    ),
    Row(
        "a transient child that ended well stays down, until a sibling's restart takes it along",
        three("one_for_all", b={"restart": "transient"}),
        ABC,
        [
            ("finish", "b", ["-b normal", "keep b"]),
            ("crash", "a", ["-a failed", "restart a", "-c shutdown", *ABC]),
            ("leave", "b", ["-b shutdown", "keep b"]),
        ],
    ),
    Row(
        "a permanent child is restarted even after a good end",
        three(),
        ABC,
        [("finish", "a", ["-a normal", "restart a", "+a"])],
    ),
    Row(
        "a temporary child is never restarted and is forgotten",
        three(a={"restart": "temporary"}),
        ABC,
        [("crash", "a", ["-a failed", "drop a"])],
    ),
    Row(
        "a terminated child stays down until it is started by request",
        three(),
        ABC,
        [("terminate", "b", ["-b shutdown"]), ("restart", "b", ["+b"])],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence.replace(" ", "_"))
def test_otp_case(row: Row, world: World) -> None:
    """S2–S6, S8, S10, S15: what the row says, exactly in this order."""
    world.failing.update(row.failing)
    if row.ends == "failed to start":
        with pytest.raises(StartFailed) as failure:
            world.supervise(row.spec(world))
        cause = failure.value.cause
        assert isinstance(cause, FailedToStart)
        assert cause.child == "c" and str(cause.cause) == "c cannot start"
        assert world.diary == row.started
        assert world.system.actors() == []
        return
    top = world.supervise(row.spec(world))
    expected = list(row.started)
    assert world.diary == expected
    for action, child, gains in row.steps:
        perform(world, top, action, child)
        expected += gains
        world.settle(top, len(expected))
        assert world.diary == expected, (action, child)
    assert "stale" not in [report.decision for report in world.reports], "no Down of the stopped"
    if row.ends is None:
        assert top.alive and not world.ends
    else:
        world.until(lambda: world.ends, "the supervisor's end")
        assert str(world.ends["top"]) == row.ends
        assert world.system.actors() == []


def perform(world: World, top: Any, action: str, child: str) -> None:
    match action:
        case "crash" | "finish" | "leave":
            world.system.address(child).tell(action)
        case "fail":
            world.failing[child] = 1000
        case "fail once":
            world.failing[child] = 1
        case "terminate":
            assert top.ask(TerminateChild(child), timeout=10) is True
            assert top.ask(FindChild(child), timeout=10).state == "stopped"
        case "restart":
            assert top.ask(RestartChild(child), timeout=10).incarnation == 2
        case "murder":
            spec = world.worker(child, "murderer", restart="temporary")
            top.ask(StartChild(spec), timeout=10)


def test_the_supervisors_own_stop_stops_children_right_to_left(world: World) -> None:
    """S4."""
    top = world.supervise(three()(world))
    top.stop()
    world.until(lambda: world.ends)
    assert str(world.ends["top"]) == "shutdown"
    assert world.diary == ABC + CBA
