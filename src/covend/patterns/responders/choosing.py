"""Who is asked: predicates, relevance, availability, ranking (P8, P9).

Relevance = .35·trust + .25·capability match + .15·recency + .25·input match, each 0 to 1:

- *trust* as the registry had learned it when the query was admitted;
- *capability match*: the share of all capabilities and domains named by the wants that the
  responder has; 1 where none is named;
- *recency* halves every 30 days since the responder's last outcome; ½ for one never seen;
- *input match*: 1 where the responder has a domain that is asked for by name; else the largest
  share of one of its domains' words that the question and the input contain; ½ for a responder
  without domains.

Filters come in this order: predicates, those excluded, too slow (hard), threshold, availability.
Whoever is left is ranked by relevance, then trust, then typical delay, then id.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from covend.patterns.expressions import cel
from covend.patterns.query.spec import Ensemble, Escalate, Query, Want, Waterfall
from covend.patterns.responders.responder import Responder, as_data
from covend.patterns.state import SECOND, Call, K
from covend.phylactery.canonical import canonical

DAY = 86_400 * SECOND
RECENCY_HALF_LIFE_DAYS = 30.0
UNKNOWN = 0.5
"""What a term of the relevance is where nothing is known for it."""

_WORD = re.compile(r"\w{2,}")


class Screened(msgspec.Struct, frozen=True):
    """One responder of the plan: its relevance, and what keeps it out, whoever else there is."""

    responder: Responder
    relevance: float | None = None
    problem: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """Who is asked: the first ``top_k`` of those ``ranked``, best first.

    Where nobody is, ``code`` is one of P19's errors.
    """

    ranked: tuple[Screened, ...]
    top_k: int
    code: str = ""
    reason: str = ""

    @property
    def chosen(self) -> tuple[Screened, ...]:
        """Who is asked, best first."""
        return self.ranked[: self.top_k]


def choose(
    k: K,
    wants: Sequence[Want],
    top_k: int,
    exclude: frozenset[str] = frozenset(),
    *,
    final: bool = True,
) -> Choice:
    """The ``top_k`` most relevant responders that meet one of ``wants`` and can be asked now (P9).

    The availability filter never empties a final human tier: where it would leave nobody and
    nobody is asked after this round, the people it would drop are asked all the same.
    """
    last = final if k.rules.place_decides else looks_final(k.query, wants)
    screened = [screen(k, wants, exclude, responder) for responder in k.plan.responders]
    relevant = [one for one in screened if one.problem is None]
    present = [one for one in relevant if is_available(one.responder, k.now)]
    if not present and last:
        present = [one for one in relevant if one.responder.kind == "actor"]
    ranked = tuple(sorted(present, key=_rank))
    if ranked[:top_k]:
        return Choice(ranked, top_k)
    matched = sum(one.relevance is not None for one in screened)
    return Choice(ranked, top_k, *_nobody(k, matched, len(relevant)))


def screen(k: K, wants: Sequence[Want], exclude: frozenset[str], responder: Responder) -> Screened:
    """The filters that each responder meets alone: predicates, excluded, too slow, threshold."""
    problem = unmet(responder, wants, k.plan.input, k.now)
    same_person = k.rules.one_part_each and responder.did in exclude
    if problem is None and (same_person or responder.id in exclude):
        problem = "has a part in this query already"
    if problem is not None:
        return Screened(responder, None, problem)
    score = relevance(k, wants, responder)
    return Screened(responder, score, _irrelevant(k, responder, score))


def unmet(responder: Responder, wants: Sequence[Want], given: Any, now: int) -> str | None:
    """None where the responder meets any of ``wants``, else what the nearest one misses (P8)."""
    if responder.status != "active":
        return f"is {responder.status}"
    problems: list[str] = []
    for want in wants:
        problem = lacking(responder, want) or lacking_now(responder, want, given, now)
        if problem is None:
            return None
        problems.append(problem)
    return "; or ".join(dict.fromkeys(problems)) or "nobody is wanted"


def parts(k: K, calls: Iterable[Call]) -> frozenset[str]:
    """Whom another part of the query must not ask: the responders of these calls, and the people.

    People are named by did: the responder's own, and that of the delegate who answered instead.
    """
    names: set[str | None] = set()
    for call in calls:
        names.add(call.responder)
        if k.rules.one_part_each and call.kind == "actor":
            names.add(k.responder(call.responder).did)
            names.add(call.response.by if call.response is not None else None)
    return frozenset(name for name in names if name is not None)


def lacking(responder: Responder, want: Want) -> str | None:
    """The first predicate, of those that do not depend on the moment, that does not hold (P8)."""
    if want.kind is not None and want.kind != responder.kind:
        return f"kind is not {want.kind}"
    if want.id is not None and want.id != responder.id:
        return f"id is not {want.id}"
    if want.model is not None and want.model != responder.model:
        return f"model is not {want.model}"
    if want.did is not None and want.did != responder.did:
        return f"did is not {want.did}"
    if want.domain is not None and want.domain not in responder.domains:
        return f"domain {want.domain} is missing"
    if want.capability is not None and want.capability not in capabilities(responder):
        return f"capability {want.capability} is missing"
    if want.trust_gte is not None and responder.trust < want.trust_gte:
        return f"trust {responder.trust:g} is below {want.trust_gte:g}"
    if want.trust_lt is not None and responder.trust >= want.trust_lt:
        return f"trust {responder.trust:g} is not below {want.trust_lt:g}"
    if want.latency_secs is not None and (responder.typical_delay_secs or 0.0) > want.latency_secs:
        return f"typically takes more than {want.latency_secs:g} s"
    if want.budget_usd is not None and responder.cost.typical > want.budget_usd:
        return f"typically costs more than {want.budget_usd:g} dollars"
    return None


def lacking_now(responder: Responder, want: Want, given: Any, now: int) -> str | None:
    """The first predicate that depends on the moment or the input, and does not hold (P8)."""
    if want.age_days_lt is not None:
        if responder.seen <= 0:
            return "was never seen"
        if now - responder.seen >= want.age_days_lt * DAY:
            return f"was last seen {want.age_days_lt:g} days ago or earlier"
    if want.available is not None and is_available(responder, now) != want.available:
        return "is not available" if want.available else "is available"
    if want.expression is not None:
        held = cel.holds(want.expression, {"responder": as_data(responder), "input": given})
        if isinstance(held, cel.CelError):
            return f"expression: {held.message}"
        if not held:
            return f"expression does not hold: {want.expression}"
    return None


def capabilities(responder: Responder) -> frozenset[str]:
    """What it can do; a model of this box is named by its capability."""
    local = responder.model if responder.kind == "llm" and not responder.endpoint else None
    return frozenset((*responder.capabilities, local) if local else responder.capabilities)


def relevance(k: K, wants: Sequence[Want], responder: Responder) -> float:
    """How relevant a responder is to this query, from 0 to 1 (P9)."""
    return math.fsum(
        (
            0.35 * min(max(responder.trust, 0.0), 1.0),
            0.25 * capability_match(wants, responder),
            0.15 * recency(responder, k.now),
            0.25 * input_match(k, wants, responder),
        )
    )


def capability_match(wants: Sequence[Want], responder: Responder) -> float:
    """The share of what the wants name by capability or domain that the responder has."""
    asked: set[tuple[str, str]] = set()
    for want in wants:
        if want.capability:
            asked.add(("capability", want.capability))
        if want.domain:
            asked.add(("domain", want.domain))
    if not asked:
        return 1.0
    has = {("capability", name) for name in capabilities(responder)}
    has |= {("domain", name) for name in responder.domains}
    return len(asked & has) / len(asked)


def recency(responder: Responder, now: int) -> float:
    """How fresh its last outcome is: halves every 30 days."""
    if responder.seen <= 0:
        return UNKNOWN
    days = max(0, now - responder.seen) / DAY
    return 0.5 ** (days / RECENCY_HALF_LIFE_DAYS)


def input_match(k: K, wants: Sequence[Want], responder: Responder) -> float:
    """How much the question and its input are about the responder's domains."""
    if not responder.domains:
        return UNKNOWN
    if {want.domain for want in wants} & set(responder.domains):
        return 1.0
    said = words(k.query.question) | words(_text(k.plan.input))
    shares = [len(own & said) / len(own) for name in responder.domains if (own := words(name))]
    return max(shares, default=UNKNOWN)


def words(text: str) -> frozenset[str]:
    """The words of a text, whatever their case; ``tax_law`` and ``tax-law`` are two each."""
    return frozenset(_WORD.findall(text.casefold().replace("_", " ")))


def is_available(responder: Responder, now: int) -> bool:
    """Whether it can be asked at ``now`` (µs): by its status, and by its hours if it has any."""
    if responder.status != "active" or not responder.available:
        return False
    hours = responder.hours
    if hours is None:
        return True
    local = now / SECOND + hours.utc_offset * 3600
    day, seconds = divmod(local, 86_400)
    weekday, hour = (int(day) + 3) % 7, seconds / 3600  # 1970 began on a Thursday
    if hours.start <= hours.end:
        return weekday in hours.days and hours.start <= hour < hours.end
    # A night shift belongs to the day on which it began.
    began = weekday if hour >= hours.start else (weekday - 1) % 7
    return began in hours.days and (hour >= hours.start or hour < hours.end)


def looks_final(query: Query, wants: Sequence[Want]) -> bool:
    """Whether the first two reducers took a round for the last: they went by its wants alone."""
    match query.orchestration:
        case Escalate(tiers=tiers):
            rounds = [tier.responders for tier in tiers]
        case Waterfall(stages=stages):
            rounds = [stage.responders for stage in stages]
        case Ensemble(auditor=auditor, backup_auditor=backup) if backup:
            rounds = [auditor, backup]
        case _:
            return True
    # An earlier round with the same wants as the last counts as the last, too.
    return tuple(wants) == rounds[-1] or tuple(wants) not in rounds


def _irrelevant(k: K, responder: Responder, score: float) -> str | None:
    delay = responder.typical_delay_secs
    if delay is not None:
        limit = (k.plan.ends - k.opened) / SECOND
        if delay > limit / 2:
            return f"typically takes {delay:g} s, more than half of the {limit:g} s there are"
    threshold = k.query.relevance.threshold
    if score < threshold:
        return f"relevance {score:.3f} is below {threshold:g}"
    return None


def _rank(one: Screened) -> tuple[float, float, float, str]:
    score, who = one.relevance or 0.0, one.responder
    delay = math.inf if who.typical_delay_secs is None else who.typical_delay_secs
    return (-score, -who.trust, delay, who.id)


def _nobody(k: K, matched: int, relevant: int) -> tuple[str, str]:
    if not matched:
        return "no_candidates", "no responder meets any of the predicates"
    if not relevant:
        threshold = k.query.relevance.threshold
        return (
            "no_relevant_candidates",
            f"none of {matched} candidates is fast enough and at least {threshold:g} relevant",
        )
    return "responder_unavailable", f"none of {relevant} relevant candidates is available now"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical(value).decode()
