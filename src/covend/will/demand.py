"""The book of demand: who waits for what, kept so that no question costs a walk of the queue.

Per capability and class it holds a count, the sum of arrivals and the oldest signal, each kept up
in O(1) (the oldest in amortised O(log n)). ``queues`` folds that into one ``Queue`` per coven and
rebuilds only what changed. Arrivals are added up as whole microseconds, so that removing gives
back exactly what adding took. One owner, one thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection

from covend.will.model import CLASSES, Model
from covend.will.state import ClassQueue, Estimates, Queue, Streak


class _Cell:
    """The signals of one capability and class."""

    __slots__ = ("arrivals", "count", "heap")

    def __init__(self) -> None:
        self.count = 0
        self.arrivals = 0
        self.heap: list[tuple[int, str]] = []


class DemandBook:
    """Mutable owner of the signals; ``queues`` is the immutable view a decision is made from."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._signals: dict[str, tuple[str, str, int]] = {}
        self._cells: dict[tuple[str, str], _Cell] = {}
        self._streaks: dict[str, Streak] = {}
        self._queues: dict[str, Queue] = {}
        self._dirty: set[str] = set()
        self._estimates: Estimates | None = None
        self._basis: tuple[frozenset[str], frozenset[str], bool] = (frozenset(), frozenset(), False)

    def __len__(self) -> int:
        return len(self._signals)

    def __contains__(self, signal: str) -> bool:
        return signal in self._signals

    def add(self, signal: str, capability: str, klass: str, arrived: float) -> None:
        """A request waits; a known signal is replaced. Raises ``ValueError`` on a bad class."""
        if klass not in CLASSES:
            raise ValueError(f"no class {klass!r}: it is one of {', '.join(CLASSES)}")
        self.remove(signal)
        micros = round(arrived * 1e6)
        self._signals[signal] = (capability, klass, micros)
        cell = self._cells.get((capability, klass))
        if cell is None:
            cell = self._cells[capability, klass] = _Cell()
        cell.count += 1
        cell.arrivals += micros
        heapq.heappush(cell.heap, (micros, signal))
        self.used(capability, arrived)
        self._dirty.update(self._model.serving.get(capability, ()))

    def remove(self, signal: str) -> bool:
        """A request waits no more: served, refused or gone. False where it was not known."""
        entry = self._signals.pop(signal, None)
        if entry is None:
            return False
        capability, klass, micros = entry
        cell = self._cells[capability, klass]
        cell.count -= 1
        cell.arrivals -= micros
        if cell.count == 0:
            del self._cells[capability, klass]
        else:
            self._prune(cell, (capability, klass))
        self._dirty.update(self._model.serving.get(capability, ()))
        return True

    def _prune(self, cell: _Cell, key: tuple[str, str]) -> None:
        """Drop what was removed from the heap's top; rebuild a heap that is mostly dead."""
        heap = cell.heap
        if len(heap) > 2 * cell.count + 64:
            heap[:] = [entry for entry in heap if self._lives(entry, key)]
            heapq.heapify(heap)
        while heap and not self._lives(heap[0], key):
            heapq.heappop(heap)

    def _lives(self, entry: tuple[int, str], key: tuple[str, str]) -> bool:
        known = self._signals.get(entry[1])
        return known is not None and known == (*key, entry[0])

    def used(self, capability: str, now: float) -> None:
        """A request for this capability arrived or ended now: its streak of demand goes on (W6)."""
        streak = self._streaks.get(capability)
        if streak is None or now - streak.last > self._model.rules.linger:
            self._streaks[capability] = Streak(now, now)
        elif now > streak.last:
            self._streaks[capability] = Streak(streak.since, now)

    def streaks(self) -> dict[str, Streak]:
        """Since when, without a long gap, each capability has been asked for (W6)."""
        return dict(self._streaks)

    def capabilities(self) -> set[str]:
        """Every capability for which something waits."""
        return {capability for capability, _ in self._cells}

    def waiting(self, capability: str) -> dict[str, tuple[int, float]]:
        """Per class: how many wait for this capability, and since when the oldest does (W15)."""
        found: dict[str, tuple[int, float]] = {}
        for klass in CLASSES:
            cell = self._cells.get((capability, klass))
            if cell is not None:
                found[klass] = (cell.count, cell.heap[0][0] / 1e6)
        return found

    def queues(
        self,
        estimates: Estimates,
        open: Collection[str] = (),
        full: Collection[str] = (),
        ingest_window: bool = False,
    ) -> dict[str, Queue]:
        """One queue per coven for which something waits (W9).

        What waits for an open coven is that coven's own work. Another coven that serves it too has
        it in its queue only where every open one that serves it is full and need not go for it.
        """
        contested = self._model.contested
        mine = frozenset(open) if contested else frozenset[str]()
        busy = frozenset(full) if contested else frozenset[str]()
        basis = (mine, busy, ingest_window)
        if self._estimates is not estimates or basis != self._basis:
            self._estimates = estimates
            self._basis = basis
            self._dirty.update(self._model.covens)
        if self._dirty:
            fresh = dict(self._queues)
            for name in sorted(self._dirty):  # the order of alternatives is the same in every run
                queue = self._queue(name, estimates)
                if queue is None:
                    fresh.pop(name, None)
                else:
                    fresh[name] = queue
            self._dirty.clear()
            self._queues = fresh
        return self._queues

    def _taken(self, coven: str) -> frozenset[str]:
        """What this coven could serve but need not, because something open does (W9, W13)."""
        open, full, _ = self._basis
        if coven in open:
            return frozenset()
        facts = self._model.covens[coven]
        return frozenset(
            capability
            for capability in self._model.contested & facts.server.keys()
            if any(
                other in open and (other not in full or other in facts.conflicts)
                for other in self._model.serving[capability]
            )
        )

    def _queue(self, coven: str, estimates: Estimates) -> Queue | None:
        taken = self._taken(coven)
        window = self._basis[2]
        facts = self._model.covens[coven]
        rows: list[tuple[float, ClassQueue]] = []
        for klass in CLASSES:
            count, arrivals, service = 0, 0, 0.0
            oldest: tuple[int, str] | None = None
            for capability, stone in facts.server.items():
                cell = self._cells.get((capability, klass))
                if cell is None or capability in taken:
                    continue
                count += cell.count
                arrivals += cell.arrivals
                slots = self._model.slots(coven, capability)
                service += cell.count * estimates.service[stone] / slots
                if oldest is None or cell.heap[0] < oldest:
                    oldest = cell.heap[0]
            if oldest is not None:
                weight = self._weight(klass, window)
                row = ClassQueue(klass, count, arrivals / 1e6, oldest[0] / 1e6, service, oldest[1])
                rows.append((weight, row))
        return queue_of(rows) if rows else None

    def _weight(self, klass: str, window: bool) -> float:
        if klass == "ingest" and window:
            return self._model.rules.ingest_window_weight
        return self._model.rules.weights[klass]


def queue_of(rows: list[tuple[float, ClassQueue]]) -> Queue:
    """Sum up the classes of one queue, highest weight first (W9)."""
    rows = sorted(rows, key=lambda row: -row[0])
    prefixes: list[tuple[float, float]] = []
    weight = moment = service = 0.0
    for per_signal, row in rows:
        weight += per_signal * row.count
        moment += per_signal * row.arrivals
        service += row.service
        prefixes.append((weight, service))
    return Queue(
        classes=tuple(row for _, row in rows),
        weight=weight,
        moment=moment,
        oldest=min(row.oldest for _, row in rows),
        top=rows[0][0],
        prefixes=tuple(prefixes),
        ingest_oldest=min((row.oldest for _, row in rows if row.klass == "ingest"), default=None),
    )
