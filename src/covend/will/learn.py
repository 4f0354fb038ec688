"""Times a box learns from itself: loads, services, the gap between a client's requests.

Each is the declared value until the first measurement, then the median of the last eight (W10); the
gap is twice the longest of them (W12).
"""

from __future__ import annotations

from collections import deque
from statistics import median

from covend.will.model import Model
from covend.will.state import Estimates

KEEP = 8
SHORTEST_GAP = 0.1
"""Seconds: what a request may be on its way between client, gate and core without being missed."""


class Learner:
    """Mutable owner of the measurements; ``estimates()`` is a cheap immutable view of them."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._load: dict[str, deque[float]] = {}
        self._service: dict[str, deque[float]] = {}
        self._think: dict[str, deque[float]] = {}
        self._view: Estimates | None = None

    def loaded(self, coven: str, seconds: float) -> None:
        """A transition to this coven took so long from its signal to ready."""
        self._add(self._load, coven, seconds)

    def served(self, soulstone: str, seconds: float) -> None:
        """A request took so long on this soulstone, from admission to its last byte."""
        self._add(self._service, soulstone, seconds)

    def paused_to_think(self, coven: str, seconds: float) -> None:
        """A client asked again so long after its last answer from this coven (W12)."""
        self._add(self._think, coven, seconds)

    def _add(self, book: dict[str, deque[float]], key: str, seconds: float) -> None:
        if seconds >= 0.0:
            book.setdefault(key, deque(maxlen=KEEP)).append(seconds)
            self._view = None

    def estimates(self) -> Estimates:
        """What is expected now: medians of the last eight, else what was declared (W10).

        The gap of W12 is at most a quarter of a load: a slower client is not worth waiting for.
        """
        if self._view is None:
            rules = self._model.rules
            load = {
                name: _typical(self._load.get(name), facts.load_prior)
                for name, facts in self._model.covens.items()
            }
            self._view = Estimates(
                load=load,
                service={
                    name: _typical(self._service.get(name), stone.service_seconds)
                    for name, stone in self._model.soulstones.items()
                },
                think={
                    name: min(_gap(self._think.get(name), rules.think), load[name] / 4)
                    for name in self._model.covens
                },
            )
        return self._view

    def samples(self) -> dict[str, dict[str, list[float]]]:
        """The measurements themselves, to be stored and given to ``restore`` after a restart."""
        books = {"load": self._load, "service": self._service, "think": self._think}
        return {
            what: {key: list(kept) for key, kept in book.items()} for what, book in books.items()
        }

    def restore(self, samples: dict[str, dict[str, list[float]]]) -> None:
        """Take up stored measurements; those of covens that are no more are ignored."""
        books = {"load": self._load, "service": self._service, "think": self._think}
        for what, book in books.items():
            for key, kept in samples.get(what, {}).items():
                book[key] = deque(kept, maxlen=KEEP)
        self._view = None


def _gap(kept: deque[float] | None, prior: float) -> float:
    """The pause that a client of a coven may make and still be there: an upper bound, not a middle.

    Half of all gaps are longer than their median, and each of those would lose the coven (see
    docs/decisions/0003-the-thinking-gap-is-a-bound.md).
    """
    return max(SHORTEST_GAP, 2 * max(kept)) if kept else prior


def _typical(kept: deque[float] | None, prior: float) -> float:
    return median(kept) if kept else prior


class SwapLog:
    """When each device was busy swapping, for the swap budget of W12."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._log: dict[str, deque[tuple[float, float]]] = {}

    def swapped(self, devices: frozenset[str], began: float, ended: float) -> None:
        """A transition occupied these devices from ``began`` to ``ended``."""
        for device in devices:
            self._log.setdefault(device, deque()).append((began, ended))

    def share(self, now: float) -> dict[str, float]:
        """Share of the last window (300 s) each device spent swapping, 0 to 1 (W12)."""
        start = now - self._window
        shares: dict[str, float] = {}
        for device, log in self._log.items():
            while log and log[0][1] <= start:
                log.popleft()
            spent = sum(min(ended, now) - max(began, start) for began, ended in log)
            shares[device] = spent / self._window
        return shares
