"""Whim, exhaustive service, eager swapping and the exact optimum, over seeded random traces.

Short traces of 10 to 12 requests are compared with the clairvoyant optimum, long ones of 600 with
exhaustive service. In both, every request draws its model and class by itself; ``apart`` is a
harder family for a rule that guards interactive work: all of it on one model, all else on others.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from itertools import chain
from statistics import mean

from covend.will.eager import Eager
from covend.will.model import CLASSES, Model
from covend.will.state import State
from covend.will.whim import Whim
from tools.bench.figures import Figure, at_most, exactly, observed, percentile
from tools.bench.simulation import (
    Box,
    Exhaustive,
    Outcome,
    Trace,
    long_trace,
    optimum,
    short_trace,
    weighted_wait,
)

TITLE = "the default strategy against the optimum and against serving to exhaustion"

SEEDS_SHORT = 8
SEEDS_LONG = 3
LOADS = (0.5, 0.77, 0.87)
"""Shares of the device's time that service takes: an easy day, and the span where policies part.

Up to about 70 % every policy swaps in whatever time is left over, and the tails of interactive
waits come out alike (0.9 to 1.0 × exhaustive's); the figures per load show it.
"""
INTERACTIVE = (0.03, 0.1, 0.25, 0.5)


def run() -> dict[str, Figure]:
    """Ratios of weighted mean waits, averaged over the families of traces."""
    return {**short(), **long(), **apart()}


def short() -> dict[str, Figure]:
    ratios: dict[str, list[float]] = {"whim": [], "exhaustive": [], "eager": []}
    for models in (2, 3):
        for interactive in (0.1, 0.3, 0.5):
            for count in (10, 11, 12):
                for seed in range(SEEDS_SHORT):
                    rng = random.Random(f"short {models} {interactive} {count} {seed}")
                    trace = short_trace(rng, models, count, interactive)
                    best = optimum(trace)
                    for strategy in (Whim, Exhaustive, Eager):
                        wait = weighted_wait(trace, Box(trace, strategy).run())
                        ratios[strategy.name].append(wait / best)
    whim, exhaustive, eager = (mean(ratios[name]) for name in ("whim", "exhaustive", "eager"))
    return {
        "short_wait_over_optimum": at_most(
            whim, 2.4, "×", f"exhaustive {exhaustive:.2f}, eager {eager:.2f}"
        )
    }


def long() -> dict[str, Figure]:
    waits: dict[float, list[float]] = {load: [] for load in LOADS}
    tails: dict[float, list[float]] = {load: [] for load in LOADS}
    shares: dict[float, list[tuple[float, float]]] = {load: [] for load in LOADS}
    late = 0
    for models in (2, 3):
        for load in LOADS:
            for interactive in INTERACTIVE:
                for seed in range(SEEDS_LONG):
                    rng = random.Random(f"long {models} {load} {interactive} {seed}")
                    trace = long_trace(rng, models, 600, load, interactive)
                    ours, theirs = Box(trace, Whim).run(), Box(trace, Exhaustive).run()
                    waits[load].append(weighted_wait(trace, ours) / weighted_wait(trace, theirs))
                    tails[load].append(reflex_p95(trace, ours) / reflex_p95(trace, theirs))
                    shares[load].append((ours.swap_share, theirs.swap_share))
                    late += past_bound(trace, ours)
    share = mean(ours for row in shares.values() for ours, _ in row)
    reference = mean(theirs for row in shares.values() for _, theirs in row)
    figures = {
        "long_wait_over_exhaustive": at_most(mean(chain(*waits.values())), 2.0, "×"),
        "long_reflex_p95_over_exhaustive": at_most(mean(chain(*tails.values())), 0.8, "×"),
        "long_swap_share": at_most(100 * share, 35, "%", 100 * reference),
        "long_signals_past_bound": exactly(late, 0, "signals"),
    }
    for load in LOADS:
        ours, theirs = (mean(column) for column in zip(*shares[load], strict=True))
        at = f"long_at_{100 * load:.0f}_percent"
        figures[f"{at}_wait"] = observed(mean(waits[load]), "× exhaustive")
        figures[f"{at}_reflex_p95"] = observed(mean(tails[load]), "× exhaustive")
        figures[f"{at}_swap_share"] = observed(100 * ours, "%", 100 * theirs)
    return figures


def apart() -> dict[str, Figure]:
    """Interactive and background work on different models; no limit, but it should be seen."""
    waits: list[float] = []
    tails: list[float] = []
    for models in (2, 3):
        for load in LOADS:
            rng = random.Random(f"apart {models} {load}")
            trace = long_trace(rng, models, 600, load, 0.1, apart=True)
            ours, theirs = Box(trace, Whim).run(), Box(trace, Exhaustive).run()
            waits.append(weighted_wait(trace, ours) / weighted_wait(trace, theirs))
            tails.append(reflex_p95(trace, ours) / reflex_p95(trace, theirs))
    return {
        "apart_wait": observed(mean(waits), "× exhaustive"),
        "apart_reflex_p95": observed(mean(tails), "× exhaustive"),
    }


def reflex_p95(trace: Trace, outcome: Outcome) -> float:
    return percentile([outcome.waits[r.id] for r in trace.requests if r.klass == "reflex"], 95)


def past_bound(trace: Trace, outcome: Outcome) -> int:
    """How many oldest signals of a closed coven waited longer than W13 allows."""
    box = Box(trace, Whim)
    state = box.state()
    drain = max(r.service for r in trace.requests)
    bounds = {
        (name, klass): wait_bound(
            box.model, state, name, klass, [n for n in trace.loads if n != name], drain
        )
        for name in trace.loads
        for klass in CLASSES
    }
    return sum(wait > bounds[name, klass] for name, klass, wait in outcome.cold_waits)


def wait_bound(
    model: Model,
    state: State,
    target: str,
    klass: str,
    ahead: Collection[str],
    drain: float,
) -> float:
    """Seconds after which a coven at which a signal of ``klass`` waits has been opened (W13).

    Per coven ahead of it, the open one first: one term, one drain and one load; then its own load.
    A class below the highest counts its term four times. ``drain`` is the longest that what is in
    flight can last. Holds for what waits for a coven that was closed when it began to wait.
    """
    rules = model.rules
    weight = rules.weights[klass]
    factor = rules.lower_factor if weight < max(rules.weights.values()) else 1.0
    load = state.estimates.load
    total = load[target]
    for name in ahead:
        inertia = model.covens[name].inertia
        term = factor * (rules.kappa * (load[name] + load[target]) / 2 + inertia)
        total += max(term, inertia / weight) + drain + load[name]
    return total
