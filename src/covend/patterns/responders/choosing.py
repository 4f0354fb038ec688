"""Who is asked: predicates, relevance, availability, ranking (P8, P9).

Relevance = .35·trust + .25·capability match + .15·recency + .25·input match, each 0 to 1:

- *trust* as the registry had learned it when the query was admitted;
- *capability match*: the share of all capabilities and domains named by the wants that the
  responder has; 1 where none is named;
- *recency* halves every 30 days since the responder's last outcome; ½ for one never seen;
- *input match*: 1 where the responder has a domain that is asked for by name; else the largest
  share of one of its domains' words that the question and the input contain; ½ for a responder
  without domains.

Filters come in this order: those excluded, predicates, too slow (hard), threshold, availability.
Whoever is left is ranked by relevance, then trust, then typical delay, then id; a person who is
registered under several names is asked under the first of them, and so is a model of the box.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from covend.patterns.expressions import cel
from covend.patterns.query.spec import Ensemble, Escalate, Query, Want, Waterfall
from covend.patterns.responders.availability import is_available
from covend.patterns.responders.responder import Responder, as_data
from covend.patterns.state import SECOND, Call, K
from covend.phylactery.canonical import canonical

DAY = 86_400 * SECOND
RECENCY_HALF_LIFE_DAYS = 30.0
UNKNOWN = 0.5
"""What a term of the relevance is where nothing is known for it."""

_WORD = re.compile(r"\w{2,}")


class Candidate(msgspec.Struct, frozen=True):
    """One responder that may be asked, and how relevant it is."""

    responder: Responder
    relevance: float


class Choice(msgspec.Struct, frozen=True):
    """Who is asked: the first ``top_k`` of those ``ranked``, best first.

    Where nobody is, ``code`` is one of P19's errors.
    """

    ranked: tuple[Candidate, ...]
    top_k: int
    code: str = ""
    reason: str = ""

    @property
    def chosen(self) -> tuple[Candidate, ...]:
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
    matched = [
        responder
        for responder in k.plan.responders
        if not has_part(k, responder, exclude) and is_wanted(responder, wants, k.plan.input, k.now)
    ]
    relevant = relevant_of(k, wants, matched)
    present = [one for one in relevant if is_available(one.responder, k.now)]
    if not present and (final if k.rules.place_decides else looks_final(k.query, wants)):
        present = [one for one in relevant if one.responder.kind == "actor"]
    ranked = tuple(sorted(present, key=_rank))
    if k.rules.asked_once:
        ranked = once_each(k, ranked)
    if ranked[:top_k]:
        return Choice(ranked, top_k)
    return Choice(ranked, top_k, *_nobody(k, wants, len(matched), len(relevant)))


def has_part(k: K, responder: Responder, taken: frozenset[str]) -> bool:
    """Whether a responder is among those that ``parts`` named."""
    return (
        responder.id in taken
        or (k.rules.one_part_each and responder.did in taken)
        or (k.rules.one_model_each and responder.alias_of in taken)
    )


def is_wanted(responder: Responder, wants: Iterable[Want], given: Any, now: int) -> bool:
    """Whether an active responder meets any of ``wants``: all that one of them says (P8)."""
    if responder.status == "active":
        for want in wants:
            if suits(responder, want) and suits_now(responder, want, given, now):
                return True
    return False


def relevant_of(k: K, wants: Sequence[Want], matched: Iterable[Responder]) -> list[Candidate]:
    """Those who are fast enough and relevant enough to be asked (P9).

    Too slow is who typically takes more than half of the time there is.
    """
    half = (k.plan.ends - k.opened) / SECOND / 2
    threshold = k.query.relevance.threshold
    return [
        Candidate(responder, score)
        for responder in matched
        if (responder.typical_delay_secs or 0.0) <= half
        and (score := relevance(k, wants, responder)) >= threshold
    ]


def once_each(k: K, ranked: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those ranked, each person and each model of the box under the first of its names alone."""
    first: dict[tuple[bool, str | None], Candidate] = {}
    return tuple(one for one in ranked if first.setdefault(_self(k, one.responder), one) is one)


def _self(k: K, who: Responder) -> tuple[bool, str | None]:
    """What two names of one person, or of one model of the box, have in common."""
    if who.kind == "actor":
        return True, who.did
    return False, (who.alias_of if k.rules.one_model_each else None) or who.id


def parts(k: K, calls: Iterable[Call]) -> frozenset[str]:
    """Whom another part of the query must not ask: the responders of these calls, and the people.

    People are named by did: the responder's own, and that of the delegate who answered instead.
    A model of the box that was asked under another name is named by the id it answers under.
    """
    names: set[str | None] = set()
    for call in calls:
        names.add(call.responder)
        if k.rules.one_part_each and call.kind == "actor":
            names.add(k.responder(call.responder).did)
            names.add(call.response.by if call.response is not None else None)
        if k.rules.one_model_each:
            names.add(k.responder(call.responder).alias_of)
    return frozenset(filter(None, names))


def suits(responder: Responder, want: Want) -> bool:
    """Whether every predicate holds that does not depend on the moment (P8)."""
    if want.kind is not None and want.kind != responder.kind:
        return False
    if want.id is not None and want.id != responder.id:
        return False
    if want.model is not None and want.model != responder.model:
        return False
    if want.did is not None and want.did != responder.did:
        return False
    if want.domain is not None and want.domain not in responder.domains:
        return False
    if want.capability is not None and want.capability not in capabilities(responder):
        return False
    if want.trust_gte is not None and responder.trust < want.trust_gte:
        return False
    if want.trust_lt is not None and responder.trust >= want.trust_lt:
        return False
    if want.latency_secs is not None and (responder.typical_delay_secs or 0.0) > want.latency_secs:
        return False
    return want.budget_usd is None or responder.cost.typical <= want.budget_usd


def suits_now(responder: Responder, want: Want, given: Any, now: int) -> bool:
    """Whether every predicate holds that depends on the moment or the input (P8).

    An expression that ends in an error does not hold (P15).
    """
    if want.age_days_lt is not None and (
        responder.seen <= 0 or now - responder.seen >= want.age_days_lt * DAY
    ):
        return False
    if want.available is not None and is_available(responder, now) != want.available:
        return False
    if want.expression is None:
        return True
    held = cel.holds(want.expression, {"responder": as_data(responder), "input": given})
    return held is True


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
    able = {want.capability for want in wants if want.capability}
    versed = {want.domain for want in wants if want.domain}
    if not (able or versed):
        return 1.0
    met = len(able & capabilities(responder)) + len(versed & set(responder.domains))
    return met / (len(able) + len(versed))


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


def _rank(one: Candidate) -> tuple[float, float, float, str]:
    who = one.responder
    delay = math.inf if who.typical_delay_secs is None else who.typical_delay_secs
    return (-one.relevance, -who.trust, delay, who.id)


def _nobody(k: K, wants: Sequence[Want], matched: int, relevant: int) -> tuple[str, str]:
    if not matched:
        return "no_candidates", _why_no_candidates(k, wants)
    if not relevant:
        threshold = k.query.relevance.threshold
        return (
            "no_relevant_candidates",
            f"none of {matched} candidates is fast enough and at least {threshold:g} relevant",
        )
    return "responder_unavailable", f"none of {relevant} relevant candidates is available now"


def _why_no_candidates(k: K, wants: Sequence[Want]) -> str:
    if k.rules.nobody_explained:
        if not wants:
            return "the query names nobody for this"
        if any(is_wanted(one, wants, k.plan.input, k.now) for one in k.plan.responders):
            return "whoever meets the predicates has another part of the query"
    return "no responder meets any of the predicates"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical(value).decode()
