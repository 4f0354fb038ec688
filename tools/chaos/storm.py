"""One run of faults under load, and its verdict: a load, a nemesis and an observer at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException

from covend.testing import eventually
from tools.chaos.box import Box
from tools.chaos.clients import Load, Outcome
from tools.chaos.nemesis import Nemesis, Strike, Struck
from tools.chaos.observer import Breach, Observer

REBIRTH_SECONDS = 10.0
"""How long a killed gate may refuse connections before its clients call that a violation."""

RECOVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened, and everything that should not have."""

    outcomes: Sequence[Outcome]
    history: Sequence[Struck]
    breaches: Sequence[Breach]
    unrecovered: Sequence[str]
    samples: int
    peak: int

    @property
    def wrong(self) -> list[str]:
        """Every violation in words; empty when covend kept all its promises."""
        found = [
            f"{breach.rule} at {breach.time:.3f}: {breach.evidence}" for breach in self.breaches
        ]
        for outcome in self.outcomes:
            if outcome.kind == "violation" or (
                outcome.kind == "broken" and not gate_struck(outcome, self.history)
            ):
                found.append(f"request {outcome.number} ({outcome.model}) at {outcome.begun:.3f}"
                             f"–{outcome.ended:.3f}: {outcome.kind}, {outcome.detail}")  # fmt: skip
        return [*found, *self.unrecovered]

    def __str__(self) -> str:
        ends = Counter(outcome.kind for outcome in self.outcomes)
        strikes = Counter(f"{struck.strike.node} {struck.strike.fault}" for struck in self.history)
        longest = max((outcome.seconds for outcome in self.outcomes), default=0.0)
        lines = [
            f"{len(self.outcomes)} requests: {dict(ends)}; the longest took {longest:.2f} s",
            f"{len(self.history)} faults: {dict(strikes)}",
            f"{self.samples} samples; soulstones' memory at most {self.peak / 2**20:.0f} MiB",
            *(f"WRONG {line}" for line in self.wrong),
        ]
        return "\n".join(lines)


def gate_struck(outcome: Outcome, history: Sequence[Struck]) -> bool:
    """Whether a gate was killed while a request was under way, or was still to be reborn."""
    kills = [
        struck.time
        for struck in history
        if struck.strike.node.startswith("gate-") and struck.strike.fault == "kill"
    ]
    # Only a refused connection may come after the kill: what was accepted must be answered.
    grace = REBIRTH_SECONDS if "ConnectionRefused" in outcome.detail else 0.05
    return any(outcome.begun - grace <= kill <= outcome.ended for kill in kills)


def storm(box: Box, strikes: Sequence[Strike], load: Load, seconds: float, seed: int) -> Verdict:
    """Strikes a running box under load, waits for it to recover, stops it, judges it.

    Blocks the calling thread for ``seconds`` and what the recovery and the stop take.
    """
    ports = {name: stone.port for name, stone in box.stones.items()}
    with box.observe() as watch:
        warm_up(box, load.models)
        before = watch.census()
        with Nemesis(box.processes, strikes, ports, box.run_dir) as nemesis:
            outcomes = asyncio.run(load.run(box.port, seconds, seed))
        unrecovered = recover(box, load.models) + settle(watch, before)
        box.stop()
        watch.check_gone()
    return Verdict(
        outcomes, nemesis.history, watch.breaches, unrecovered, watch.samples, watch.peak
    )


def warm_up(box: Box, models: Sequence[str]) -> None:
    """Each model answers once, so that what is lazily opened is open before it is counted."""
    for model in models:
        status, answer = box.chat(model, seconds=RECOVERY_SECONDS)
        assert status == 200, f"{model} before any fault: {status} {answer}\n{box.tail()}"


def recover(box: Box, models: Sequence[str]) -> list[str]:
    """Every model must answer again once the faults are over; those that do not, in words."""
    lost: list[str] = []
    for model in models:
        deadline = time.monotonic() + RECOVERY_SECONDS
        last = "nothing was tried"
        while time.monotonic() < deadline:
            try:
                status, answer = box.chat(model, seconds=max(1.0, deadline - time.monotonic()))
            except (OSError, HTTPException, ValueError) as error:
                last = repr(error)
            else:
                if status == 200:
                    break
                last = f"{status}: {answer}"
            threading.Event().wait(0.2)
        else:
            lost.append(f"{model} does not answer {RECOVERY_SECONDS:g} s after the faults: {last}")
    return lost


def settle(watch: Observer, before: dict[str, tuple[int, int]]) -> list[str]:
    """No node may hold notably more than before the faults, after some time to let go."""
    try:
        eventually(lambda: not watch.grown(before), 10.0, "the nodes hold no more than before")
    except AssertionError:
        return [f"leaked: {line}" for line in watch.grown(before)]
    return []
