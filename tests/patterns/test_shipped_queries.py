"""The queries in configs/queries: admitted on the demo's box, and each pattern has one."""

import json
from pathlib import Path

import pytest

from covend.config import load
from covend.config.responders import from_config
from covend.patterns.admit import admit
from covend.patterns.draft import DRAFTS, drafted
from covend.patterns.step import CURRENT, SELECTS, start

CONFIGS = Path(__file__).parents[2] / "configs"
QUERIES = {path.stem: json.loads(path.read_text()) for path in (CONFIGS / "queries").glob("*.json")}
QUERIES |= {f"drafted {name}": drafted("Why?", name, ["chatter", "lexicon"]) for name in DRAFTS}


@pytest.fixture(scope="module")
def responders():
    return tuple(from_config(load(CONFIGS / "demo.toml")).values())


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_shipped_query_is_admitted_and_finds_somebody_to_ask(responders, name):
    """P7: as are those that `covend query -p` drafts."""
    body = admit(QUERIES[name], responders, thread="q-1", now=1, seed=1)
    _, drafts = start("q-1", body, 1)
    assert {draft.kind for draft in drafts} == {"call"}


@pytest.mark.parametrize("name", sorted(DRAFTS))
def test_a_draft_for_many_responders_is_admitted(responders, name):
    """P7: each has its attempt, its stage or its tier."""
    many = ["chatter", "lexicon", "id:spellcheck", "chatter", "lexicon"]
    assert admit(drafted("Why?", name, many), responders, thread="q-1", now=1, seed=1)


def test_everybody_named_for_an_ensemble_is_asked():
    """P7: also more than the three that are asked where nothing is said."""
    query = drafted("Why?", "ensemble_with_audit", ["a", "b", "c", "d", "e", "auditor"])
    assert query["relevance"]["top_k"] == len(query["responders"]) == 5
    assert query["orchestration"]["auditor"] == [{"kind": "llm", "model": "auditor"}]
    assert drafted("Why?", "ensemble_with_audit")["relevance"]["top_k"] == 1


def test_each_of_the_six_patterns_has_a_file():
    assert SELECTS[CURRENT].keys() <= QUERIES.keys()
    assert SELECTS[CURRENT].keys() == DRAFTS.keys()
