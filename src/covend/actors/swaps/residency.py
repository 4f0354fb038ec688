"""What is resident, as the arbiter knows it: folded from observations, read by the whim.

Plain state with no actor and no I/O. ``open`` are the covens requests may be sent to, ``ready`` the
soulstones whose health has answered, ``closed`` those that a transition or a death has closed.
"""

from __future__ import annotations

from collections.abc import Iterable

from covend.actors.messages import DemandChanged
from covend.will.demand import DemandBook
from covend.will.learn import Learner, SwapLog
from covend.will.model import CLASSES, NEVER, Model
from covend.will.residency import Ledger, managed
from covend.will.state import Occupant, State


class Residency:
    """The arbiter's whole judgement state; every member is owned by the arbiter's thread."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.open: dict[str, float] = {}
        self.ready: set[str] = set()
        self.closed: set[str] = set()
        self.last_open: dict[str, float] = {}
        self.quarantined: dict[str, float] = {}
        self.usage: DemandChanged | None = None
        self.heard = 0
        self.configure(model)

    def configure(self, model: Model) -> None:
        """Take up a model; what was learned and what waits is carried over."""
        learner, book = Learner(model), DemandBook(model)
        if hasattr(self, "learner"):
            learner.restore(self.learner.samples())
            for note in self.signals.values():
                book.add(note[0], note[1], note[2], note[3])
        else:
            self.signals: dict[str, tuple[str, str, str, float]] = {}
            self.swaps = SwapLog(model.rules.budget_window)
        self.model, self.learner, self.book = model, learner, book
        self.ledger = Ledger(model)
        self.ledger.hold(
            name
            for name in {s for coven in self.open for s in self.managed(coven)}
            if name in model.soulstones
        )

    def shut(self, coven: str, now: float) -> float:
        """A coven is open no more; returns since when it was, and keeps when that ended (W13)."""
        since = self.open.pop(coven, now)
        self.last_open[coven] = now
        return since

    def managed(self, coven: str) -> frozenset[str]:
        """The soulstones of a coven that transitions start and stop (W4, W5)."""
        return managed(self.model, coven) if coven in self.model.covens else frozenset()

    def fold(self, news: DemandChanged) -> None:
        """Take in what began and ceased to wait, and what is in flight now (W9).

        News that the whole demand overtook is dropped: folding it late would leave signals behind
        that nobody takes away any more.
        """
        if news.number <= self.heard:
            return
        self.heard = news.number
        removed = set(news.removed)
        if news.whole:
            removed = self.signals.keys() - {note.id for note in news.added}
        for note in news.added:
            if note.id in self.signals:
                continue
            self.signals[note.id] = (note.id, note.capability, note.klass, note.arrived)
            self.book.add(note.id, note.capability, note.klass, note.arrived)
        for gone in removed:
            self.signals.pop(gone, None)
            self.book.remove(gone)
        if self.usage is not None:
            self.learn_thinking(self.usage, news)
        self.usage = news

    def learn_thinking(self, before: DemandChanged, now: DemandChanged) -> None:
        """A coven that was idle is used again: the pause was its clients' thinking (W12)."""
        for coven in self.open:
            for stone in self.managed(coven):
                was = sum(before.in_flight.get(stone, {}).values())
                is_now = sum(now.in_flight.get(stone, {}).values())
                ended = max(before.last_active.get(stone, {}).values(), default=NEVER)
                if not was and is_now and ended > NEVER:
                    self.learner.paused_to_think(coven, now.at - ended)

    def routable(self) -> frozenset[str]:
        """The soulstones requests may be sent to now."""
        inside = frozenset[str]().union(*(self.managed(coven) for coven in self.open))
        always = {
            name
            for name, stone in self.model.soulstones.items()
            if stone.authority == "shared" or stone.lexicon
        }
        return frozenset((inside | always) & self.ready - self.closed)

    def occupant(self, coven: str) -> Occupant:
        """One open coven with what it is doing, for the whim (W12)."""
        stones = self.managed(coven)
        usage = self.usage
        counts = [0] * len(CLASSES)
        ended = [NEVER] * len(CLASSES)
        tokens = slots = 0
        for stone in stones:
            slots += self.model.soulstones[stone].slots
            if usage is None:
                continue
            tokens += usage.tokens.get(stone, 0)
            for index, klass in enumerate(CLASSES):
                counts[index] += usage.in_flight.get(stone, {}).get(klass, 0)
                ended[index] = max(ended[index], usage.last_active.get(stone, {}).get(klass, NEVER))
        return Occupant(
            coven=coven,
            opened_at=self.open[coven],
            in_flight=(counts[0], counts[1], counts[2], counts[3]),
            ended=(ended[0], ended[1], ended[2], ended[3]),
            tokens=tokens,
            full=sum(counts) >= slots,
        )

    def state(self, now: float, transition: str | None = None, window: bool = False) -> State:
        """Everything a strategy may look at, at this moment."""
        occupants = tuple(self.occupant(coven) for coven in self.open)
        estimates = self.learner.estimates()
        return State(
            open=occupants,
            queues=self.book.queues(
                estimates,
                open=list(self.open),
                full=[occupant.coven for occupant in occupants if occupant.full],
                ingest_window=window,
            ),
            memory=self.ledger.memory(),
            estimates=estimates,
            swap_share=self.swaps.share(now),
            quarantined=self.quarantined,
            transition=transition,
            ingest_window=window,
            streaks=self.book.streaks(),
            closed=dict(self.last_open),
        )

    def waits_for(self, coven: str) -> bool:
        """Whether anything that this coven serves still waits (W21)."""
        serves = self.model.covens[coven].server
        return any(capability in serves for capability in self.book.capabilities())

    def eta(self, left: dict[str, float], busy: float) -> dict[str, float]:
        """Seconds until each cold capability may be served: what is under way, term, load (G3)."""
        estimates = self.learner.estimates()
        plan: dict[str, float] = {}
        for capability, covens in self.model.serving.items():
            if capability in self.model.always or any(coven in self.open for coven in covens):
                continue
            plan[capability] = round(
                busy + min(estimates.load[c] + left.get(c, 0.0) for c in covens), 1
            )
        return plan

    def present(self, alive: Iterable[str]) -> frozenset[str]:
        """Of what is alive, the exclusive soulstones: the part of the world covend owns (W4)."""
        stones = self.model.soulstones
        return frozenset(
            name for name in alive if name not in stones or stones[name].authority == "exclusive"
        )
