"""What is learned of a responder: trust, delay, availability (P8). Pure.

**Trust** is the lower end of Wilson's interval (z = 1.64, one-sided 95 %) over the outcomes of its
calls. Old outcomes fade: each counts half as much after ``HALF_LIFE``. A responder comes with
z²·t/(1−t) good outcomes in advance, with which the bound is exactly t: the trust it was configured
with, 0.5 for an unknown one. So few outcomes move it little, and no luck makes it 1.

**Delay** is the median of the last measured delays. **Available** is who did not fail in transport
three times in a row within the last minute; however often one run failed to reach it, that is once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any, Literal

import msgspec

from covend.patterns.answers.agreement import agreement
from covend.patterns.query.spec import Verify
from covend.patterns.state import K
from covend.resolving import resolved

Z = 1.64
HALF_LIFE = 30 * 86_400.0
"""Seconds after which an outcome counts half."""
MAX_PRIOR = 0.99
DELAYS = 9
MAX_FAILURES = 3
ABSENT_SECONDS = 60.0

VOTING = frozenset({"consensus", "majority"})
CHOOSING = VOTING | {"best_of", "waterfall_first", "first"}
"""The folds whose answer is one of the responses'; the others make a new one of all."""

Verdict = Literal["good", "bad", "neutral", "unreachable"]

ACCEPTED = ("fulfilled", "degraded")
STOOD: dict[str, Verdict] = {**dict.fromkeys(ACCEPTED, "good"), "rejected": "bad"}
"""What an answer's outcome is that the run came out with, by the status of its end."""
NOT_OK: dict[str, Verdict] = {
    "declined": "neutral",
    **dict.fromkeys(("invalid", "timeout", "error"), "bad"),
}
"""That of a call without a valid answer, by its status; one that was taken back has none."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of one call: for whom, how, after how many seconds, at which clock (µs)."""

    responder: str
    verdict: Verdict
    clock: int
    delay: float | None = None


class Standing(msgspec.Struct, frozen=True):
    """What is known of one responder; ``at`` and ``seen`` are clocks in microseconds."""

    good: float = 0.0
    bad: float = 0.0
    at: int = 0
    seen: int = 0
    delays: tuple[float, ...] = ()
    failures: int = 0

    def after(self, outcome: Outcome) -> Standing:
        """The standing with one more outcome; one out of order counts as of the newest."""
        now = max(self.at, outcome.clock)
        fade = faded(self.at, now)
        unreachable = outcome.verdict == "unreachable"
        delays = () if unreachable or outcome.delay is None else (outcome.delay,)
        return Standing(
            good=self.good * fade + (outcome.verdict == "good"),
            bad=self.bad * fade + (outcome.verdict == "bad"),
            at=now,
            seen=self.seen if unreachable else now,
            delays=(*self.delays, *delays)[-DELAYS:],
            failures=self.failures + 1 if unreachable else 0,
        )

    def trust(self, prior: float, now: int) -> float:
        """The trust at a clock, for one who began with ``prior`` (0 to 1)."""
        known = min(prior, MAX_PRIOR)
        advance = Z * Z * known / (1 - known)
        fade = faded(self.at, now)
        good = self.good * fade + advance
        return wilson(good, good + self.bad * fade)

    def delay(self) -> float | None:
        """The typical delay in seconds, None before anything was measured."""
        return median(self.delays) if self.delays else None

    def available(self, now: int) -> bool:
        """Whether it can be reached, as far as is known."""
        return self.failures < MAX_FAILURES or now - self.at > ABSENT_SECONDS * 1e6


def faded(then: int, now: int) -> float:
    """How much an outcome of ``then`` counts at ``now`` (clocks)."""
    return 0.5 ** (max(0, now - then) / (HALF_LIFE * 1e6))


def wilson(good: float, total: float) -> float:
    """The lower end of Wilson's interval of a share, 0 without any outcome.

    >>> wilson(0, 0), round(wilson(Z * Z, Z * Z), 9)
    (0.0, 0.5)
    """
    if total <= 0:
        return 0.0
    share, z2 = good / total, Z * Z
    centre = share + z2 / (2 * total)
    spread = Z * math.sqrt(max(0.0, share * (1 - share) / total + z2 / (4 * total * total)))
    return min(1.0, max(0.0, (centre - spread) / (1 + z2 / total)))


def outcomes(k: K, roles: Mapping[str, str], delays: Mapping[str, float]) -> list[Outcome]:
    """What an ended run says of everybody it asked; roles and delays (s) are by the call's id.

    Who gave the accepted answer did well, or a part of it where the fold makes one of all. Who gave
    a rejected one, was outvoted, was contradicted by the verifier and the tiebreaker, was late or
    answered in another shape did not. Who was only passed over, or declined, said nothing wrong. A
    failed transport says nothing of trust, a call that was taken back nothing at all. Of a slot its
    last attempt counts. Who says the same again in one run, or is away again, does so once.
    """
    know = k.ended or {}
    status = str(know.get("status"))
    answer, folded = came_out(k, know)
    same = giving(k, answer)
    made = set[str]() if k.query.fold.kind in CHOOSING else folded
    beaten = losing(k, folded, same) if status in ACCEPTED else set[str]()
    last = {call.slot: call for call in k.calls.values()}
    praised: set[str] = set()
    away: set[str] = set()
    found: list[Outcome] = []
    for call in last.values():
        verdict: Verdict | None
        if call.status == "error" and call.transport:
            verdict = "unreachable" if call.responder not in away else None
            away.add(call.responder)
        elif call.status != "ok":
            verdict = NOT_OK.get(call.status)
        elif roles.get(call.id, "answer") in ("audit", "judge"):
            verdict = "neutral"
        elif call.id in made | same:
            verdict = STOOD.get(status, "neutral") if call.responder not in praised else "neutral"
            praised.add(call.responder)
        else:
            verdict = "bad" if call.id in beaten else "neutral"
        if verdict is not None:
            found.append(Outcome(call.responder, verdict, k.now, delays.get(call.id)))
    return found


def came_out(k: K, know: Mapping[str, Any]) -> tuple[Any, set[str]]:
    """The answer that was accepted or rejected, and the calls that were folded into it."""
    if know.get("status") != "rejected":
        return know.get("answer"), set(know.get("folded", ()))
    return know["audit"]["answer"], set(k.noted("audited")[0]["folded"])


def giving(k: K, answer: Any) -> set[str]:
    """The calls that gave this answer, folded in or not.

    Where the fold has a tolerance, those as well that a chain of equal answers connects with it.
    """
    fold = k.query.fold
    left = {call.id: call.response.value for call in k.calls.values() if call.response is not None}
    found: set[str] = set()
    said = [answer]
    while said:
        wanted = said.pop()
        near = [name for name, value in left.items() if agreement(fold, value, wanted) == 1]
        values = [left.pop(name) for name in near]
        found.update(near)
        if fold.tolerance:
            said += values
    return found


def losing(k: K, folded: set[str], same: set[str]) -> set[str]:
    """The calls with another answer than the accepted one, where two or more gave that."""
    if isinstance(k.query.orchestration, Verify):
        return set(k.calls) - same if len(same) >= 2 else set()
    return folded - same if k.query.fold.kind in VOTING and len(folded & same) >= 2 else set()


def as_body(standings: dict[str, Standing]) -> dict[str, Any]:
    """All standings as the body of a record."""
    return {"standings": {name: msgspec.to_builtins(one) for name, one in standings.items()}}


def from_body(body: dict[str, Any]) -> dict[str, Standing]:
    """The standings that a record holds; raises ``msgspec.ValidationError``."""
    return msgspec.convert(body["standings"], resolved(dict[str, Standing]))
