"""A model under continuous load, another that is asked for once: how long does that one wait?"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from tools.bench.boxes import ask, starts
from tools.bench.figures import Figure, exactly, observed
from tools.chaos.box import Box, Stone

TITLE = "A under continuous load, B asks once: 1 s loads, 1 s requests, each pair of classes"
CLASSES = ("reflex", "ritual", "ingest", "swarm")
WEIGHTS = {"reflex": 4.0, "ritual": 1.0, "ingest": 1.0, "swarm": 0.25}
LOAD = SERVICE = 1.0
KAPPA, KAPPA_DOMINANT, INERTIA, LOWER_FACTOR = 2.0, 0.5, 1.0, 4.0
"""κ and I are smaller than covend's own, so that sixteen pairs take a minute; the rule is W13."""

SLACK = 1.0
BOXES = 4


def run() -> dict[str, Figure]:
    """Each pair on a box of its own, a few boxes at a time."""
    pairs = list(product(CLASSES, CLASSES))
    with ThreadPoolExecutor(BOXES) as pool:
        waits = dict(zip(pairs, pool.map(measure, *zip(*pairs, strict=True)), strict=True))
    late = {pair: wait for pair, wait in waits.items() if wait > bound(*pair)}
    figures: dict[str, Figure] = {
        "pairs_past_their_bound": exactly(len(late), 0, "of 16", reference="peers: never served")
    }
    for (busy, lone), wait in waits.items():
        limit = bound(busy, lone)
        name = f"{lone}_against_{busy}"
        figures[name] = Figure(wait, "s", f"≤ {limit:g}", wait <= limit)
    assert all(figure.ok for figure in figures.values()) == (not late)
    return figures | {"longest_wait": observed(max(waits.values()), "s")}


def bound(busy: str, lone: str) -> float:
    """W13's bound for a lone request: the term it waits for, one drain, one load, and slack.

    A class that does not dominate also waits until its demand exceeds the inertia (D > I).
    """
    heavier = WEIGHTS[lone] > WEIGHTS[busy]
    term = (KAPPA_DOMINANT if heavier else KAPPA) * LOAD + INERTIA
    if not heavier:
        term = max(term, INERTIA / WEIGHTS[lone])
    if WEIGHTS[lone] < WEIGHTS[busy]:
        term *= LOWER_FACTOR
    return term + SERVICE + LOAD + SLACK


def measure(busy: str, lone: str) -> float:
    """Seconds from B's request to B's answer, less its service."""
    stones = [Stone(name, coven=name, load=LOAD, request=SERVICE) for name in ("a", "b")]
    whim = {
        "kappa": KAPPA,
        "kappa_dominant": KAPPA_DOMINANT,
        "kappa_dominant_max": KAPPA_DOMINANT,
        "lower_factor": LOWER_FACTOR,
        "inertia": {"titan": INERTIA},
    }
    over = threading.Event()
    with Box(stones, budget=200, tables={"whim": whim}) as box:
        ask(box, "a", klass=busy)

        def client() -> None:
            while not over.is_set():
                ask(box, "a", klass=busy)

        clients = [threading.Thread(target=client) for _index in range(2)]
        for thread in clients:
            thread.start()
        try:
            time.sleep(SERVICE)  # the load is under way
            answer = ask(box, "b", klass=lone)
        finally:
            over.set()
            for thread in clients:
                thread.join()
        assert answer.status == 200 and len(starts(box)) >= 2
    return answer.seconds - SERVICE
