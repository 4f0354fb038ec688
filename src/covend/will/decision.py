"""What a strategy answers: stay, or swap; each with the weighed alternatives as its reasons (W18).

A decision holds what was computed on the way; the readable record is made only when asked for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from covend.will.model import NEVER
from covend.will.state import Queue, State

FOREVER = 1e18

SIGNALS_SHOWN = 16

REASONS = {
    "": "may go now",
    "term": "what is open has not yet repaid its swap (W12)",
    "yield": "what is open yields more, and nobody has waited the term (W13b)",
    "linger": "a higher class used what is open a moment ago (W13a)",
    "quarantined": "it failed repeatedly and is quarantined (W24)",
    "misfit": "it does not fit on its devices (W1)",
    "outranked": "another coven yields more, or has waited longer (W13)",
}
"""Why an alternative was not taken, by its code."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """One alternative as it was weighed; it stands while nothing but the clock changes.

    Seconds, but for ``kappa`` and ``yields`` (weight/s). ``since`` is the time from which its
    oldest signal has waited while it was closed, ``due`` after how long it then goes first where a
    swap happens, ``repaid_at`` when what is open has been open for the term, and ``at`` the
    earliest time at which this verdict can change by the mere passing of time.
    """

    coven: str
    code: str
    queue: Queue
    since: float = FOREVER
    evict: tuple[str, ...] = ()
    yields: float = 0.0
    momentum: float = 0.0
    inertia: float = 0.0
    kappa: float = 0.0
    term: float = 0.0
    repaid_at: float = NEVER
    rival: float = 0.0
    due: float = FOREVER
    at: float = FOREVER
    note: str = ""

    def left(self, now: float) -> float:
        """What is left of the term (W12)."""
        return max(0.0, self.repaid_at - now)

    def overdue(self, now: float) -> bool:
        """Whether its oldest signal has been passed over for W12's term itself."""
        return now - self.since >= self.due


class Decision(msgspec.Struct, frozen=True):
    """The common part of ``Stay`` and ``Swap``: why, from what, at what time."""

    reason: str
    strategy: str
    now: float
    share: float = 0.0
    verdicts: tuple[Verdict, ...] = ()
    state: State | None = None

    def explain(self) -> dict[str, Any]:
        """The whole record as plain data (W18): D, R, M, I, κ, term, what is left, alternatives."""
        state = self.state
        record: dict[str, Any] = {
            "strategy": self.strategy,
            "decision": type(self).__name__.lower(),
            "reason": self.reason,
            "now": self.now,
            "swap_share": self.share,
            "open": [
                {
                    "coven": o.coven,
                    "open_for": self.now - o.opened_at,
                    "in_flight": sum(o.in_flight),
                }
                for o in (state.open if state else ())
            ],
            "signals": _signals(state.queues, self.now) if state else [],
            "alternatives": [_alternative(verdict, self) for verdict in self.verdicts],
        }
        return record


class Stay(Decision, frozen=True):
    """Change nothing; ask again at ``until`` (or at the next event, where it is None)."""

    until: float | None = None

    def explain(self) -> dict[str, Any]:
        """The whole record as plain data (W18), with the time of the next question."""
        return super().explain() | {"ask_again_in": self.until and max(0.0, self.until - self.now)}


class Swap(Decision, frozen=True):
    """Make ``target`` resident; ``evict`` must go first (empty where there is room)."""

    target: str = ""
    evict: tuple[str, ...] = ()

    def explain(self) -> dict[str, Any]:
        """The whole record as plain data (W18), with who comes and who goes."""
        return super().explain() | {"target": self.target, "evict": list(self.evict)}


def _alternative(verdict: Verdict, decision: Decision) -> dict[str, Any]:
    won = isinstance(decision, Swap) and decision.target == verdict.coven
    code, now = verdict.code, decision.now
    if not won and not code:
        code = "outranked"
    return {
        "coven": verdict.coven,
        "won": won,
        "reason": decision.reason
        if won
        else REASONS[code] + (verdict.note and f": {verdict.note}"),
        "D": verdict.queue.demand(now),
        "R": verdict.yields,
        "R_open": verdict.rival,
        "M": verdict.momentum,
        "I": verdict.inertia,
        "kappa": verdict.kappa,
        "term": verdict.term,
        "term_left": verdict.left(now),
        "oldest_waited": now - verdict.queue.oldest,
        "overdue": verdict.overdue(now),
        "evicts": list(verdict.evict),
    }


def _signals(queues: dict[str, Queue], now: float) -> list[dict[str, Any]]:
    """The oldest signal of each coven and class with the number behind it, capped."""
    rows = [
        {
            "coven": coven,
            "class": row.klass,
            "waiting": row.count,
            "oldest": row.signal,
            "oldest_waited": now - row.oldest,
        }
        for coven, queue in queues.items()
        for row in queue.classes
    ]
    rows.sort(key=lambda row: -float(row["oldest_waited"]))
    return rows[:SIGNALS_SHOWN]
