"""The life of one transition as a table: which event leads from which phase to which.

There is one machine per transition and one transition at a time. The owner feeds events, carries
out the effects it gets back in their order, and sets one timer for the phase's deadline. Three
phases stand beside those of W19, because a failure after the intent was written must be undone
before it is over: ``compensating`` (admission stays closed until the world was observed, W24),
``restoring`` (the previous covens are started again) and ``cancelled`` (nobody wanted it any more,
W21). Everything that must hold of the machine is a property of ``TABLE``.

    planned → pausing → draining → signalled → transmuting → awakening → open
                 └────────┴─ failed, cancelled     └────────────┴─ compensating → restoring → failed
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

PLANNED = "planned"
PAUSING = "pausing"
DRAINING = "draining"
SIGNALLED = "signalled"
TRANSMUTING = "transmuting"
AWAKENING = "awakening"
COMPENSATING = "compensating"
RESTORING = "restoring"
OPEN = "open"
FAILED = "failed"
CANCELLED = "cancelled"

TERMINAL = frozenset({OPEN, FAILED, CANCELLED})

PHASES = {
    PLANNED: "decided and recorded; nothing has been touched",
    PAUSING: "admission to the affected covens is being closed",
    DRAINING: "what runs on the affected covens finishes its atomic step",
    SIGNALLED: "the intent is written; the reactor has not acted on it yet",
    TRANSMUTING: "the host is changing: the old goes, the new starts",
    AWAKENING: "the new is started and loads",
    COMPENSATING: "the attempt failed; admission stays closed until the world is known",
    RESTORING: "the previous covens are being started again",
    OPEN: "the target serves",
    FAILED: "the attempt failed and was undone as far as it can be",
    CANCELLED: "nobody wanted the target any more; the previous covens serve on",
}

EVENTS = {
    "begin": "the transition may start now",
    "paused": "every gate has closed admission",
    "confirmed": "drained, and the recheck says that the target is still wanted (W21)",
    "vanished": "nobody waits for the target any more (W21)",
    "taken": "the world shows that the reactor acts on the intent",
    "started": "the old is gone and the new runs",
    "refused": "the reactor refused the intent; nothing on the host changed",
    "awake": "the target is ready and its memory confirmed (W23)",
    "died": "a soulstone of the target died or broke its quota",
    "late": "the deadline of the phase has passed",
    "saw_target": "observation: the target is resident and ready",
    "saw_loading": "observation: the target runs but is not ready yet",
    "saw_previous": "observation: the previous covens are resident",
    "saw_neither": "observation: the devices hold neither as a whole",
    "restored": "the previous covens are ready again",
}

EFFECTS = {
    "close_admission": "tell every gate that the affected covens are closed (W20)",
    "soft_stop": "SIG_SOFT_STOP to gates and ghouls, with the drain's deadline (W20)",
    "write_intent": "write the intent file for the target (W22)",
    "await_ready": "poll the target's health fast (W23)",
    "open_target": "open admission on the target, note its opening time",
    "reopen": "open admission on the previous covens again",
    "observe": "look at the world: units, pids with create times, device memory (W24)",
    "write_restore": "write an intent for the previous covens (W24)",
    "settle": "open what is resident and ready, leave the rest closed",
    "count_failure": "note a failed attempt against the target (W24)",
    "defer": "note a late drain: the target is put off, not blamed (W24)",
    "alert": "alert the operator with the evidence (W27)",
}

TABLE: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    (PLANNED, "begin"): (PAUSING, ("close_admission",)),
    (PLANNED, "vanished"): (CANCELLED, ()),
    (PAUSING, "paused"): (DRAINING, ("soft_stop",)),
    (PAUSING, "vanished"): (CANCELLED, ("reopen",)),
    (PAUSING, "late"): (FAILED, ("reopen", "defer")),
    (DRAINING, "confirmed"): (SIGNALLED, ("write_intent",)),
    (DRAINING, "vanished"): (CANCELLED, ("reopen",)),
    # A late drain never cuts a stream: docs/decisions/0001-a-late-drain-reopens.md
    (DRAINING, "late"): (FAILED, ("reopen", "defer")),
    (SIGNALLED, "taken"): (TRANSMUTING, ()),
    (SIGNALLED, "started"): (AWAKENING, ("await_ready",)),
    (SIGNALLED, "refused"): (FAILED, ("reopen", "count_failure", "alert")),
    (SIGNALLED, "died"): (COMPENSATING, ("observe",)),
    (SIGNALLED, "late"): (COMPENSATING, ("observe",)),
    (TRANSMUTING, "started"): (AWAKENING, ("await_ready",)),
    (TRANSMUTING, "refused"): (COMPENSATING, ("observe",)),
    (TRANSMUTING, "died"): (COMPENSATING, ("observe",)),
    (TRANSMUTING, "late"): (COMPENSATING, ("observe",)),
    (AWAKENING, "awake"): (OPEN, ("open_target",)),
    (AWAKENING, "died"): (COMPENSATING, ("observe",)),
    (AWAKENING, "late"): (COMPENSATING, ("observe",)),
    (COMPENSATING, "saw_target"): (OPEN, ("open_target",)),
    (COMPENSATING, "saw_loading"): (RESTORING, ("write_restore", "count_failure", "alert")),
    (COMPENSATING, "saw_previous"): (FAILED, ("reopen", "count_failure", "alert")),
    (COMPENSATING, "saw_neither"): (RESTORING, ("write_restore", "count_failure", "alert")),
    (COMPENSATING, "late"): (COMPENSATING, ("observe", "alert")),
    (RESTORING, "restored"): (FAILED, ("reopen",)),
    (RESTORING, "saw_previous"): (FAILED, ("reopen",)),
    (RESTORING, "refused"): (FAILED, ("settle", "alert")),
    (RESTORING, "died"): (FAILED, ("settle", "alert")),
    (RESTORING, "late"): (FAILED, ("settle", "alert")),
}
"""(phase, event) → (next phase, effects). What is not here raises ``IllegalMove``."""


class Limits(msgspec.Struct, frozen=True):
    """Deadlines in seconds, and how often a target may fail (W19, W24)."""

    drain: float = 120.0
    host_action: float = 120.0
    awaken: float = 180.0
    attempts: int = 3

    def of(self, phase: str) -> float | None:
        """How long a phase may last; None for the terminal ones and before the begin (W19)."""
        if phase in (PAUSING, DRAINING):
            return self.drain
        if phase in (SIGNALLED, TRANSMUTING, COMPENSATING):
            return self.host_action
        if phase == AWAKENING:
            return self.awaken
        if phase == RESTORING:
            return self.host_action + self.awaken
        return None


class IllegalMove(ValueError):
    """An event that means nothing in this phase: a bug in the caller, or a stale report."""

    def __init__(self, transition: str, phase: str, event: str) -> None:
        expected = ", ".join(sorted(e for p, e in TABLE if p == phase)) or "nothing: it is over"
        super().__init__(
            f"transition {transition}: {event!r} in phase {phase}; expected {expected}"
        )
        self.phase = phase
        self.event = event


class Move(msgspec.Struct, frozen=True):
    """One line of a transition's history."""

    event: str
    phase: str
    at: float


class Transition(msgspec.Struct, frozen=True):
    """One swap under way: where it stands, until when, and how it came there.

    ``deadline`` is absolute, in monotonic seconds, and belongs to the phase (W19).
    """

    id: str
    target: str
    evict: tuple[str, ...]
    reason: str
    planned_at: float
    phase: str = PLANNED
    deadline: float | None = None
    history: tuple[Move, ...] = ()

    @property
    def over(self) -> bool:
        return self.phase in TERMINAL

    def expired(self, now: float) -> bool:
        """Whether the event ``late`` is due."""
        return self.deadline is not None and now >= self.deadline

    def knows(self, event: str) -> bool:
        """Whether this event means anything in this phase; hints may come when they do not."""
        return (self.phase, event) in TABLE


def move(
    transition: Transition, event: str, now: float, limits: Limits
) -> tuple[Transition, tuple[str, ...]]:
    """Take one event: the transition in its next phase, and the effects to carry out in order.

    Pausing and draining share one deadline: the drain's 120 s start with the pause. So do the host
    action's phases. Raises ``IllegalMove``.
    """
    entry = TABLE.get((transition.phase, event))
    if entry is None:
        raise IllegalMove(transition.id, transition.phase, event)
    phase, effects = entry
    allowed = limits.of(phase)
    if allowed is None:
        deadline = None
    elif (transition.phase, phase) in _SHARED_DEADLINE:
        deadline = transition.deadline
    else:
        deadline = now + allowed
    moved = msgspec.structs.replace(
        transition,
        phase=phase,
        deadline=deadline,
        history=(*transition.history, Move(event, phase, now)),
    )
    return moved, effects


_SHARED_DEADLINE = frozenset({(PAUSING, DRAINING), (SIGNALLED, TRANSMUTING)})


def observe(
    target: Collection[str],
    previous: Collection[str],
    running: Collection[str],
    ready: Collection[str],
) -> str:
    """Name what the world shows, as an event for a transition that must know (W24, W25).

    All arguments are names of soulstones: those of the target, those that were resident before,
    those whose process runs, those that answer their health check. An empty previous world is
    there as soon as nothing of the target runs.
    """
    running, ready = set(running), set(ready)
    strangers = running - set(target)
    if set(target) <= ready and not (strangers & set(previous)):
        return "saw_target"
    if set(previous) <= ready and not (running & (set(target) - set(previous))):
        return "saw_previous"
    if set(target) <= running and not (strangers & set(previous)):
        return "saw_loading"
    return "saw_neither"
