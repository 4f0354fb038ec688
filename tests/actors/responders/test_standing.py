"""Trust, delay and availability as they are learned (P8)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools.golden.play import Play, ids, intend, llm, query

from covend.actors.responders.trust import (
    ABSENT_SECONDS,
    HALF_LIFE,
    MAX_FAILURES,
    Outcome,
    Standing,
    as_body,
    from_body,
    outcomes,
    wilson,
)

NOW = 1_000_000_000


def after(*verdicts, at=NOW, delay=1.0):
    standing = Standing()
    for verdict in verdicts:
        standing = standing.after(Outcome("r", verdict, at, delay))
    return standing


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_nobody_is_trusted_other_than_configured_before_anything_happened(prior):
    """P8: an unknown one has 0.5."""
    assert Standing().trust(prior, NOW) == pytest.approx(prior)


def test_the_bound_is_wilsons():
    """Against a table: 8 of 10 at one-sided 95 %."""
    assert wilson(8, 10) == pytest.approx(0.5413, abs=1e-3)
    assert wilson(0, 10) == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.sampled_from(["good", "bad", "neutral", "unreachable"]), max_size=40))
def test_trust_stays_within_bounds_and_a_good_outcome_never_lowers_it(verdicts):
    before = after(*verdicts)
    trust = before.trust(0.5, NOW)
    assert 0 <= trust < 1
    assert before.after(Outcome("r", "good", NOW)).trust(0.5, NOW) >= trust
    assert before.after(Outcome("r", "bad", NOW)).trust(0.5, NOW) <= trust
    assert before.after(Outcome("r", "unreachable", NOW)).trust(0.5, NOW) == trust


def test_what_happened_fades():
    """An outcome of a half-life ago counts half; after many of them nothing is known again."""
    bad = after("bad", "bad", "bad")
    later = NOW + round(HALF_LIFE * 1e6)
    assert bad.trust(0.5, NOW) < bad.trust(0.5, later) < 0.5
    assert bad.trust(0.5, NOW + round(40 * HALF_LIFE * 1e6)) == pytest.approx(0.5)


def test_the_typical_delay_is_the_median_of_the_last():
    standing = Standing()
    for delay in [900.0, *range(1, 10)]:
        standing = standing.after(Outcome("r", "good", NOW, float(delay)))
    assert standing.delay() == 5.0
    assert Standing().delay() is None
    assert after("unreachable", delay=3.0).delay() is None


def test_who_cannot_be_reached_thrice_in_a_row_is_left_alone_for_a_while():
    """Transport errors count as availability only."""
    gone = after(*["unreachable"] * MAX_FAILURES)
    assert not gone.available(NOW)
    assert gone.available(NOW + round((ABSENT_SECONDS + 1) * 1e6))
    assert after(*["unreachable"] * (MAX_FAILURES - 1)).available(NOW)
    assert gone.after(Outcome("r", "bad", NOW)).available(NOW)
    assert gone.trust(0.5, NOW) == 0.5


def test_standings_are_stored_and_read_back():
    standings = {"r": after("good", "bad", "unreachable")}
    assert from_body(as_body(standings)) == standings
    assert not math.isnan(standings["r"].trust(0.5, NOW))


def learned(play):
    """What the end of a play says of each responder."""
    roles = {"audit": "audit", "judge": "judge"}
    named = {name: roles.get(name.partition("/")[0], "answer") for name in play.k.calls}
    return {one.responder: one.verdict for one in outcomes(play.k, named, {})}


def asked(*names, pattern=None, **members):
    body = query(*names, pattern=pattern, **members)
    return Play(intend(body, *(llm(name) for name in "abc")))


VERIFY = {"pattern": "verify", "verifier": ids("b"), "tiebreaker": ids("c")}


@pytest.mark.parametrize(("said", "verdicts"), [
    ((41, 42, 42), {"a": "bad", "b": "good", "c": "good"}),
    ((42, 41, 42), {"a": "good", "b": "bad", "c": "good"}),
    ((41, 42, 43), {"a": "neutral", "b": "neutral", "c": "good"}),
    ((42, 42), {"a": "good", "b": "good"}),
])  # fmt: skip
def test_who_was_right_about_what_was_disputed_is_trusted_more(said, verdicts):
    """P8, verify: the tiebreaker sides with one of the two, or has a wording of its own."""
    play = asked("a", pattern=VERIFY)
    for value, slot in zip(said, ("primary/0", "verifier/0", "tiebreaker/0"), strict=False):
        play.reply(slot, value)
    assert play.end["status"] == "fulfilled"
    assert learned(play) == verdicts


@pytest.mark.parametrize(("first", "verdict"), [("yes", "good"), ("perhaps", "neutral")])
def test_who_left_the_decision_to_others_is_not_trusted_less(first, verdict):
    """P8, escalate: it said that it was not sure; and more, where the others confirm it."""
    tiers = [
        {"name": "m", "responders": ids("a"), "expression": "confidence < 0.9"},
        {"name": "h", "responders": ids("b"), "expression": "false"},
    ]
    play = asked("a", pattern={"pattern": "escalate", "tiers": tiers})
    play.reply("tier:0/0", first, confidence=0.5).reply("tier:1/0", "yes", confidence=1.0)
    assert learned(play) == {"a": verdict, "b": "good"}


@pytest.mark.parametrize(("fold", "said", "verdicts"), [
    ("majority", ("x", "x", "y"), {"a": "good", "b": "good", "c": "bad"}),
    ("consensus", ("x", "y", "z"), {"a": "good", "b": "neutral", "c": "neutral"}),
    ("best_of", ("x", "y", "z"), {"a": "good", "b": "neutral", "c": "neutral"}),
    ("merge", ({"m": 1}, {"n": 2}, {"o": 3}), {"a": "good", "b": "good", "c": "good"}),
])  # fmt: skip
def test_only_who_is_outvoted_by_two_was_wrong(fold, said, verdicts):
    """P8: another wording beside the best is no mistake."""
    shape = {"kind": "json"}
    play = asked("a", "b", "c", fold={"kind": fold}, answer_shape=shape, min_quorum=3)
    for number, value in enumerate(said):
        play.reply(f"primary/{number}", value, confidence=0.9 - number / 10)
    assert play.end["status"] == "fulfilled"
    assert learned(play) == verdicts


@pytest.mark.parametrize(("approved", "verdict"), [(True, "good"), (False, "bad")])
def test_who_gave_what_an_audit_rejected_is_trusted_less(approved, verdict):
    """P8, ensemble_with_audit."""
    pattern = {"pattern": "ensemble_with_audit", "auditor": ids("b")}
    play = asked("a", pattern=pattern).reply("primary/0", "x")
    play.reply("audit/0", {"approved": approved})
    assert play.end["status"] == ("fulfilled" if approved else "rejected")
    assert learned(play) == {"a": verdict, "b": "neutral"}


@pytest.mark.parametrize(("approved", "verdict"), [(True, "good"), (False, "bad")])
def test_who_had_a_part_in_what_an_audit_rejected_is_trusted_less(approved, verdict):
    """P8: of an answer that a fold made of several."""
    pattern = {"pattern": "ensemble_with_audit", "auditor": ids("c")}
    more = {"fold": {"kind": "merge"}, "answer_shape": {"kind": "json"}, "min_quorum": 2}
    play = asked("a", "b", pattern=pattern, **more)
    play.reply("primary/0", {"m": 1}).reply("primary/1", {"n": 2})
    play.reply("audit/0", {"approved": approved})
    assert learned(play) == {"a": verdict, "b": verdict, "c": "neutral"}


def test_who_says_the_same_again_in_one_run_says_it_once():
    """P8, retry_on_low_confidence."""
    pattern = {"pattern": "retry_on_low_confidence", "expression": "confidence < 0.9"}
    play = asked("a", pattern={**pattern, "max_attempts": 3})
    for attempt in range(3):
        play.reply(f"attempt:{attempt}/0", "Paris", confidence=0.1)
    named = dict.fromkeys(play.k.calls, "answer")
    verdicts = [one.verdict for one in outcomes(play.k, named, {})]
    assert verdicts == ["good", "neutral", "neutral"]


def test_whom_a_chain_of_equal_answers_connects_with_the_winner_was_not_outvoted():
    """P16, P17: consensus with a tolerance."""
    more = {"answer_shape": {"kind": "json"}, "min_quorum": 3}
    play = asked("a", "b", "c", fold={"kind": "consensus", "tolerance": {"$": 1}}, **more)
    for number, value in enumerate((1, 2, 3)):
        play.reply(f"primary/{number}", value)
    assert learned(play) == {"a": "good", "b": "good", "c": "good"}


def test_one_run_that_does_not_reach_somebody_is_one_failure():
    """P8: however often its slots tried."""
    tiers = [
        {"name": name, "responders": ids("a"), "expression": "false"} for name in ("one", "two")
    ]
    play = asked("a", pattern={"pattern": "escalate", "tiers": tiers})
    for tier in (0, 1):
        for _ in range(3):
            play.lose(f"tier:{tier}/0")
    told = outcomes(play.k, dict.fromkeys(play.k.calls, "answer"), {})
    assert [(one.responder, one.verdict) for one in told] == [("a", "unreachable")]


def test_who_was_reached_at_last_was_not_away():
    """P8: of a slot its last attempt counts."""
    play = asked("a").lose("primary/0").lose("primary/0").reply("primary/0", "x")
    told = outcomes(play.k, dict.fromkeys(play.k.calls, "answer"), {})
    assert [(one.responder, one.verdict) for one in told] == [("a", "good")]
