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

import msgspec

from covend.will.decision import FOREVER, Decision, Stay, Swap, Verdict
from covend.will.model import CLASSES, NEVER, Model
from covend.will.residency import evictions
from covend.will.state import Estimates, Memory, Occupant, Queue, State
from covend.will.tiers import tier_shift


class _Holder(msgspec.Struct, frozen=True, gc=False):
    """An open coven as a taker meets it; weights of classes stand for the classes."""

    name: str
    opened_at: float
    load: float
    momentum: float
    inertia: float
    yields: float
    busy: float
    lingers: float
    claim_ends: float


class _Scene(msgspec.Struct, frozen=True, gc=False):
    """What all alternatives have in common, as far as it does not depend on the clock."""

    estimates: Estimates
    holders: dict[str, _Holder]
    highest: float
    kappa_dominant: float
    quarantined: dict[str, float]
    closed: dict[str, float]


class _Known(msgspec.Struct, frozen=True, gc=False):
    """A verdict that stands, for the same queue in the same scene, from one time to another."""

    verdict: Verdict
    since: float
    until: float


class Whim:
    """W9 to W13 as a pure object: the same state and time give the same decision.

    What it keeps between decisions is derived from parts of the last state, and is used again
    only where those parts are the same.
    """

    name = "whim"

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rules = model.rules
        self._weights = tuple(model.rules.weights[klass] for klass in CLASSES)
        self._memo: tuple[Memory | None, tuple[str, ...]] = (None, ())
        self._evictions: dict[str, tuple[str, ...] | str] = {}
        self._scene: _Scene | None = None
        self._known: dict[str, _Known] = {}

    def decide(self, state: State, now: float) -> Decision:
        """Stay or swap (W13), with every alternative weighed as the reason.

        Constant in the number of waiting signals, linear in the number of covens.
        """
        if state.transition is not None:
            return Stay(f"transition {state.transition} is under way", self.name, now, state=state)
        self._look_up_evictions(state)
        share = max(state.swap_share.values(), default=0.0)
        holders = {occupant.coven: self._holder(occupant, state, now) for occupant in state.open}
        verdicts = self._weigh_all(state, now, self._set_scene(state, holders, share))
        best = self._best(verdicts, state, now)
        if best is not None:
            reason = self._reason(best, holders, now)
            return Swap(reason, self.name, now, share, verdicts, state, best.coven, best.evict)
        if self._model.tiered:
            step = tier_shift(self._model, state, now, self._evictions)
            if step is not None:
                why, target, evict = step.reason, step.target, step.evict
                return Swap(why, self.name, now, share, verdicts, state, target, evict)
        if not verdicts:
            return Stay("nothing waits that is not open", self.name, now, share, verdicts, state)
        until = min([verdict.at for verdict in verdicts])
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
        if share <= rules.budget_low:
            return rules.kappa_dominant
        spread = (share - rules.budget_low) / (rules.budget_high - rules.budget_low)
        rise = min(1.0, max(0.0, spread))
        return rules.kappa_dominant + rise * (rules.kappa_dominant_max - rules.kappa_dominant)

    def _look_up_evictions(self, state: State) -> None:
        """Who goes for whom depends on residency alone: computed when that changes."""
        resident = tuple([occupant.coven for occupant in state.open])
        if self._memo[0] is not state.memory or self._memo[1] != resident:
            self._memo = (state.memory, resident)
            self._scene = None
            self._evictions = {
                name: evictions(self._model, state.memory, resident, name)
                for name in self._model.covens
                if name not in resident
            }

    def _set_scene(self, state: State, holders: dict[str, _Holder], share: float) -> _Scene:
        """What is alike for all; where it has changed, no verdict stands any more."""
        highest = max([queue.top for queue in state.queues.values()], default=0.0)
        for holder in holders.values():
            highest = max(highest, holder.busy, holder.lingers)
        kappa = self.kappa_dominant(share)
        scene = self._scene
        if (
            scene is None
            or scene.estimates is not state.estimates
            or scene.highest != highest
            or scene.kappa_dominant != kappa
            or scene.holders != holders
            or scene.quarantined != state.quarantined
            or scene.closed != state.closed
        ):
            scene = self._scene = _Scene(
                state.estimates,
                holders,
                highest,
                kappa,
                dict(state.quarantined),
                dict(state.closed),
            )
            self._known = {}
        return scene

    def _weigh_all(self, state: State, now: float, scene: _Scene) -> tuple[Verdict, ...]:
        """Every alternative; weighed anew only where its queue changed or its time has come."""
        known, holders = self._known, scene.holders
        verdicts: list[Verdict] = []
        for name, queue in state.queues.items():
            entry = known.get(name)
            if (
                entry is None
                or entry.verdict.queue is not queue
                or not entry.since <= now < entry.until
            ):
                if name in holders:
                    continue
                entry = known[name] = self._weigh(name, queue, now, scene)
            verdicts.append(entry.verdict)
        return tuple(verdicts)

    def _holder(self, occupant: Occupant, state: State, now: float) -> _Holder:
        """W10, W11, and what counts as work of an open coven (W12, W13a)."""
        name = occupant.coven
        facts = self._model.covens[name]
        load = state.estimates.load[name]
        think = state.estimates.think[name]
        linger = min(self._rules.linger, load)
        queue = state.queues.get(name)
        busy = queue.top if queue is not None else 0.0
        busy_until = FOREVER if busy else NEVER
        lingers = 0.0
        lingers_until = NEVER
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
            lingers=lingers,
            claim_ends=busy_until if busy else lingers_until,
        )

    def _weigh(self, name: str, queue: Queue, now: float, scene: _Scene) -> _Known:
        """One alternative, and how long its verdict stands (W24, W1, W13)."""
        until = scene.quarantined.get(name, NEVER)
        if until > now:
            return _Known(Verdict(name, "quarantined", queue, at=until), now, until)
        evict = self._evictions[name]
        if isinstance(evict, str):
            return _Known(Verdict(name, "misfit", queue, note=evict), now, FOREVER)
        return self._contest(name, queue, evict, now, scene)

    def _contest(
        self, name: str, queue: Queue, evict: tuple[str, ...], now: float, scene: _Scene
    ) -> _Known:
        """May T take what it needs now from those that would go (W12, W13), and if not, when?"""
        rules, holders, top = self._rules, scene.holders, queue.top
        load = scene.estimates.load[name]
        setup, rival = load, 0.0
        for evictee in evict:
            holder = holders[evictee]
            if holder.busy:
                setup += holder.load
                rival += holder.yields
        yields = _yield(queue, setup)
        code = ""
        momentum = inertia = kappa = term = due = 0.0
        repaid = at = NEVER
        stands = FOREVER
        for evictee in evict:
            holder = holders[evictee]
            half = (holder.momentum + load) / 2
            patience = rules.kappa * half + holder.inertia
            if top < scene.highest:
                patience *= rules.lower_factor
            if patience > due:
                due = patience
            claim = holder.lingers if holder.lingers > top else 0.0
            if holder.busy > claim:
                claim = holder.busy
            if not claim:
                continue
            dominates = claim < top
            k = scene.kappa_dominant if dominates else rules.kappa
            t = k * half + holder.inertia
            if claim > top:
                t *= rules.lower_factor
            free_at = holder.opened_at + t
            if t >= term:
                momentum, inertia, kappa, term = holder.momentum, holder.inertia, k, t
                repaid = free_at
            block = "term"
            if free_at <= now and not (dominates or yields > rival):
                block = "yield"
                free_at = queue.oldest + t
                grown = (holder.inertia + queue.moment) / queue.weight
                if grown > free_at:
                    free_at = grown
            if free_at > now:
                code = block if holder.busy else "linger"
                if holder.claim_ends < free_at:
                    free_at = holder.claim_ends
                if free_at > at:
                    at = free_at
                if free_at < stands:
                    stands = free_at
        since = queue.oldest
        if scene.closed:
            since = max(since, scene.closed.get(name, NEVER))
        verdict = Verdict(
            name,
            code,
            queue,
            since,
            evict,
            yields,
            momentum,
            inertia,
            kappa,
            term,
            repaid,
            rival,
            due,
            at if code else FOREVER,
        )
        return _Known(verdict, now, stands)

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
        moved = {name for verdict in free for name in verdict.evict}
        leading = max([verdict.queue.top for verdict in free])
        aged = now - self._rules.ingest_max_wait
        first: Verdict | None = None
        for verdict in verdicts:
            patience = verdict.due if verdict.queue.top >= leading else 2 * verdict.due
            if now - verdict.since < patience:
                ingest = verdict.queue.ingest_oldest
                if ingest is None or ingest > aged:
                    continue
            if verdict.code in ("quarantined", "misfit"):
                continue
            if verdict.code and not moved.issuperset(verdict.evict):
                continue
            if first is None or verdict.since < first.since:
                first = verdict
        return first or self._greatest(free, state)

    def _greatest(self, free: list[Verdict], state: State) -> Verdict:
        """Greatest yield first; ingestion in its window never before a waiting reflex (W16)."""
        if state.ingest_window:
            free = [v for v in free if v.queue.classes[0].klass != "ingest"] or free
        most = max([verdict.yields for verdict in free])
        equals = [verdict for verdict in free if verdict.yields == most]
        return max(equals, key=lambda verdict: (-verdict.queue.oldest, verdict.coven))

    def _reason(self, best: Verdict, holders: dict[str, _Holder], now: float) -> str:
        if not best.evict:
            return "there is room for it"
        if best.code or best.overdue(now):
            return "it has waited a whole term, so the next swap is its own (W13)"
        if not any(holders[name].busy for name in best.evict):
            return "what is open has no work (W13a)"
        if best.kappa < self._rules.kappa:
            return "a higher class waits, and what is open has repaid its swap (W12, W13b)"
        if best.yields > best.rival:
            return "it yields more than what is open (W13b)"
        return "its oldest signal has waited the term (W13b)"


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
