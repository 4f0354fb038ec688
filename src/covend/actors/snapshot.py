"""What ``covend status`` shows of the arbiter and the dispatcher, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covend.actors.admission.gates import usage
from covend.will import transition as table

if TYPE_CHECKING:
    from covend.actors.admission.dispatcher import Dispatcher
    from covend.actors.swaps.arbiter import Arbiter


def arbiter_snapshot(arbiter: Arbiter) -> dict[str, Any]:
    """Devices, covens, the transition and the last decision. Runs in the arbiter's thread."""
    return {
        "devices": [device_part(arbiter, name) for name in arbiter.model.devices],
        "covens": [coven_part(arbiter, name) for name in arbiter.model.covens]
        + always_part(arbiter),
        "transition": transition_part(arbiter),
        "decision": arbiter.decision.explain() if arbiter.decision else None,
    }


def device_part(arbiter: Arbiter, name: str) -> dict[str, Any]:
    memory = arbiter.residency.ledger.memory()
    reading = arbiter.reading
    return {
        "name": name,
        "capacity": reading.capacity.get(name, 0) if reading else 0,
        "used": reading.used.get(name, 0) if reading else 0,
        "budget": memory.budget.get(name, 0),
        "resident": [
            coven for coven in arbiter.residency.open if name in arbiter.model.covens[coven].devices
        ],
    }


def coven_part(arbiter: Arbiter, name: str) -> dict[str, Any]:
    residency, now = arbiter.residency, arbiter.ctx.now()
    state = "open" if name in residency.open else "cold"
    passage = arbiter.passage
    if passage is not None and name == passage.move.target:
        before = (table.PLANNED, table.PAUSING, table.DRAINING)
        state = "next" if passage.move.phase in before else passage.move.phase
    elif passage is not None and name in passage.move.evict:
        state = table.DRAINING if name in residency.open else "leaving"
    elif residency.quarantined.get(name, 0.0) > now:
        state = "quarantined"
    stones = sorted(arbiter.model.covens[name].soulstones)
    return {
        "name": name,
        "state": state,
        "devices": sorted(arbiter.model.covens[name].devices),
        "opened_for": now - residency.open[name] if name in residency.open else None,
        "soulstones": [stone_part(arbiter, stone) for stone in stones],
    }


def always_part(arbiter: Arbiter) -> list[dict[str, Any]]:
    """Lexicons and shared soulstones belong to no coven: they are shown as one (W4, W5)."""
    names = sorted((*arbiter.catalog.lexicons(), *arbiter.catalog.shared()))
    if not names:
        return []
    stones = [stone_part(arbiter, name) for name in names]
    return [
        {"name": "always", "state": "open", "devices": [], "opened_for": None, "soulstones": stones}
    ]


def stone_part(arbiter: Arbiter, name: str) -> dict[str, Any]:
    residency, reading = arbiter.residency, arbiter.reading
    pid = arbiter.hands.pids.get(name)
    if name in residency.ready:
        state = "closed" if name in residency.closed else "ready"
    else:
        state = "loading" if pid else "absent"
    measured = reading.soulstones.get(name, {}) if reading else {}
    return {
        "name": name,
        "state": state,
        "pid": pid,
        "memory": sum(measured.values()),
        "slots": arbiter.model.soulstones[name].slots,
    }


def transition_part(arbiter: Arbiter) -> dict[str, Any] | None:
    passage, now = arbiter.passage, arbiter.ctx.now()
    if passage is None:
        return None
    move = passage.move
    return {
        "id": move.id,
        "target": move.target,
        "evict": list(move.evict),
        "phase": move.phase,
        "since": now - (move.history[-1].at if move.history else move.planned_at),
        "attempt": arbiter.transitions.attempt.get(move.target, 1),
        "left": move.deadline - now if move.deadline is not None else None,
    }


def dispatcher_snapshot(dispatcher: Dispatcher) -> dict[str, Any]:
    """The queue, and slots in use and waited for. Runs in the dispatcher's thread."""
    now, gates = dispatcher.ctx.now(), dispatcher.gates.values()
    queue: dict[tuple[str, str], list[float]] = {}
    notes = [note for entry in gates for note in entry.signals.values()]
    waiting: dict[str, int] = {}
    for note in [*notes, *dispatcher.jobs.values()]:
        queue.setdefault((note.capability, note.klass), []).append(note.arrived)
        for stone in dispatcher.catalog.serving.get(note.capability, ()):
            waiting[stone] = waiting.get(stone, 0) + 1
    return {
        "queue": [
            {"capability": name, "class": klass, "count": len(times), "oldest": now - min(times)}
            for (name, klass), times in sorted(queue.items())
        ],
        "in_use": {name: sum(counts.values()) for name, counts in usage(gates)[0].items()},
        "waiting": waiting,
        "gates": sorted(dispatcher.gates),
    }
