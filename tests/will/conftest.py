"""A small box to decide about: one device, three covens that exclude each other."""

from __future__ import annotations

from typing import Any

import pytest

from covend.will.demand import DemandBook
from covend.will.learn import Learner
from covend.will.model import Coven, Device, Model, Rules, Soulstone
from covend.will.residency import Ledger
from covend.will.state import Occupant, State
from covend.will.whim import Whim


class Desk:
    """Signals in, decisions out, with everything else held still."""

    def __init__(
        self, loads: tuple[float, ...] = (10.0, 10.0, 10.0), rules: Rules | None = None
    ) -> None:
        names = "abc"[: len(loads)]
        self.model = Model(
            [Device("gpu", 100)],
            [
                Soulstone(n, {"gpu": 60}, load_seconds=load, service_seconds=1.0)
                for n, load in zip(names, loads, strict=True)
            ],
            [Coven(n, (n,), ("gpu",)) for n in names],
            rules=rules,
        )
        self.book = DemandBook(self.model)
        self.learner = Learner(self.model)
        self.memory = Ledger(self.model).memory()
        self.whim = Whim(self.model)
        self.count = 0

    def ask_for(self, coven: str, klass: str = "reflex", at: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            self.count += 1
            self.book.add(f"s{self.count}", coven, klass, at)

    def state(self, *open: Occupant, **more: Any) -> State:
        estimates = self.learner.estimates()
        window = more.get("ingest_window", False)
        queues = self.book.queues(estimates, [o.coven for o in open], ingest_window=window)
        return State(open=open, queues=queues, memory=self.memory, estimates=estimates, **more)

    def decide(self, now: float, *open: Occupant, **more: Any) -> Any:
        return self.whim.decide(self.state(*open, **more), now)


@pytest.fixture
def desk() -> Desk:
    return Desk()
