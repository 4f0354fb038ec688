"""One step of a run: fold what came, select what follows, and the same again on replay (P2, P3).

The inputs of a run (intend, do, tick, cancel) are all that is not derivable. ``advance`` derives
the rest, so ``replay`` can compare, byte for byte, what was written with what follows from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import msgspec

from covend.patterns.decision import Decision, Done, Wait
from covend.patterns.ending import cancelled, conclude
from covend.patterns.nesting import triggers
from covend.patterns.query.spec import (
    Ensemble,
    Escalate,
    Orchestration,
    Retry,
    SingleShot,
    Verify,
    Waterfall,
)
from covend.patterns.reducers import CURRENT
from covend.patterns.rounds import notices, overdue
from covend.patterns.six import ensemble, escalate, retry, single_shot, verify, waterfall
from covend.patterns.state import INPUTS, K, begin, fold
from covend.phylactery.canonical import canonical

Select: TypeAlias = Callable[[K], Decision]

encoded = msgspec.json.Encoder(order="deterministic").encode

PATTERNS: dict[type[Orchestration], Select] = {
    SingleShot: single_shot.select,
    Verify: verify.select,
    Waterfall: waterfall.select,
    Retry: retry.select,
    Escalate: escalate.select,
    Ensemble: ensemble.select,
}
"""The six, and only six."""

SELECTS: dict[int, dict[type[Orchestration], Select]] = dict.fromkeys(
    range(1, CURRENT + 1), PATTERNS
)
"""By reducer, then by pattern; ``reducers`` says how they differ. None is ever removed (P5)."""


class Draft(msgspec.Struct, frozen=True):
    """A record to be written: its kind and body; who writes it adds thread, clock and parents."""

    kind: str
    body: dict[str, Any]


class Written(Protocol):
    """What replay needs of a record; ``text`` is the canonical JSON of its body."""

    @property
    def kind(self) -> str: ...
    @property
    def body(self) -> dict[str, Any]: ...
    @property
    def text(self) -> str: ...
    @property
    def clock(self) -> int: ...


class Entry(msgspec.Struct, frozen=True):
    """What a run needs of a record, where its body is data already."""

    kind: str
    body: dict[str, Any]
    clock: int

    @property
    def text(self) -> str:
        return canonical(self.body).decode()


class Quarantined(Exception):
    """A record differs from what follows from those before it; both versions are kept (P2)."""

    def __init__(self, thread: str, written: Draft, derived: Draft | None) -> None:
        super().__init__(
            f"run {thread}: a {written.kind} record is not what its inputs lead to: "
            f"written {canonical(written.body).decode()}, derived "
            f"{canonical(derived.body).decode() if derived else 'nothing'}"
        )
        self.thread = thread
        self.written = written
        self.derived = derived


@dataclass(slots=True)
class Replayed:
    """A run rebuilt: its K, and what follows from its inputs but was not written any more."""

    k: K
    missing: list[Draft] = field(default_factory=list[Draft])


def select(k: K, *, begun: bool = False) -> Decision:
    """What follows from K: a cancelled run's end, else notices to people, else the pattern's word.

    Where the pattern waits, calls past their deadline are closed meanwhile. ``begun`` says that K's
    last records are the calls of a round that has just begun: every pattern waits for them.
    Raises ``ValueError`` where the run's reducer is not known here (a run of a newer covend).
    """
    if k.ended is not None:
        return Wait()
    patterns = SELECTS.get(k.plan.reducer)
    if patterns is None:
        raise ValueError(
            f"run {k.thread} is pinned to reducer {k.plan.reducer}, and this covend knows up to "
            f"{CURRENT}: it was begun by a newer one"
        )
    if k.cancelled is not None:
        return cancelled(k)
    decision = notices(k)
    if decision is None:
        decision = Wait() if begun else patterns[type(k.query.orchestration)](k)
    return overdue(k) or decision if isinstance(decision, Wait) else decision


def advance(k: K) -> tuple[K, list[Draft]]:
    """Everything that follows from K as it is now, folded in (P2); raises as ``select`` does."""
    drafts: list[Draft] = []
    begun = False
    while k.ended is None:
        decision = select(k, begun=begun)
        if isinstance(decision, Wait):
            break
        if isinstance(decision, Done):
            know = conclude(k, decision)
            drafts.append(Draft("know", know))
            k = fold(k, "know", know, k.now)
            drafts += [Draft("trigger", body) for body in triggers(k)]
            break
        begun = bool(decision.calls)
        for body in decision.learn:
            drafts.append(Draft("learn", body))
            k = fold(k, "learn", body, k.now)
        for body in decision.calls:
            drafts.append(Draft("call", body))
            k = fold(k, "call", body, k.now)
            begun = begun and body["attempt"] == 1 and body["deadline"] > k.now
    return k, drafts


def start(thread: str, intend: dict[str, Any], clock: int) -> tuple[K, list[Draft]]:
    """A new run from the body of its ``intend`` record, and everything that follows from that.

    The body is as the store gives it back, so that a live run sees what a replay will (P2):
    canonical JSON writes 1.0 as 1.
    """
    return advance(begin(thread, intend, clock))


def take(k: K, entry: Entry) -> tuple[K, list[Draft]]:
    """Fold one input and everything that follows from it; an input after the end is only billed.

    The body is as the store gives it back, as for ``start``.
    """
    return advance(fold(k, entry.kind, entry.body, entry.clock))


def replay(thread: str, entries: Iterable[Written]) -> Replayed:
    """Rebuild a run from its records as they were read, comparing every derived one (P2, P4).

    What was folded but never written is ``missing``: it is written now, and nothing is asked twice.
    Raises ``Quarantined`` at the first difference, ``ValueError`` where no ``intend`` comes first
    or the run is of a newer covend.
    """
    k: K | None = None
    expected: deque[Draft] = deque()
    for entry in entries:
        if entry.kind not in INPUTS:
            _compare(thread, entry, expected)
            continue
        if k is None:
            if entry.kind != "intend":
                raise ValueError(f"run {thread} begins with a {entry.kind} record, not its intend")
            k, drafts = advance(begin(thread, entry.body, entry.clock))
        else:
            k, drafts = advance(fold(k, entry.kind, entry.body, entry.clock))
        expected += drafts
    if k is None:
        raise ValueError(f"run {thread} has no records")
    return Replayed(k, list(expected))


def _compare(thread: str, entry: Written, expected: deque[Draft]) -> None:
    derived = expected.popleft() if expected else None
    if derived is None or derived.kind != entry.kind or not _leads_to(derived.body, entry.text):
        raise Quarantined(thread, Draft(entry.kind, entry.body), derived)


def _leads_to(body: dict[str, Any], text: str) -> bool:
    """Whether this is the canonical JSON of ``body``; where the fast encoding is that, it is."""
    return encoded(body).decode() == text or canonical(body).decode() == text
