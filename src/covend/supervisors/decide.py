"""What a supervisor does about a death: tables and pure functions (S2, S4, S5, S8).

Nothing here starts or stops anything. The shell in ``supervisor.py`` tells the facts and carries
out the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from covend.runtime.exits import Exit
from covend.supervisors.specs import AutoShutdown, Restart, Strategy


class Action(Enum):
    """What is to be done about one death; the values are what the records say."""

    RESTART = "restart"
    """Restart it, with those whom the strategy takes along."""
    KEEP = "keep"
    """It ended as it should: its spec stays, it may be restarted by hand or by a sibling."""
    DROP = "drop"
    """It ended and is forgotten."""
    SHUT_DOWN = "auto_shutdown"
    """It was significant: its supervisor ends as well."""


@dataclass(frozen=True, slots=True)
class Member:
    """One child as the decision sees it; ``up`` also while it waits for a restart."""

    id: str
    restart: Restart
    significant: bool = False
    up: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A restart: stop these (right to left), forget those, start these (left to right) (S4)."""

    stop: tuple[str, ...]
    drop: tuple[str, ...]
    start: tuple[str, ...]


RESTARTED: dict[tuple[Restart, bool], bool] = {
    # (restart type, abnormal reason): restarted?
    ("permanent", False): True,
    ("permanent", True): True,
    ("transient", False): False,
    ("transient", True): True,
    ("temporary", False): False,
    ("temporary", True): False,
}

TAKEN_ALONG: dict[Strategy, Callable[[Sequence[Member], int], Sequence[Member]]] = {
    "one_for_one": lambda members, index: members[index : index + 1],
    "one_for_all": lambda members, _index: members,
    "rest_for_one": lambda members, index: members[index:],
}


def is_restarted(restart: Restart, reason: Exit) -> bool:
    """Whether a child of this restart type is restarted after it ended so (S5)."""
    return RESTARTED[restart, reason.abnormal]


def on_death(
    members: Sequence[Member], auto_shutdown: AutoShutdown, child: str, reason: Exit
) -> Action:
    """What to do about the death of ``child``, which ended by itself (S5)."""
    dead = members[_index(members, child)]
    if is_restarted(dead.restart, reason):
        return Action.RESTART
    if dead.significant and auto_shutdown != "never":
        others_up = any(m.up and m.significant for m in members if m.id != child)
        if auto_shutdown == "any_significant" or not others_up:
            return Action.SHUT_DOWN
    return Action.DROP if dead.restart == "temporary" else Action.KEEP


def plan(members: Sequence[Member], strategy: Strategy, child: str) -> Plan:
    """Whom a restart of ``child`` stops, forgets and starts, in which order (S2, S4).

    A temporary sibling that is taken down is never started again (S5).
    """
    group = TAKEN_ALONG[strategy](members, _index(members, child))
    return Plan(
        stop=tuple(m.id for m in reversed(group) if m.up and m.id != child),
        drop=tuple(m.id for m in group if m.restart == "temporary"),
        start=tuple(m.id for m in group if m.restart != "temporary"),
    )


def _index(members: Sequence[Member], child: str) -> int:
    return next(index for index, member in enumerate(members) if member.id == child)
