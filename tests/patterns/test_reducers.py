"""What the third to seventh reducer changed, beside what runs of the ones before do (P5)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tools.golden.play import Data, Play, ids, intend, llm, paid, person, query, state
from tools.golden.stories.retry import again, retry
from tools.golden.stories.telling import lost
from tools.golden.stories.verify import check
from tools.golden.stories.waterfall import fall, stages

SECOND_AND_THIRD = (2, 3)


@pytest.mark.parametrize(("reducer", "attempts", "overrun"), [(2, 3, 1.8), (3, 1, 0.6)])
def test_an_overrun_is_not_spent_again(reducer: int, attempts: int, overrun: float) -> None:
    """P13: who billed 90 cents where 30 were agreed leaves 10 of the dollar, not 70."""
    pattern = again("true")
    play = Play(intend(query("a", pattern=pattern), paid("a", 0.3), budget=1.0, reducer=reducer))
    while play.open:
        play.reply(play.open[0], 1, cost=0.9)
    assert len(play.asked) == attempts
    assert play.end["cost"]["overrun"] == overrun
    assert play.end["cost"]["settled"] == pytest.approx(0.3 * attempts)


def test_an_overrun_beyond_the_budget_leaves_nothing_and_those_who_are_free() -> None:
    """P13: what is left is never below zero, so a tier that costs nothing is asked still."""
    tiers = [{"name": name, "responders": ids(name), "expression": "true"} for name in "abc"]
    pattern = {"pattern": "escalate", "tiers": tiers}
    who = [paid("a", 0.3), paid("b", 0.3), llm("c")]
    play = Play(intend(query("a", pattern=pattern), *who, budget=1.0, reducer=3))
    play.reply("tier:0/0", 1, cost=5.0)
    assert play.k.left() == 0
    assert play.asked == ["tier:0/0#1", "tier:2/0#1"]


@pytest.mark.parametrize(("reducer", "handed"), [(2, 2.0), (3, 1.5)])
def test_an_overrun_is_not_handed_down(reducer: int, handed: float) -> None:
    """P13: what the next queries get is carved from what is left, after all that was billed."""
    fires = [{"name": "next", "query": query("a")}]
    body = intend(query("a", triggers=fires), paid("a", 1.0), budget=3.0, reducer=reducer)
    [begun] = Play(body).reply("primary/0", 1, cost=1.5).bodies("trigger")
    assert begun["budget"] == handed


@pytest.mark.parametrize(("reducer", "dial"), [(2, {}), (3, {"max_tokens": 1024})])
def test_an_attempt_with_a_limit_of_its_own_asks_for_what_it_reserves(
    reducer: int, dial: Data
) -> None:
    """P13: 1024 tokens were reserved for, so no more of them may be answered."""
    priced = llm("a", cost={"per_1k_output": 2.0})
    pattern = again(adjustments=[{"max_cost_usd": 3.0}])
    play = Play(intend(query("a", pattern=pattern), priced, reducer=reducer))
    play.reply("attempt:0/0", 1, confidence=0.1)
    assert play.called("attempt:0/0#1")["ask"]["dial"] == {}
    limited = play.called("attempt:1/0#1")
    assert limited["ask"]["dial"] == dial
    assert limited["reserved"] == 2.048


@pytest.mark.parametrize(("reducer", "sent"), [(2, 3), (3, 1)])
def test_an_attempts_own_limit_holds_for_what_is_sent_again(reducer: int, sent: int) -> None:
    """P13: failures that were billed are part of what this attempt may cost."""
    pattern = again(max_attempts=2, adjustments=[{"max_cost_usd": 1.5}])
    play = retry(pattern, reducer=reducer).reply("attempt:0/0", 1, confidence=0.1)
    for _ in range(2):
        if play.open:
            play.fail("attempt:1/0", transport=True, cost=1.0)
    assert len([name for name in play.asked if name.startswith("attempt:1")]) == sent


def test_lost_work_is_reserved_once_under_an_attempts_own_limit() -> None:
    """P4, P13: the same work again needs no other money."""
    pattern = again(adjustments=[{"max_cost_usd": 1.5}])
    play = retry(pattern, reducer=3).reply("attempt:0/0", 1, confidence=0.1)
    lost("attempt:1/0", play, 2)
    assert play.asked[1:] == ["attempt:1/0#1", "attempt:1/0#2", "attempt:1/0#3"]
    assert play.k.reserved == 1_000_000_000


@pytest.mark.parametrize("reducer", SECOND_AND_THIRD)
@pytest.mark.parametrize(("lost_one", "other"), [("primary", "verifier"), ("verifier", "primary")])
def test_whoever_of_the_pair_is_lost_is_asked_again_while_the_other_is_at_it(
    lost_one: str, other: str, reducer: int
) -> None:
    """P4: and not when the other has answered, which may be days after the deadline."""
    play = check(reducer=reducer).lose(f"{lost_one}/0")
    waits = reducer == 2 and lost_one == "verifier"
    assert (f"{lost_one}/0#2" in play.asked) is not waits
    play.reply(f"{other}/0", 1)
    assert f"{lost_one}/0#2" in play.asked
    assert play.reply(f"{lost_one}/0", 1).end["status"] == "fulfilled"
    assert state(play) == play.k


def test_both_of_a_pair_are_asked_again_at_once() -> None:
    """P4, P13: each from what the other has left."""
    play = check(budget=2.0, reducer=3)
    lost("primary/0", play)
    lost("verifier/0", play)
    assert play.open == ["primary/0", "verifier/0"]
    assert play.k.left() == 0


@pytest.mark.parametrize(("reducer", "again_at_once"), [(2, False), (3, True)])
def test_a_failure_of_the_transport_that_comes_late_uses_up_none(
    reducer: int, again_at_once: bool
) -> None:
    """P12: late is billed and nothing else; the run may make one failure good, and that is one."""
    play = retry(again(max_transport_errors=1), reducer=reducer).passes(300)
    play.lose("attempt:0/0").lose("attempt:1/0")
    assert ("attempt:1/0#2" in play.asked) is again_at_once


AWAY = person("p", available=False)
TIERS = [{"name": str(i), "responders": ids(who)} for i, who in enumerate("pap")]
STAGES = [{**tier, "accept_expression": "true"} for tier in TIERS]


@pytest.mark.parametrize(
    ("pattern", "second", "third"),
    [
        ({"pattern": "single_shot"}, "primary/0", "primary/0"),
        (
            {"pattern": "verify", "verifier": ids("a"), "tiebreaker": ids("b")},
            "primary/0 verifier/0",
            "verifier/0",
        ),
        (
            {"pattern": "verify", "verifier": ids("a")},
            "primary/0 verifier/0",
            "primary/0 verifier/0",
        ),
        ({"pattern": "waterfall", "stages": STAGES}, "stage:0/0", "stage:1/0"),
        ({"pattern": "escalate", "tiers": TIERS}, "tier:0/0", "tier:1/0"),
        (again(adjustments=[{"responders": ids("a")}]), "attempt:0/0", "attempt:1/0"),
        (again(adjustments=[{"dial": {"seed": 1}}]), "attempt:0/0", "attempt:0/0"),
        (again(max_attempts=1), "attempt:0/0", "attempt:0/0"),
        (
            {"pattern": "ensemble_with_audit", "auditor": ids("p"), "backup_auditor": ids("a")},
            "",
            "primary/0",
        ),
    ],
)
def test_who_is_away_is_waited_for_only_where_nobody_comes_after(
    pattern: Data, second: str, third: str
) -> None:
    """P9: the filter never empties a final human tier, and only such a one is final."""
    for reducer, slots in zip(SECOND_AND_THIRD, (second, third), strict=True):
        who = [AWAY, llm("a"), llm("b")]
        play = Play(intend(query("p", pattern=pattern), *who, reducer=reducer))
        assert [name.removesuffix("#1") for name in play.asked] == slots.split()


def away_after(asked: str, *replies: tuple[str, Any], **pattern: Any) -> list[str]:
    """Who was asked in the end where the person is away."""
    play = Play(intend(query(asked, pattern=pattern), AWAY, llm("a"), llm("b"), reducer=3))
    for slot, value in replies:
        play.reply(slot, value, confidence=0.1)
    return play.asked


def test_who_is_away_is_asked_once_all_others_were() -> None:
    """P9: the tiebreaker, the last attempt, the backup auditor, and a judge whom none follows."""
    pair = (("primary/0", 1), ("verifier/0", 2))
    verify = {"pattern": "verify", "verifier": ids("b")}
    assert away_after("a", *pair, **verify, tiebreaker=ids("p"))[-1] == "tiebreaker/0#1"
    judge = {"responders": ids("p")}
    assert away_after("a", *pair, **verify, judge=judge)[-1] == "judge/0#1"
    attempts = again(max_attempts=2, adjustments=[{"responders": ids("p")}])
    assert away_after("a", ("attempt:0/0", 1), **attempts)[-1] == "attempt:1/0#1"
    audit = {"pattern": "ensemble_with_audit", "auditor": ids("p")}
    assert away_after("a", ("primary/0", 1), **audit)[-1] == "audit/0#1"
    backed = {**audit, "backup_auditor": ids("b")}
    assert away_after("a", ("primary/0", 1), **backed)[-1] == "backup/0#1"


def test_a_judge_who_is_away_leaves_it_to_the_tiebreaker() -> None:
    """P9, P16: a second opinion has no other after it, so there the judge is asked."""
    pattern: Data = {"pattern": "verify", "verifier": ids("b"), "judge": {"responders": ids("p")}}
    who = [AWAY, llm("a"), llm("b"), llm("c")]
    body = intend(query("a", pattern={**pattern, "tiebreaker": ids("c")}), *who, reducer=3)
    play = Play(body).reply("primary/0", 1).reply("verifier/0", 2)
    assert play.open == ["tiebreaker/0"]
    alone = Play(body).fail("verifier/0").reply("primary/0", 1).reply("tiebreaker/0", 2)
    assert alone.open == ["judge/0"]


@pytest.mark.parametrize(("reducer", "kept"), [(2, None), (3, [{"id": "x"}])])
@pytest.mark.parametrize(
    ("pattern", "slot", "status"),
    [
        (again(max_attempts=1), "attempt:0/0", "degraded"),
        (stages("a"), "stage:0/0", "unfulfilled"),
        (stages("a", "b"), "stage:0/0", "degraded"),
    ],
)
def test_an_answer_that_is_committed_in_the_end_keeps_what_was_promised_with_it(
    pattern: Data, slot: str, status: str, reducer: int, kept: list[Data] | None
) -> None:
    """P7, P13: whoever uses a degraded answer owes what came with it."""
    play = fall(pattern, budget=0.5, reducer=reducer)
    if slot.startswith("attempt"):
        play = Play(intend(query("a", pattern=pattern), llm("a"), reducer=reducer))
    end = play.reply(slot, 1, confidence=0.1, obligations=[{"id": "x"}]).end
    assert (end["status"], end["answer"], end.get("obligations")) == (status, 1, kept)
    assert play.bodies("learn")[0]["candidate"].get("obligations") == kept


def test_of_an_answer_that_was_not_committed_nothing_is_owed() -> None:
    """P7: the best candidate's obligations, and no other's."""
    play = retry(again(max_attempts=2), reducer=3)
    play.reply("attempt:0/0", 1, confidence=0.1, obligations=[{"id": "x"}])
    play.reply("attempt:1/0", 2, confidence=0.5)
    assert play.end["answer"] == 2
    assert "obligations" not in play.end


@pytest.mark.parametrize(("reducer", "auditor"), [(3, "did:b"), (4, "did:c")])
def test_a_delegate_does_not_audit_what_he_answered(reducer: int, auditor: str) -> None:
    """rules §6: nobody audits himself, in whatever place he answered."""
    pattern = {"pattern": "ensemble_with_audit", "auditor": ids("b", "c")}
    who = [person("a", sla_secs=10, delegates=["did:b"]), person("b", trust=0.95), person("c")]
    play = Play(intend(query("a", pattern=pattern), *who, reducer=reducer)).passes(11)
    play.reply("primary/0", "mine", by="did:b")
    assert play.called("audit/0#1")["responder"]["did"] == auditor


@pytest.mark.parametrize(("reducer", "verifier"), [(3, "ann too"), (4, "v")])
def test_one_person_under_two_names_does_not_verify_herself(reducer: int, verifier: str) -> None:
    """rules §6: the verifier is another one."""
    pattern = {"pattern": "verify", "verifier": ids("ann too", "v"), "tiebreaker": []}
    who = [person("ann"), person("ann too", did="did:ann", trust=0.99), llm("v")]
    play = Play(intend(query("ann", pattern=pattern), *who, reducer=reducer))
    assert play.called("verifier/0#1")["responder"]["id"] == verifier


@pytest.mark.parametrize(("reducer", "tools", "schema"), [(3, 0, 0), (4, 1, 1)])
def test_a_worst_case_counts_all_that_is_sent_with_the_messages(
    reducer: int, tools: int, schema: int
) -> None:
    """P13: tools and an answer's schema are input that is billed."""
    priced = llm("a", cost={"per_1k_input": 1000.0})

    def reserved(**members: Any) -> float:
        play = Play(intend(query("a", **members), priced, reducer=reducer))
        ask = play.called("primary/0#1")["ask"]
        return play.k.reserved / 1e9 - len(msgspec.json.encode(ask["messages"]))

    assert reserved() == 0
    extra = {"tools": [{"name": "look", "description": "x" * 1000}]}
    assert reserved(dial={"extra": extra}) == tools * len(msgspec.json.encode(extra))
    shape = {"kind": "json", "schema": {"type": "object"}}
    assert reserved(answer_shape=shape) == schema * len(msgspec.json.encode(shape["schema"]))


@pytest.mark.parametrize(("reducer", "again_too"), [(3, True), (4, False)])
def test_an_overrun_counts_in_the_limit_of_its_round(reducer: int, again_too: bool) -> None:
    """P13: where five dollars were billed of an attempt's one, nothing more is asked in it."""
    pattern = again("confidence < 0.9", adjustments=[{"max_cost_usd": 1.0}], max_attempts=2)
    who = [paid("a", 0.4), paid("b", 0.4)]
    play = Play(intend(query("a", "b", pattern=pattern), *who, budget=100.0, reducer=reducer))
    play.reply("attempt:0/0", 1, confidence=0.1).reply("attempt:0/1", 1, confidence=0.1)
    play.reply("attempt:1/0", 2, confidence=0.1, cost=5.0).lose("attempt:1/1")
    assert ("attempt:1/1#2" in play.asked) is again_too


@pytest.mark.parametrize(("reducer", "asked"), [(3, []), (4, ["tier:1/0"])])
def test_a_free_tier_finds_who_is_free_behind_who_is_better(reducer: int, asked: list[str]) -> None:
    """P13: escalate goes to a free tier."""
    tiers = [{"name": "t", "responders": ids("a")}, {"name": "u", "responders": ids("b", "p")}]
    who = [paid("a", 5.0), paid("b", 5.0, trust=0.99), person("p")]
    pattern = {"pattern": "escalate", "tiers": tiers}
    play = Play(intend(query("a", pattern=pattern), *who, budget=1.0, reducer=reducer))
    assert play.open == asked


def test_what_a_fold_makes_is_no_deeper_than_what_is_given() -> None:
    """P17: it has to be recorded, as a candidate or in advice too."""
    source = "responses[0].answer" + ".map(x, [[[[[[[[[[x]]]]]]]]]])" * 4
    tiers = [{"name": name, "responders": ids(name), "expression": "true"} for name in "ab"]
    fold = {"kind": "expression", "expression": source}
    value: Any = 1
    for _ in range(60):
        value = [value]
    body = query("a", fold=fold, pattern={"pattern": "escalate", "tiers": tiers})
    play = Play(intend(body, llm("a"), llm("b"), reducer=4)).reply("tier:0/0", value)
    assert play.bodies("learn")[0]["trigger"] == "fold_failed"
    assert play.open == ["tier:1/0"]


def test_what_a_fold_makes_is_no_larger_than_what_is_given() -> None:
    """P17."""
    fold = {"kind": "expression", "expression": "responses.map(r, r.answer)"}
    play = Play(intend(query("a", "b", fold=fold), llm("a"), llm("b"), reducer=4))
    play.reply("primary/0", "x" * 2**20).reply("primary/1", "y" * 2**20)
    assert (play.end["code"], play.end["reason"][-24:]) == (
        "fold_failed",
        "at most 2097152 are kept",
    )


def test_what_is_wrong_with_what_a_fold_made_is_told_in_a_few_words_where_it_could_take_long() -> (
    None
):
    """P11: as of an answer that is given."""
    schema = {"$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
    shape = {"kind": "json", "schema": {**schema, "required": ["x"]}}
    fold = {"kind": "expression", "expression": "{'y': 1}"}
    play = Play(intend(query("a", fold=fold, answer_shape=shape), llm("a"), reducer=4))
    play.reply("primary/0", {"x": 1})
    assert play.end["code"] == "answer_shape_mismatch"
    assert "where is not said, as the schema leads back to itself" in play.end["reason"]


@pytest.mark.parametrize(("reducer", "asked"), [(4, ["eve-law", "eve-tax"]), (5, ["eve-law"])])
def test_a_person_of_two_names_is_asked_once(reducer: int, asked: list[str]) -> None:
    """P9: one person's word does not count twice, and the third is asked instead."""
    who = [person(name, did="did:eve") for name in ("eve-law", "eve-tax")]
    body = query(*asked, "eve-tax", relevance={"top_k": 3})
    play = Play(intend(body, *who, reducer=reducer))
    assert [each["responder"]["id"] for each in play.bodies("call")] == asked
    others = [*who, person("bob", trust=0.1)]
    wider = query("eve-law", "eve-tax", "bob", relevance={"top_k": 2})
    play = Play(intend(wider, *others, reducer=reducer))
    second = "bob" if reducer == 5 else "eve-tax"
    assert [each["responder"]["id"] for each in play.bodies("call")] == ["eve-law", second]


@pytest.mark.parametrize("reducer", [5, 6])
def test_two_responders_that_somebody_listed_are_two_though_they_have_one_model(
    reducer: int,
) -> None:
    """P9: several samples of one model are several answers."""
    who = [llm("one", model="chat"), llm("two", model="chat")]
    play = Play(intend(query("one", "two", relevance={"top_k": 2}), *who, reducer=reducer))
    assert play.open == ["primary/0", "primary/1"]


@pytest.mark.parametrize(("reducer", "asked"), [(5, ["big", "chat"]), (6, ["big", "small"])])
def test_a_model_of_the_box_is_asked_once_whatever_it_serves(
    reducer: int, asked: list[str]
) -> None:
    """P9: in a round, and in the parts that others must have, in whichever order."""
    who = [llm("big"), llm("chat", alias_of="big"), llm("small", trust=0.1)]
    body = query("big", "chat", "small", relevance={"top_k": 2})
    play = Play(intend(body, *who, reducer=reducer))
    assert [each["responder"]["id"] for each in play.bodies("call")] == asked
    for first, second in (("big", "chat"), ("chat", "big")):
        pattern = {"pattern": "verify", "verifier": ids(second, "small"), "tiebreaker": []}
        play = Play(intend(query(first, pattern=pattern), *who, reducer=reducer))
        other = second if reducer == 5 else "small"
        assert [each["responder"]["id"] for each in play.bodies("call")] == [first, other]


@pytest.mark.parametrize(
    ("reducer", "why"),
    [
        (5, "no responder meets any of the predicates"),
        (6, "whoever meets the predicates has another part of the query"),
    ],
)
def test_who_has_another_part_is_said_to_have_one(reducer: int, why: str) -> None:
    """P9, P19: nobody would understand that no responder meets what one does."""
    pattern = {"pattern": "verify", "verifier": ids("a"), "tiebreaker": ids("a")}
    play = Play(intend(query("a", pattern=pattern), llm("a"), reducer=reducer))
    play.reply("primary/0", 1)
    assert play.end["reason"] == f"no tiebreaker could be asked: {why}"


@pytest.mark.parametrize(
    ("reducer", "why"),
    [(5, "no responder meets any of the predicates"), (6, "the query names nobody for this")],
)
def test_that_nobody_was_named_is_said_where_two_disagree(reducer: int, why: str) -> None:
    """P19."""
    pattern = {"pattern": "verify", "verifier": ids("b"), "tiebreaker": []}
    play = Play(intend(query("a", pattern=pattern), llm("a"), llm("b"), reducer=reducer))
    play.reply("primary/0", 1).reply("verifier/0", 2)
    assert play.end["reason"] == f"no tiebreaker could be asked: {why}"


@pytest.mark.parametrize(("reducer", "asked"), [(6, []), (7, [{"primary/0#1": "did:q"}])])
def test_who_breaks_a_promise_is_silent_again(reducer: int, asked: list[Data]) -> None:
    """P18: the next delegate is asked when the promised time is over, and not before."""
    ann = person("p", sla_secs=100, delegates=["did:q"])
    play = Play(intend(query("p"), ann, reducer=reducer)).accept("primary/0", eta=200)
    play.passes(100, "delegate:primary/0#1").passes(99)
    assert not any("delegate" in body for body in play.bodies("learn"))
    play.passes(1, "delegate:primary/0#1")
    found = [body["delegate"] for body in play.bodies("learn") if "delegate" in body]
    assert found == asked
