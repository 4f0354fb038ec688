"""One device, some models, a trace of requests: what a policy does with them, in virtual time.

A discrete-event simulation of a box of titan covens around the real deciders: the same book of
demand, learner and strategies as in the arbiter. The gate's habit is kept: a free slot is taken at
once by what waits for the open coven, and a swap drains what is then in flight.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from covend.will.decision import Decision, Stay, Swap
from covend.will.demand import DemandBook
from covend.will.learn import Learner, SwapLog
from covend.will.model import CLASSES, NEVER, Coven, Device, Model, Soulstone
from covend.will.order import Streak, next_class
from covend.will.residency import Ledger
from covend.will.state import Occupant, State
from covend.will.strategies import Strategy


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a trace; seconds."""

    id: str
    arrival: float
    model: str
    klass: str
    service: float


@dataclass(frozen=True, slots=True)
class Trace:
    """A device's day: how long each model loads, and who asks for what, when."""

    loads: dict[str, float]
    requests: tuple[Request, ...]

    def world(self) -> Model:
        """The box of this trace: one titan coven per model, one device that holds one of them."""
        typical = {
            name: _mean([r.service for r in self.requests if r.model == name], 1.0)
            for name in self.loads
        }
        stones = [
            Soulstone(n, {"gpu": 60}, load_seconds=load, service_seconds=typical[n])
            for n, load in self.loads.items()
        ]
        covens = [Coven(n, (n,), ("gpu",)) for n in self.loads]
        return Model([Device("gpu", 100)], stones, covens)


@dataclass(slots=True)
class Outcome:
    """What came of it: each request's wait, each swap, and each lone wait against its bound."""

    waits: dict[str, float] = field(default_factory=dict[str, float])
    swaps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    cold_waits: list[tuple[str, str, float]] = field(default_factory=list[tuple[str, str, float]])
    ended: float = 0.0

    @property
    def swap_share(self) -> float:
        return sum(end - begin for begin, end in self.swaps) / self.ended


class Exhaustive:
    """Serve the open coven until nothing waits for it, then go where the demand is greatest."""

    name = "exhaustive"

    def __init__(self, model: Model) -> None:
        self._model = model

    def decide(self, state: State, now: float) -> Decision:
        """Swap only where the open coven has nothing waiting and nothing in flight."""
        if state.transition is not None:
            return Stay("a transition is under way", self.name, now)
        open = {occupant.coven for occupant in state.open}
        if any(o.coven in state.queues or sum(o.in_flight) for o in state.open):
            return Stay("the open coven has work", self.name, now)
        wanted = [(q.demand(now), name) for name, q in state.queues.items() if name not in open]
        if not wanted:
            return Stay("nothing waits", self.name, now)
        target = max(wanted)[1]
        return Swap("exhausted", self.name, now, target=target, evict=tuple(sorted(open)))


class Box:
    """The simulated box; ``run`` plays a trace through to its last answer."""

    def __init__(self, trace: Trace, strategy: Callable[[Model], Strategy]) -> None:
        self.model = trace.world()
        self.trace = trace
        self.strategy = strategy(self.model)
        self.book = DemandBook(self.model)
        self.learner = Learner(self.model)
        self.log = SwapLog(self.model.rules.budget_window)
        self.memory = Ledger(self.model).memory()
        self.open: str | None = None
        self.opened_at = 0.0
        self.target: str | None = None
        self.loading = False
        self.running: Request | None = None
        self.ended = [NEVER] * len(CLASSES)
        self.streak = Streak()
        self.waiting: dict[tuple[str, str], deque[Request]] = {}
        self.events: list[tuple[float, int, str, Request | None]] = []
        self.serial = 0
        self.asked_at: float | None = None
        self.outcome = Outcome()
        self.closed_at = dict.fromkeys(trace.loads, 0.0)
        self.swap_began = 0.0
        self.now = 0.0

    def run(self) -> Outcome:
        """Play the whole trace; ends when the last request was served."""
        for request in self.trace.requests:
            self.at(request.arrival, "arrive", request)
        left = len(self.trace.requests)
        while left:
            self.now, _, event, request = heapq.heappop(self.events)
            if event == "arrive":
                assert request is not None
                self.arrive(request)
            elif event == "served":
                left -= 1
                self.served()
            elif event == "loaded":
                self.loaded()
            elif event == "ask" and self.asked_at == self.now:
                self.asked_at = None
            self.serve()
            self.ask()
        self.outcome.ended = self.now
        return self.outcome

    def at(self, when: float, event: str, request: Request | None = None) -> None:
        self.serial += 1
        heapq.heappush(self.events, (when, self.serial, event, request))

    def arrive(self, request: Request) -> None:
        self.book.add(request.id, request.model, request.klass, request.arrival)
        self.waiting.setdefault((request.model, request.klass), deque()).append(request)

    def served(self) -> None:
        assert self.running is not None
        self.ended[CLASSES.index(self.running.klass)] = self.now
        self.learner.served(self.running.model, self.running.service)
        self.running = None

    def serve(self) -> None:
        """A free slot takes the next in order at once (W8, W15); a drained box starts to load."""
        if self.running is not None:
            return
        if self.target is not None:
            if not self.loading:
                self.loading = True
                if self.open is not None:
                    self.closed_at[self.open] = self.now
                self.open = None
                self.swap_began = self.now
                self.at(self.now + self.trace.loads[self.target], "loaded")
            return
        if self.open is None:
            return
        waiting = self.book.waiting(self.open)
        klass = next_class(waiting, self.streak, self.now, self.model.rules.sla)
        if klass is None:
            return
        request = self.waiting[self.open, klass].popleft()
        self.streak = self.streak.served(klass, waiting)
        self.book.remove(request.id)
        self.running = request
        self.outcome.waits[request.id] = self.now - request.arrival
        self.at(self.now + request.service, "served")

    def loaded(self) -> None:
        assert self.target is not None
        self.outcome.swaps.append((self.swap_began, self.now))
        self.log.swapped(frozenset({"gpu"}), self.swap_began, self.now)
        self.learner.loaded(self.target, self.now - self.swap_began)
        self.open, self.target, self.loading = self.target, None, False
        self.opened_at = self.now
        self.ended = [NEVER] * len(CLASSES)
        self.streak = Streak()
        closed = self.closed_at[self.open]
        for klass, (_, oldest) in self.book.waiting(self.open).items():
            self.outcome.cold_waits.append((self.open, klass, self.now - max(oldest, closed)))

    def state(self) -> State:
        open: tuple[Occupant, ...] = ()
        if self.open is not None:
            counts = [0] * len(CLASSES)
            if self.running is not None:
                counts[CLASSES.index(self.running.klass)] = 1
            open = (
                Occupant(
                    self.open,
                    self.opened_at,
                    (counts[0], counts[1], counts[2], counts[3]),
                    (self.ended[0], self.ended[1], self.ended[2], self.ended[3]),
                    full=self.running is not None,
                ),
            )
        estimates = self.learner.estimates()
        return State(
            open=open,
            queues=self.book.queues(estimates, [o.coven for o in open]),
            memory=self.memory,
            estimates=estimates,
            swap_share=self.log.share(self.now),
            transition=self.target,
            closed=dict(self.closed_at),
        )

    def ask(self) -> None:
        """The arbiter's part: ask at every event, and again when the decision says so."""
        if self.target is not None:
            return
        decision = self.strategy.decide(self.state(), self.now)
        if isinstance(decision, Swap):
            self.target = decision.target
            self.serve()
        elif isinstance(decision, Stay) and decision.until is not None:
            when = max(decision.until, self.now + 1e-6)
            if self.asked_at is None or when < self.asked_at:
                self.asked_at = when
                self.at(when, "ask")


def short_trace(rng: random.Random, models: int, count: int, interactive: float) -> Trace:
    """So many requests in a burst of minutes; services differ by model and class, not within."""
    loads = {f"m{i}": rng.uniform(5, 20) for i in range(models)}
    service = {(name, klass): rng.uniform(1, 4) for name in loads for klass in ("reflex", "ritual")}
    gap = rng.uniform(2, 10)
    clock = 0.0
    requests: list[Request] = []
    for index in range(count):
        clock += rng.expovariate(1 / gap)
        name = rng.choice(sorted(loads))
        klass = "reflex" if rng.random() < interactive else "ritual"
        requests.append(Request(f"r{index}", clock, name, klass, service[name, klass]))
    return Trace(loads, tuple(requests))


def long_trace(
    rng: random.Random,
    models: int,
    count: int,
    load: float,
    interactive: float,
    apart: bool = False,
) -> Trace:
    """A Poisson stream at a share ``load`` of what the device could serve without any swap.

    ``apart`` puts all interactive requests on the first model and all others on the rest.
    """
    loads = {f"m{i}": rng.uniform(5, 20) for i in range(models)}
    mean = {name: rng.uniform(0.5, 3.0) for name in loads}
    drawn: list[tuple[str, str, float]] = []
    for _ in range(count):
        name = rng.choice(sorted(loads))
        klass = "reflex" if rng.random() < interactive else "ritual"
        if apart:
            name = "m0" if klass == "reflex" else rng.choice(sorted(loads)[1:])
        drawn.append((name, klass, mean[name] * rng.uniform(0.5, 1.5)))
    span = sum(service for _, _, service in drawn) / load
    arrivals = sorted(rng.uniform(0, span) for _ in drawn)
    return Trace(
        loads,
        tuple(
            Request(f"r{i}", arrival, *what)
            for i, (arrival, what) in enumerate(zip(arrivals, drawn, strict=True))
        ),
    )


def weighted_wait(trace: Trace, outcome: Outcome) -> float:
    """Mean wait in seconds, each request counted with its class's weight."""
    weights = Model([], [], []).rules.weights
    total = sum(weights[r.klass] for r in trace.requests)
    return sum(weights[r.klass] * outcome.waits[r.id] for r in trace.requests) / total


def optimum(trace: Trace) -> float:
    """The least weighted mean wait anybody could reach who knows the whole trace beforehand.

    Exact: dynamic programming over how many of each (model, class) have been served and what is
    loaded, keeping the undominated pairs of (time, cost). Requests of one model and class take the
    same time, so serving them in order of arrival is never worse. Loading may begin before the
    arrival it is for.
    """
    weights = Model([], [], []).rules.weights
    groups: dict[tuple[str, str], list[Request]] = {}
    for request in trace.requests:
        groups.setdefault((request.model, request.klass), []).append(request)
    keys = sorted(groups)
    total = sum(weights[r.klass] for r in trace.requests)
    layer: dict[tuple[tuple[int, ...], str], list[tuple[float, float]]] = {
        ((0,) * len(keys), ""): [(0.0, 0.0)]
    }
    for _ in trace.requests:
        following: dict[tuple[tuple[int, ...], str], list[tuple[float, float]]] = {}
        for (served, loaded), front in layer.items():
            for index, key in enumerate(keys):
                if served[index] == len(groups[key]):
                    continue
                request = groups[key][served[index]]
                setup = 0.0 if loaded == request.model else trace.loads[request.model]
                then = (*served[:index], served[index] + 1, *served[index + 1 :])
                points = following.setdefault((then, request.model), [])
                for clock, cost in front:
                    start = max(clock + setup, request.arrival)
                    wait = weights[request.klass] * (start - request.arrival)
                    points.append((start + request.service, cost + wait))
        layer = {key: _undominated(points) for key, points in following.items()}
    return min(cost for front in layer.values() for _, cost in front) / total


def _undominated(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    points.sort()
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
