"""P8, P9: who meets a predicate, how relevant they are, and who is asked in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.patterns.sample_runs import DAY, NOON, llm, person, run

from covend.patterns.query.spec import Want
from covend.patterns.reducers import RULES
from covend.patterns.responders import choosing
from covend.patterns.responders.choosing import choose
from covend.patterns.responders.responder import Cost, Hours, Responder
from covend.patterns.state import K

SUBJECT = Responder(
    id="a",
    kind="llm",
    model="chat",
    did="did:web:a",
    domains=("law",),
    capabilities=("reasoning",),
    trust=0.6,
    seen=NOON - 2 * DAY,
    typical_delay_secs=4.0,
    cost=Cost(per_call=0.01, per_1k_input=0.02, per_1k_output=0.03),
)


def chosen(k: Any, top_k: int = 10, **more: Any) -> list[str]:
    return [one.responder.id for one in choose(k, k.query.responders, top_k, **more).chosen]


def wanted(responder: Responder, *wants: Want, given: Any = None) -> bool:
    return choosing.is_wanted(responder, wants, given, NOON)


@pytest.mark.parametrize(
    ("want", "met"),
    [
        (Want(), True),
        (Want(kind="llm"), True),
        (Want(kind="actor"), False),
        (Want(id="a"), True),
        (Want(id="b"), False),
        (Want(model="chat"), True),
        (Want(model="code"), False),
        (Want(did="did:web:a"), True),
        (Want(did="did:web:b"), False),
        (Want(domain="law"), True),
        (Want(domain="tax"), False),
        (Want(capability="reasoning"), True),
        (Want(capability="chat"), True),  # a model of this box is named by its capability
        (Want(capability="vision"), False),
        (Want(trust_gte=0.6), True),
        (Want(trust_gte=0.61), False),
        (Want(trust_lt=0.61), True),
        (Want(trust_lt=0.6), False),
        (Want(budget_usd=0.06), True),
        (Want(budget_usd=0.05), False),
        (Want(latency_secs=4.0), True),
        (Want(latency_secs=3.9), False),
        (Want(age_days_lt=2.5), True),
        (Want(age_days_lt=2.0), False),
        (Want(available=True), True),
        (Want(available=False), False),
        (Want(expression="responder.trust > 0.5 && input.urgent"), True),
        (Want(expression="responder.cost.per_call > 0.5"), False),
        (Want(expression="responder.hours == null"), True),
        (Want(kind="llm", trust_gte=0.5, domain="law"), True),
        (Want(kind="llm", trust_gte=0.9, domain="law"), False),
    ],
)
def test_everything_that_a_want_says_must_hold(want: Want, met: bool) -> None:
    """P8: AND within an entry."""
    assert wanted(SUBJECT, want, given={"urgent": True}) is met


def test_any_of_the_wants_is_enough() -> None:
    """P8: OR across entries."""
    assert wanted(SUBJECT, Want(kind="actor"), Want(model="chat"))
    assert not wanted(SUBJECT, Want(kind="actor"), Want(model="code"))
    assert not wanted(SUBJECT)


@pytest.mark.parametrize("expression", ["responder.nope > 1", "1 / 0 == 1", "responder.trust"])
def test_an_expression_that_ends_in_an_error_keeps_the_responder_out(expression: str) -> None:
    """P15: an error in a predicate means out, and so does what is neither true nor false."""
    assert not wanted(SUBJECT, Want(expression=expression), given={})
    either = Want(expression=f"({expression}) || true")
    assert wanted(SUBJECT, either, given={}), "the other side decides, as CEL has it"


def test_the_young_are_told_from_the_never_seen() -> None:
    """P8: who was never seen is not young."""
    assert not wanted(llm(), Want(age_days_lt=10_000))


def test_the_retired_are_never_asked() -> None:
    """P8: not even a person in the final tier."""
    k = run(person("eve"), llm("b"))
    assert wanted(person("eve"), *k.query.responders)
    assert not wanted(person("eve", status="retired"), *k.query.responders)


@pytest.mark.parametrize(
    ("responder", "expected"),
    [
        # .35·trust + .25·capability match + .15·recency + .25·input match
        (llm(trust=1.0, seen=NOON), 0.35 + 0.25 + 0.15 + 0.125),
        (llm(trust=0.0), 0.25 + 0.075 + 0.125),
        (llm(trust=0.4, seen=NOON - 30 * DAY), 0.14 + 0.25 + 0.075 + 0.125),
        (llm(trust=0.4, seen=NOON, domains=("tax_law",)), 0.14 + 0.25 + 0.15 + 0.25),
        (llm(trust=0.4, seen=NOON, domains=("tax office",)), 0.14 + 0.25 + 0.15 + 0.125),
        (llm(trust=0.4, seen=NOON, domains=("chess",)), 0.14 + 0.25 + 0.15),
        (llm(trust=0.4, seen=NOON + DAY), 0.14 + 0.25 + 0.15 + 0.125),
        (llm(trust=7.0, seen=NOON), 0.35 + 0.25 + 0.15 + 0.125),
    ],
)
def test_relevance_is_the_weighted_sum(responder: Responder, expected: float) -> None:
    """P9."""
    k = run(responder, question="Which TAX is due?", input={"inline": {"about": "law"}})
    assert choosing.relevance(k, k.query.responders, responder) == pytest.approx(expected)


def test_capability_match_is_the_share_of_what_is_named() -> None:
    """P9: two capabilities and a domain are named; the responder has two of the three."""
    wants = [Want(capability="vision"), Want(capability="reasoning"), Want(domain="law")]
    assert choosing.capability_match(wants, SUBJECT) == pytest.approx(2 / 3)
    assert choosing.capability_match([Want(kind="llm")], SUBJECT) == 1.0


def test_a_domain_that_is_asked_for_by_name_matches_the_input() -> None:
    """P9: the asker knows better than the words of the question."""
    k = run(SUBJECT, question="Why?")
    assert choosing.input_match(k, [Want(domain="law")], SUBJECT) == 1.0
    assert choosing.input_match(k, [Want()], SUBJECT) == 0.0


def test_below_the_threshold_nobody_is_asked() -> None:
    """P9: at the threshold is in, below is out."""
    k = run(llm("a", trust=0.0), relevance={"threshold": 0.45})
    assert chosen(k) == ["a"]
    k = run(llm("a", trust=0.0), relevance={"threshold": 0.46})
    choice = choose(k, k.query.responders, 3)
    assert (choice.chosen, choice.code) == ((), "no_relevant_candidates")


def test_a_slow_candidate_is_dropped_however_relevant() -> None:
    """P9: typical delay more than half of the max latency is out; exactly half is in."""
    responders = [
        llm("half", trust=1.0, typical_delay_secs=10.0),
        llm("slow", trust=1.0, typical_delay_secs=10.5),
        llm("unmeasured"),
    ]
    k = run(*responders, side_effects={"max_latency_secs": 20})
    assert chosen(k) == ["half", "unmeasured"]


def test_nobody_is_no_candidate_or_not_relevant_or_not_available() -> None:
    """P19: three reasons, three codes."""
    k = run(llm("a", available=False), relevance={"threshold": 0.1})
    assert choose(k, [Want(kind="actor")], 1).code == "no_candidates"
    assert choose(k, [Want(id="a")], 1).code == "responder_unavailable"
    strict = run(llm("a"), relevance={"threshold": 0.99})
    assert choose(strict, [Want(id="a")], 1).code == "no_relevant_candidates"


def test_who_is_excluded_is_not_asked() -> None:
    """rules §6, verify: the verifier is another responder."""
    k = run(llm("a"), llm("b"))
    assert chosen(k, exclude=frozenset({"a"})) == ["b"]
    both = frozenset({"a", "b"})
    assert choose(k, k.query.responders, 1, both).code == "no_candidates"


def test_the_best_are_ranked_first() -> None:
    """P9: relevance, trust, delay, id; who is absent or not wanted has no rank."""
    responders = [
        llm("d", trust=0.9),
        llm("c", typical_delay_secs=1.0),
        llm("b"),
        llm("a"),
        llm("off", available=False),
        person("eve"),
    ]
    k = run(*responders, responders=[{"kind": "llm"}, {"id": "eve", "trust_gte": 0.8}])
    choice = choose(k, k.query.responders, 3)
    assert [one.responder.id for one in choice.chosen] == ["d", "c", "a"]
    assert [one.responder.id for one in choice.ranked] == ["d", "c", "a", "b"]


TRUSTS = {"a": 0.5, "b": 0.5, "c": 0.9, "d": 0.2, "e": 0.5}


@given(st.permutations([llm(n, trust=t) for n, t in TRUSTS.items()]))
def test_the_order_of_the_registry_changes_nothing(responders: list[Responder]) -> None:
    """P2: the choice is a function of the plan's content."""
    assert chosen(run(*responders), 4) == ["c", "a", "b", "e"]


OFFICE = Hours(days=(0, 1, 2, 3, 4), start=9.0, end=17.0, utc_offset=1.0)
"""It is Saturday."""


def test_who_is_not_available_is_not_asked() -> None:
    """P9: status and hours."""
    k = run(llm("off", available=False), llm("on"), person("eve", hours=OFFICE))
    assert chosen(k) == ["on"]


def test_the_filter_never_empties_a_final_human_tier() -> None:
    """P9: people are asked all the same where nobody comes after them; machines are not."""
    k = run(person("eve", hours=OFFICE), person("bob", available=False), llm("c", available=False))
    assert chosen(k) == ["bob", "eve"]
    assert chosen(run(llm("c", available=False))) == []


def test_a_round_that_is_not_the_last_may_be_emptied() -> None:
    """P9: somebody else is asked after it, whatever it wants."""
    k = run(person("eve", hours=OFFICE), person("bob", available=False))
    assert choose(k, k.query.responders, 2, final=False).code == "responder_unavailable"
    assert chosen(k, final=True) == ["bob", "eve"]


def of_the_second_reducer(k: K) -> K:
    """Until then a round's place was told by its wants."""
    return replace(k, rules=RULES[2])


def test_a_tier_below_the_last_could_be_emptied_by_what_it_wants() -> None:
    """P5, P9: above it somebody else answers."""
    low, high = {"id": "eve"}, {"id": "bob"}
    tiers = [{"name": "low", "responders": [low]}, {"name": "high", "responders": [high]}]
    k = run(
        person("eve", hours=OFFICE),
        person("bob", hours=OFFICE),
        responders=[low],
        orchestration={"pattern": "escalate", "tiers": tiers},
    )
    k = of_the_second_reducer(k)
    assert choose(k, [Want(id="eve")], 1).code == "responder_unavailable"
    assert [one.responder.id for one in choose(k, [Want(id="bob")], 1).chosen] == ["bob"]


def test_two_tiers_could_want_the_same_people() -> None:
    """P5, P9: the last tier is never emptied, even if one before it looks like it."""
    tiers = [{"name": name, "responders": [{"id": "eve"}]} for name in ("low", "high")]
    k = run(person("eve", hours=OFFICE), orchestration={"pattern": "escalate", "tiers": tiers})
    k = of_the_second_reducer(k)
    assert [one.responder.id for one in choose(k, [Want(id="eve")], 1).chosen] == ["eve"]


def test_an_absent_auditor_left_it_to_the_backup_he_did_not_resemble() -> None:
    """P5, P9: the backup auditor is the last tier of an audit, where there is one."""
    audit = {"pattern": "ensemble_with_audit", "auditor": [{"id": "eve"}]}
    people = [person("eve", hours=OFFICE), person("bob", hours=OFFICE)]
    backed = run(*people, orchestration={**audit, "backup_auditor": [{"id": "bob"}]})
    k = of_the_second_reducer(backed)
    assert choose(k, [Want(id="eve")], 1).code == "responder_unavailable"
    assert [one.responder.id for one in choose(k, [Want(id="bob")], 1).chosen] == ["bob"]
    alone = of_the_second_reducer(run(*people, orchestration=audit))
    assert [one.responder.id for one in choose(alone, [Want(id="eve")], 1).chosen] == ["eve"]


def test_a_stated_wish_for_the_available_is_kept_to_the_last() -> None:
    """P8 before P9: who asks for available people gets no others."""
    k = run(person("eve", hours=OFFICE), responders=[{"available": True}])
    assert choose(k, k.query.responders, 1).code == "no_candidates"
