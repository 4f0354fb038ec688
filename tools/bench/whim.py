"""What one decision costs: 16 covens, 10,000 waiting signals, another state for every decision."""

from __future__ import annotations

import gc
import random
import time
from statistics import mean

from covend.will.demand import DemandBook
from covend.will.learn import Learner
from covend.will.model import CLASSES, Coven, Device, Model, Soulstone
from covend.will.residency import Ledger
from covend.will.state import Occupant, State
from covend.will.whim import Whim
from tools.bench.figures import Figure, at_most, observed, percentile

TITLE = "one decision of the default strategy, by length of the queue"

COVENS = 16
ROUNDS = 4000


def run() -> dict[str, Figure]:
    """Microseconds per decision at 10,000 signals, and how they grow from 100."""
    few, _ = measure(100)
    many, states = measure(10_000)
    anew, _ = measure(10_000, anew=True)
    return {
        "decide_p50": at_most(percentile(many, 50), 50, "µs", percentile(few, 50)),
        "decide_mean": at_most(mean(many), 50, "µs", mean(few)),
        "decide_p50, all weighed anew": observed(percentile(anew, 50), "µs"),
        "decide_p99": observed(percentile(many, 99), "µs", percentile(few, 99)),
        "growth_100_to_10000": at_most(percentile(many, 50) / percentile(few, 50), 1.3, "×"),
        "state_p50": observed(percentile(states, 50), "µs"),
    }


def measure(signals: int, anew: bool = False) -> tuple[list[float], list[float]]:
    """Processor µs to decide and to build the state; one signal comes and one goes before each.

    ``anew`` changes what is open as well, so that no verdict of the last decision still stands.
    """
    rng = random.Random(signals)
    model = Model(
        [Device("gpu", 100)],
        [Soulstone(f"m{i}", {"gpu": 60}, load_seconds=5 + i) for i in range(COVENS)],
        [Coven(f"m{i}", (f"m{i}",), ("gpu",)) for i in range(COVENS)],
    )
    book, learner, whim = DemandBook(model), Learner(model), Whim(model)
    memory = Ledger(model).memory()
    for index in range(signals):
        book.add(f"s{index}", f"m{rng.randrange(COVENS)}", rng.choice(CLASSES), rng.uniform(0, 60))
    gc.freeze()  # the collector's walks over ten thousand signals are not the decision's cost
    decides: list[float] = []
    builds: list[float] = []
    for turn in range(ROUNDS):
        now = 60.0 + turn * 0.01
        book.remove(f"s{turn}")
        arriving = f"m{rng.randrange(COVENS)}"
        book.add(f"s{signals + turn}", arriving, rng.choice(CLASSES), now)
        begin = time.thread_time()
        estimates = learner.estimates()
        queues = book.queues(estimates, ("m0",))
        occupant = Occupant("m0", 0.0, (0, 1, 0, 0), tokens=turn if anew else 0)
        state = State((occupant,), queues, memory, estimates)
        built = time.thread_time()
        whim.decide(state, now)
        decides.append((time.thread_time() - built) * 1e6)
        builds.append((built - begin) * 1e6)
    gc.unfreeze()
    return decides, builds
