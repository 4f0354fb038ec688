"""The default strategy: is a swap worth its cost? All quantities are seconds, so they compare.

For every coven T for which something waits and that is not open:

- D(T), the demand: weighted seconds waited (W9). R(T), the yield: weight served per second if the
  box went there now, at the best point to stop (W9).
- M(A), the momentum of an open coven A that would have to go: what loading it again would cost
  (W10). I(A), its inertia (W11).
- A may be taken once it has been open for the term, in which its own swap was repaid by service
  (W12); whether it is then taken, and by whom, is W13.

``decide`` looks at one ready-made sum per coven, so it costs the same at any queue length.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from covend.will.decision import FOREVER, Decision, Stay, Swap, Verdict
from covend.will.model import CLASSES, NEVER, Model
from covend.will.residency import evictions, plan
from covend.will.state import Memory, Occupant, Queue, State


class _Holder(msgspec.Struct, frozen=True, gc=False):
    """An open coven as a taker meets it; weights of classes stand for the classes."""

    name: str
    opened_at: float
    load: float
    momentum: float
    inertia: float
    yields: float
    busy: float
    busy_until: float
    lingers: float
    lingers_until: float


class Whim:
    """W9 to W13 as a pure object: the same state and time give the same decision."""

    name = "whim"

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rules = model.rules
        self._weights = tuple(model.rules.weights[klass] for klass in CLASSES)
        self._memo: tuple[Memory | None, tuple[str, ...]] = (None, ())
        self._evictions: dict[str, tuple[str, ...] | str] = {}
        self._yields: dict[str, tuple[Queue, float, float]] = {}

    def decide(self, state: State, now: float) -> Decision:
        """Stay or swap (W13), with every alternative weighed as the reason.

        Constant in the number of waiting signals, linear in the number of covens.
        """
        if state.transition is not None:
            return Stay(f"transition {state.transition} is under way", self.name, now, state=state)
        self._look_up_evictions(state)
        share = max(state.swap_share.values(), default=0.0)
        holders = {occupant.coven: self._holder(occupant, state, now) for occupant in state.open}
        highest = max((q.top for q in state.queues.values()), default=0.0)
        for holder in holders.values():
            highest = max(highest, holder.busy, holder.lingers)
        kappa_dominant = self.kappa_dominant(share)
        verdicts = tuple(
            [
                self._weigh(name, queue, state, now, holders, highest, kappa_dominant)
                for name, queue in state.queues.items()
                if name not in holders
            ]
        )
        best = self._best(verdicts, state, now)
        if best is not None:
            reason = self._reason(best, holders)
            return Swap(reason, self.name, now, share, verdicts, state, best.coven, best.evict)
        if self._model.tiered:
            shift = self._shift_tier(state, now, verdicts, share)
            if shift is not None:
                return shift
        if not verdicts:
            return Stay("nothing waits that is not open", self.name, now, share, verdicts, state)
        until = min(verdict.at for verdict in verdicts)
        if share > self._rules.budget_low:
            # The budget recovers as time passes, and the term of a dominating class with it.
            until = min(until, now + 5.0)
        return Stay(
            "no alternative may go yet",
            self.name,
            now,
            share,
            verdicts,
            state,
            None if until >= FOREVER else max(until, now),
        )

    def kappa_dominant(self, share: float) -> float:
        """κ for a class that dominates: ½ while swaps cost little, 4 at the budget's end (W12)."""
        rules = self._rules
        spread = (share - rules.budget_low) / (rules.budget_high - rules.budget_low)
        rise = min(1.0, max(0.0, spread))
        return rules.kappa_dominant + rise * (rules.kappa_dominant_max - rules.kappa_dominant)

    def _look_up_evictions(self, state: State) -> None:
        """Who goes for whom depends on residency alone: computed when that changes."""
        resident = tuple([occupant.coven for occupant in state.open])
        if self._memo[0] is not state.memory or self._memo[1] != resident:
            self._memo = (state.memory, resident)
            self._evictions = {
                name: evictions(self._model, state.memory, resident, name)
                for name in self._model.covens
                if name not in resident
            }

    def _holder(self, occupant: Occupant, state: State, now: float) -> _Holder:
        """W10, W11, and what counts as work of an open coven (W12, W13a)."""
        name = occupant.coven
        facts = self._model.covens[name]
        load = state.estimates.load[name]
        think = state.estimates.think[name]
        linger = min(self._rules.linger, load)
        queue = state.queues.get(name)
        busy = queue.top if queue is not None else 0.0
        busy_until = FOREVER if busy else now
        lingers = 0.0
        lingers_until = now
        for weight, count, ended in zip(
            self._weights, occupant.in_flight, occupant.ended, strict=True
        ):
            if count:
                busy = max(busy, weight)
                busy_until = FOREVER
            elif ended > NEVER and now - ended < linger:
                if now - ended < think:
                    busy = max(busy, weight)
                    busy_until = max(busy_until, ended + think)
                if weight > lingers:
                    lingers = weight
                    lingers_until = ended + linger
        return _Holder(
            name=name,
            opened_at=occupant.opened_at,
            load=load,
            momentum=load + occupant.tokens / facts.prefill_rate,
            inertia=facts.inertia,
            yields=_yield(queue, 0.0) if queue is not None else 0.0,
            busy=busy,
            busy_until=busy_until,
            lingers=lingers,
            lingers_until=lingers_until,
        )

    def _weigh(
        self,
        name: str,
        queue: Queue,
        state: State,
        now: float,
        holders: dict[str, _Holder],
        highest: float,
        kappa_dominant: float,
    ) -> Verdict:
        """One alternative: may T take what it needs now (W12, W13), and if not, when?"""
        waited = now - queue.oldest
        demand = queue.weight * now - queue.moment
        if state.quarantined:
            until = state.quarantined.get(name)
            if until is not None and until > now:
                return Verdict(name, "quarantined", demand, oldest=waited, at=until)
        evict = self._evictions[name]
        if isinstance(evict, str):
            return Verdict(name, "misfit", demand, oldest=waited, note=evict)
        rules = self._rules
        top = queue.top
        load = state.estimates.load[name]
        setup = load
        rival = 0.0
        for evictee in evict:
            holder = holders[evictee]
            if holder.busy:
                setup += holder.load
                rival += holder.yields
        known = self._yields.get(name)
        if known is not None and known[0] is queue and known[1] == setup:
            yields = known[2]
        else:
            yields = _yield(queue, setup)
            self._yields[name] = (queue, setup, yields)
        code = ""
        at = now
        momentum = inertia = kappa = term = left = due = 0.0
        for evictee in evict:
            holder = holders[evictee]
            half = (holder.momentum + load) / 2
            patience = rules.kappa * half + holder.inertia
            if top < highest:
                patience *= rules.lower_factor
            if patience > due:
                due = patience
            claim = holder.lingers if holder.lingers > top else 0.0
            if holder.busy > claim:
                claim = holder.busy
            if not claim:
                continue
            dominates = claim < top
            k = kappa_dominant if dominates else rules.kappa
            t = k * half + holder.inertia
            if claim > top:
                t *= rules.lower_factor
            repaid = free_at = holder.opened_at + t
            block = ""
            if free_at > now:
                block = "term"
            elif not (dominates or yields > rival or (waited >= t and demand > holder.inertia)):
                block = "yield"
                grown = now + (holder.inertia - demand) / queue.weight
                free_at = queue.oldest + t
                if grown > free_at:
                    free_at = grown
            if block and not holder.busy:
                block = "linger"
            if block:
                code = block
                over = holder.busy_until if holder.busy else holder.lingers_until
                if over < free_at:
                    free_at = over
                if free_at > at:
                    at = free_at
            if t >= term:
                momentum, inertia, kappa, term = holder.momentum, holder.inertia, k, t
                left = repaid - now if repaid > now else 0.0
        passed = waited
        if state.closed:
            passed = min(waited, now - state.closed.get(name, NEVER))
        return Verdict(
            name,
            code,
            demand,
            yields,
            waited,
            evict,
            momentum,
            inertia,
            kappa,
            term,
            left,
            rival,
            due,
            passed,
            at,
        )

    def _best(self, verdicts: tuple[Verdict, ...], state: State, now: float) -> Verdict | None:
        """Who goes, of those that may: the greatest yield, but the overdue first (W13, W16).

        Where a swap is due anyway it goes to whoever has waited a whole term itself (two, before a
        higher class), oldest first, even if that one could not have caused it: otherwise two covens
        that keep taking turns could pass a third over for ever
        (docs/decisions/0002-the-overdue-go-first.md).
        """
        free = [verdict for verdict in verdicts if not verdict.code]
        if not free:
            return None
        if len(free) == len(verdicts) == 1:
            return free[0]
        queues = state.queues
        moved = {name for verdict in free for name in verdict.evict}
        leading = max([queues[verdict.coven].top for verdict in free])
        aged = now - self._rules.ingest_max_wait
        first: Verdict | None = None
        for verdict in verdicts:
            queue = queues[verdict.coven]
            patience = verdict.due if queue.top >= leading else 2 * verdict.due
            if verdict.passed < patience:
                ingest = queue.ingest_oldest
                if ingest is None or ingest > aged:
                    continue
            if verdict.code in ("quarantined", "misfit"):
                continue
            if verdict.code and not moved.issuperset(verdict.evict):
                continue
            if first is None or verdict.passed > first.passed:
                first = verdict
        return first or max(free, key=lambda v: self._rank(v, state))

    def _rank(self, verdict: Verdict, state: State) -> tuple[bool, float, float, str]:
        """Greatest yield first; ingestion in its window never before a waiting reflex (W16)."""
        queue = state.queues[verdict.coven]
        capped = state.ingest_window and queue.classes[0].klass == "ingest"
        return (not capped, verdict.yields, verdict.oldest, verdict.coven)

    def _reason(self, best: Verdict, holders: dict[str, _Holder]) -> str:
        if not best.evict:
            return "there is room for it"
        if best.code or best.overdue:
            return "it has waited a whole term, so the next swap is its own (W13)"
        if not any(holders[name].busy for name in best.evict):
            return "what is open has no work (W13a)"
        if best.kappa < self._rules.kappa:
            return "a higher class waits, and what is open has repaid its swap (W12, W13b)"
        if best.yields > best.rival:
            return "it yields more than what is open (W13b)"
        return "its oldest signal has waited the term (W13b)"

    def _shift_tier(
        self, state: State, now: float, verdicts: tuple[Verdict, ...], share: float
    ) -> Swap | None:
        """Another tier for the same work: down at once, up only after a minute of demand (W6).

        Only where the new residency serves all that is asked of the old, so no work loses its
        place; running requests finish first, as in every drain.
        """
        rules = self._rules
        wanted = {
            capability: 1.0
            for capability, streak in state.streaks.items()
            if capability in self._model.serving and now - streak.last < rules.tier_up_seconds
        }
        if not wanted:
            return None
        resident = [occupant.coven for occupant in state.open]
        barred = [name for name, until in state.quarantined.items() if until > now]
        best = plan(self._model, state.memory, wanted, resident, barred)
        missing = [name for name in best.covens if name not in resident]
        if best.served < sum(wanted.values()) or not missing:
            return None
        blocked = any(name not in resident for name in state.queues)
        stood = all(
            now - state.streaks[capability].since >= rules.tier_up_seconds for capability in wanted
        )
        if not (blocked or stood):
            return None
        target = missing[0]
        evict = self._evictions[target]
        if isinstance(evict, str) or set(evict) & set(best.covens):
            return None
        reason = (
            "a smaller tier serves all that is asked together (W6)"
            if blocked
            else "the larger tier has been asked for long enough (W6)"
        )
        return Swap(reason, self.name, now, share, verdicts, state, target, evict)


def _yield(queue: Queue, setup: float) -> float:
    """R: the best Σ weight ÷ (set-up + Σ service) over prefixes in class order (W9).

    Within a class the ratio moves one way only, so it is enough to look at the ends of classes.
    """
    best = 0.0
    for weight, service in queue.prefixes:
        ratio = weight / (setup + service + 1e-9)
        if ratio > best:
            best = ratio
    return best


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


def still_wanted(swap: Swap, state: State) -> bool:
    """Whether anybody still waits for the target, asked again before the host changes (W21)."""
    return swap.target in state.queues
