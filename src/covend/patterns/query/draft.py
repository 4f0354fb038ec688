"""A query from a few words: a question, a pattern's name, and whom to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from covend.patterns.query.names import Pattern

Wants = list[dict[str, Any]]
Known = Sequence[Mapping[str, Any]]
"""Who can be asked, as the answer to ``ListResponders`` tells it."""
ANY_MODEL: dict[str, Any] = {"kind": "llm", "budget_usd": 0.0}
"""Any that costs nothing: who costs something is asked only where somebody named them."""
UNSURE = "confidence < 0.7"


def drafted(
    question: str,
    pattern: str = "single_shot",
    who: Sequence[str] = (),
    about: object = None,
    max_cost: float | None = None,
    known: Known = (),
) -> dict[str, Any]:
    """The query that a question and a pattern's name stand for.

    ``who`` is taken in the pattern's order: the verifier second, the tiebreaker third; stages and
    tiers as they come; the auditor last. Where it names too few, any model that costs nothing may
    be asked; whoever named others wants a tiebreaker only if it is named too.
    ``known`` are those whom a name may stand for.
    Raises ``ValueError`` for a pattern that is none, and for a name that nobody has.
    """
    if pattern not in DRAFTS:
        raise ValueError(f"no pattern {pattern!r}; one of {', '.join(DRAFTS)}")
    wants = [want(name, known) for name in who]
    query: dict[str, Any] = {
        "question": question,
        "responders": wants[:1] or [ANY_MODEL],
        "orchestration": {"pattern": pattern, **DRAFTS[pattern](wants)},
        "dial": {"logprobs": True},
    }
    if pattern == "single_shot":
        query["responders"] = wants or [ANY_MODEL]
        query["relevance"] = {"top_k": max(1, len(wants))}
    if pattern == "ensemble_with_audit":
        query["responders"] = wants[:-1] or [ANY_MODEL]
        query["relevance"] = {"top_k": max(1, len(wants) - 1)}
        query["fold"] = {"kind": "majority"}
    if about is not None:
        query["input"] = {"inline": about}
    if max_cost is not None:
        query["side_effects"] = {"max_cost_usd": max_cost}
    return query


def want(name: str, known: Known = ()) -> dict[str, Any]:
    """Whom a name stands for: a person by did, a responder by ``id:NAME``, else one that is known.

    Of those, a model of the box goes before others of its name: one elsewhere may cost money.
    Raises ``ValueError`` for a name that nobody has, with those that there are.

    >>> want("did:web:example.org:ann")
    {'kind': 'actor', 'did': 'did:web:example.org:ann'}
    >>> want("id:spellcheck")
    {'id': 'spellcheck'}
    >>> want("chat", [{"id": "model:chat", "kind": "llm", "model": "chat"}])
    {'id': 'model:chat'}
    """
    if name.startswith("did:"):
        return {"kind": "actor", "did": name}
    if name.startswith("id:"):
        return {"id": name.removeprefix("id:")}
    active = [one for one in known if one.get("status", "active") == "active"]
    ids = [one["id"] for one in active]
    for id_ in (f"model:{name}", name):
        if id_ in ids:
            return {"id": id_}
    if any(one["kind"] == "llm" and one.get("model") == name for one in active):
        return {"kind": "llm", "model": name}
    there = ", ".join(id_.removeprefix("model:") for id_ in ids) or "nobody"
    raise ValueError(f"nobody is called {name!r}; there are {there}, and people by did:…")


def _verify(wants: Wants) -> dict[str, Any]:
    tiebreaker = wants[2:3] if wants else [ANY_MODEL]
    return {"verifier": wants[1:2] or [ANY_MODEL], "tiebreaker": tiebreaker}


def _waterfall(wants: Wants) -> dict[str, Any]:
    stages = [
        {"name": f"stage {number}", "responders": [entry], "accept_expression": f"!({UNSURE})"}
        for number, entry in enumerate(wants or [ANY_MODEL], 1)
    ]
    stages[-1]["accept_expression"] = "true"
    return {"stages": stages}


def _retry(wants: Wants) -> dict[str, Any]:
    others = [{"responders": [entry]} for entry in wants[1:]]
    return {
        "expression": UNSURE,
        "max_attempts": max(3, len(wants)),
        "adjustments": others or [{"dial": {"temperature": 0.0}}],
    }


def _escalate(wants: Wants) -> dict[str, Any]:
    tiers = [
        {"name": f"tier {number}", "responders": [entry], "expression": UNSURE}
        for number, entry in enumerate(wants or [ANY_MODEL], 1)
    ]
    tiers[-1]["expression"] = "false"
    return {"tiers": tiers}


def _audit(wants: Wants) -> dict[str, Any]:
    return {"auditor": wants[-1:] or [ANY_MODEL]}


DRAFTS: dict[Pattern, Callable[[Wants], dict[str, Any]]] = {
    "single_shot": lambda _wants: {},
    "verify": _verify,
    "waterfall": _waterfall,
    "retry_on_low_confidence": _retry,
    "escalate": _escalate,
    "ensemble_with_audit": _audit,
}
"""By pattern, what its orchestration is for these responders."""
