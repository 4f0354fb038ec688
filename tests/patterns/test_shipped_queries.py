"""The queries in configs/queries: admitted on the demo's box, and each pattern has one."""

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from covend.config import load
from covend.config.responders import from_config
from covend.patterns.query.admit import admit, every_wants
from covend.patterns.query.draft import DRAFTS, drafted, want
from covend.patterns.query.names import PATTERNS
from covend.patterns.query.spec import Orchestration, Query
from covend.patterns.reducers import CURRENT
from covend.patterns.responders.responder import to_data
from covend.patterns.step import SELECTS, start

CONFIGS = Path(__file__).parents[2] / "configs"
QUERIES = {path.stem: json.loads(path.read_text()) for path in (CONFIGS / "queries").glob("*.json")}
RESPONDERS = tuple(from_config(load(CONFIGS / "demo.toml")).values())
KNOWN = [to_data(responder) for responder in RESPONDERS]
QUERIES |= {
    f"drafted {name}": drafted("Why?", name, ["chatter", "lexicon"], known=KNOWN) for name in DRAFTS
}


@pytest.fixture(scope="module")
def responders():
    return RESPONDERS


FIRST_ASKED = {
    "single_shot": {"primary/0": "model:chatter"},
    "verify": {"primary/0": "sample-1", "verifier/0": "sample-2"},
    "waterfall": {"stage:0/0": "order-number"},
    "retry_on_low_confidence": {"attempt:0/0": "model:chatter"},
    "escalate": {"tier:0/0": "model:lexicon"},
    "ensemble_with_audit": {
        "primary/0": "sample-1",
        "primary/1": "sample-2",
        "primary/2": "sample-3",
    },
    "nested": {"primary/0": "sum-finder"},
    "drafted single_shot": {"primary/0": "model:chatter", "primary/1": "model:lexicon"},
    "drafted verify": {"primary/0": "model:chatter", "verifier/0": "model:lexicon"},
    "drafted waterfall": {"stage:0/0": "model:chatter"},
    "drafted retry_on_low_confidence": {"attempt:0/0": "model:chatter"},
    "drafted escalate": {"tier:0/0": "model:chatter"},
    "drafted ensemble_with_audit": {"primary/0": "model:chatter"},
}
"""By query, whom its first step asks, and in which round."""


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_shipped_query_is_admitted_and_asks_whom_it_should(responders, name):
    """P7: as do those that `covend query -p` drafts. Nothing but these calls is written (P3)."""
    body = admit(QUERIES[name], responders, thread="q-1", now=1, seed=1)
    _, drafts = start("q-1", body, 1)
    assert [draft.kind for draft in drafts] == ["call"] * len(FIRST_ASKED[name])
    asked = {draft.body["slot"]: draft.body["responder"]["id"] for draft in drafts}
    assert asked == FIRST_ASKED[name]
    assert all(draft.body["ask"]["question"] == QUERIES[name]["question"] for draft in drafts)


@pytest.mark.parametrize("name", sorted(DRAFTS))
def test_a_draft_for_many_responders_is_admitted(responders, name):
    """P7: each has its attempt, its stage or its tier."""
    many = ["chatter", "lexicon", "id:spellcheck", "chatter", "lexicon"]
    query = drafted("Why?", name, many, known=KNOWN)
    assert admit(query, responders, thread="q-1", now=1, seed=1)


def test_a_name_is_a_model_of_the_box_before_a_paid_one_elsewhere():
    elsewhere = {"id": "cloud", "kind": "llm", "model": "chat", "endpoint": "https://example.org"}
    box = {"id": "model:chat", "kind": "llm", "model": "chat"}
    assert want("chat", [elsewhere, box]) == {"id": "model:chat"}
    assert want("chat", [elsewhere]) == {"kind": "llm", "model": "chat"}
    assert want("cloud", [elsewhere]) == {"id": "cloud"}
    assert want("model:chat", [box]) == {"id": "model:chat"}


@pytest.mark.parametrize("name", sorted(DRAFTS))
def test_who_costs_something_is_asked_only_where_somebody_named_them(name):
    """P13: neither in a place that nobody was named for, nor as a tiebreaker that nobody wanted."""
    free = {"kind": "llm", "budget_usd": 0.0}
    for many in range(3):
        query = drafted("Why?", name, [f"id:{n}" for n in range(many)])
        wanted = [want for wants in every_wants(msgspec.convert(query, Query)) for want in wants]
        unnamed = [msgspec.to_builtins(one) for one in wanted if one.id is None]
        assert all(one == free for one in unnamed)
    named = drafted("Why?", "verify", ["id:a", "id:b"])["orchestration"]
    assert (named["verifier"], named["tiebreaker"]) == ([{"id": "b"}], [])


def test_a_name_that_nobody_has_is_refused_with_those_that_there_are():
    known = [
        {"id": "model:chat", "kind": "llm", "model": "chat"},
        {"id": "sums", "kind": "pattern", "function": "arithmetic"},
        {"id": "old", "kind": "llm", "model": "chattr", "status": "retired"},
    ]
    with pytest.raises(ValueError, match="nobody is called 'chattr'; there are chat, sums, and"):
        drafted("Why?", "verify", ["chat", "chattr"], known=known)


def test_everybody_named_for_an_ensemble_is_asked():
    """P7: also more than the three that are asked where nothing is said."""
    named = [f"id:{name}" for name in ("a", "b", "c", "d", "e", "auditor")]
    query = drafted("Why?", "ensemble_with_audit", named)
    assert query["relevance"]["top_k"] == len(query["responders"]) == 5
    assert query["orchestration"]["auditor"] == [{"id": "auditor"}]
    assert drafted("Why?", "ensemble_with_audit")["relevance"]["top_k"] == 1


def test_each_of_the_six_patterns_has_a_file_and_a_draft():
    """And the names that are listed are those that a query is read by."""
    assert tuple(kind.__struct_config__.tag for kind in get_args(Orchestration)) == PATTERNS
    assert SELECTS[CURRENT].keys() == set(get_args(Orchestration))
    assert DRAFTS.keys() == set(PATTERNS)
    assert set(PATTERNS) <= QUERIES.keys()
