"""What types cannot say about a query: ranges, names, expressions, and what fits with what (P7)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from covend.patterns.expressions import cel
from covend.patterns.nesting import MAX_DEPTH
from covend.patterns.query.reading import Problem
from covend.patterns.query.shape import MAX_NESTED, nested_deeper, schema_of, schema_problem
from covend.patterns.query.spec import (
    MAX_AGE_DAYS,
    MAX_LATENCY_SECS,
    MAX_TOKENS,
    MAX_USD,
    AnswerShape,
    Dial,
    Ensemble,
    Escalate,
    Fold,
    Input,
    Query,
    Retry,
    SideEffects,
    Tier,
    Trigger,
    Verify,
    Want,
    Waterfall,
)

MAX_TOP_K = 100
MAX_ATTEMPTS = 100

WEIGHED = frozenset({"best_of", "consensus", "ensemble_weighted"})
COMPARED = frozenset({"consensus", "majority", "ensemble_weighted"})
REFS = ("know.answer", "know.answers")
RESERVED_IN_REQUESTS = frozenset({"messages", "model", "stream"})
PAID_BY_REQUESTS = frozenset({"max_tokens", "max_completion_tokens", "n", "best_of"})
"""Members of a request that raise its price: the reserve is reckoned without them."""
NOTES = frozenset({"_confidence", "_rationale", "_obligations"})
"""Members that are taken out of an answer before it is checked."""

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_NAME = re.compile(r"[^/#\s][^/#]{0,63}\Z")
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function"}
    | {"if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_CEL_TYPES = {
    "string": "string",
    "integer": "int",
    "boolean": "bool",
    "array": "list(dyn)",
    "object": "map(string, dyn)",
}
"""Of JSON Schema types; a ``number`` may be int or double here, so it is ``dyn``."""


class Findings:
    """Problems as they are found, each under its path."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, path: str, problem: str) -> None:
        self.problems.append({"path": path, "problem": problem})

    def unless(self, fine: bool, path: str, problem: str) -> None:
        if not fine:
            self.add(path, problem)

    def between(
        self, path: str, value: float | None, low: float, high: float, *, above: bool = False
    ) -> None:
        """A number must lie from ``low`` (or above it) to ``high``."""
        if value is None or (low < value <= high) or (value == low and not above):
            return
        bounds = f"greater than {low:.9g}" if above else f"at least {low:.9g}"
        if math.isfinite(high):
            bounds += f" and at most {high:.9g}"
        self.add(path, f"must be {bounds}, not {value:.9g}")

    def distinct(self, path: str, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                self.add(f"{path}[{index}]", f"{name} is there already; names must be unique")
            seen.add(name)

    def cel(
        self, path: str, source: str | None, names: Mapping[str, str], gives: cel.Gives = "bool"
    ) -> None:
        """Type-check an expression (P15)."""
        if source is None:
            return
        problem = cel.check(source, names, gives)
        if problem is not None:
            self.add(path, f"CEL: {problem}")


def check_query(
    query: Query,
    schemas: Mapping[str, Any],
    path: str = "$",
    *,
    depth: int = 0,
    caused: bool = False,
) -> list[Problem]:
    """Everything wrong with a query that its types allow; ``caused``: another one begins it."""
    found = Findings()
    found.unless(bool(query.question.strip()), f"{path}.question", "must not be empty")
    _input(found, query.input, f"{path}.input", caused)
    _depth(found, query.metadata, f"{path}.metadata")
    _shape(found, query.answer_shape, schemas, f"{path}.answer_shape")
    _wants(found, query.responders, f"{path}.responders")
    _fold(found, query, query.fold, schemas, f"{path}.fold")
    _orchestration(found, query, schemas, f"{path}.orchestration")
    found.between(f"{path}.relevance.threshold", query.relevance.threshold, 0, 1)
    found.between(f"{path}.relevance.top_k", query.relevance.top_k, 1, MAX_TOP_K)
    _quorum(found, query, path)
    _side_effects(found, query.side_effects, f"{path}.side_effects")
    _dial(found, query.dial, f"{path}.dial")
    found.distinct(f"{path}.triggers", (one.name for one in query.triggers))
    for index, trigger in enumerate(query.triggers):
        _trigger(found, trigger, schemas, f"{path}.triggers[{index}]", depth)
    return found.problems


def _input(found: Findings, given: Input, path: str, caused: bool) -> None:
    named = [name for name in ("inline", "record_id", "ref") if getattr(given, name) is not None]
    if len(named) > 1:
        found.add(path, f"has {' and '.join(named)}; exactly one is allowed")
    _depth(found, given.inline, f"{path}.inline")
    if given.ref is None:
        return
    if given.ref not in REFS:
        found.add(f"{path}.ref", f"must be one of {', '.join(REFS)}, not {given.ref}")
    elif not caused:
        found.add(f"{path}.ref", "refers to the query that triggers this one, and none does")


def _depth(found: Findings, value: Any, path: str) -> None:
    """Records nest what a run is given deeper, and hold only so many levels."""
    fine = not nested_deeper(value, MAX_NESTED)
    found.unless(fine, path, f"must not be nested deeper than {MAX_NESTED} levels")


def _shape(found: Findings, shape: AnswerShape, schemas: Mapping[str, Any], path: str) -> None:
    if shape.kind == "choice":
        found.unless(bool(shape.choices), f"{path}.choices", "must name at least one choice")
        found.distinct(f"{path}.choices", shape.choices)
        found.unless(
            all(choice.strip() == choice != "" for choice in shape.choices),
            f"{path}.choices",
            "must not be empty, nor begin or end with white space",
        )
    elif shape.choices:
        found.add(f"{path}.choices", f"mean something for kind choice only, not {shape.kind}")
    for name in ("required_fields", "schema", "schema_ref"):
        if getattr(shape, name) and shape.kind != "json":
            found.add(f"{path}.{name}", f"means something for kind json only, not {shape.kind}")
    found.distinct(f"{path}.required_fields", shape.required_fields)
    _required(found, shape.required_fields, f"{path}.required_fields")
    if shape.schema is not None and shape.schema_ref is not None:
        found.add(f"{path}.schema_ref", "is there beside schema; only one is allowed")
    elif shape.schema_ref is not None and shape.schema_ref not in schemas:
        known = ", ".join(sorted(schemas)) or "none: the box file has no [[schema]]"
        found.add(f"{path}.schema_ref", f"{shape.schema_ref} is unknown; there are: {known}")
    elif (schema := schema_of(shape, schemas)) is not None:
        problem = schema_problem(schema)
        found.unless(problem is None, f"{path}.schema", f"is no valid JSON Schema: {problem}")
        _depth(found, schema, f"{path}.schema")
        if problem is None:
            _required(found, schema.get("required", ()), f"{path}.schema.required")


def _required(found: Findings, names: Iterable[str], path: str) -> None:
    """Notes are taken out of every answer, so none can be required in it."""
    for name in sorted(NOTES.intersection(names)):
        found.add(path, f"{name} is a note beside the answer, never a member of it")


def _wants(found: Findings, wants: Sequence[Want], path: str) -> None:
    found.unless(bool(wants), path, "must have at least one entry")
    for index, want in enumerate(wants):
        _want(found, want, f"{path}[{index}]")


def _want(found: Findings, want: Want, path: str) -> None:
    found.between(f"{path}.trust_gte", want.trust_gte, 0, 1)
    found.between(f"{path}.trust_lt", want.trust_lt, 0, 1, above=True)
    if want.trust_gte is not None and want.trust_lt is not None:
        found.unless(
            want.trust_gte < want.trust_lt,
            f"{path}.trust_lt",
            f"must be greater than trust_gte, which is {want.trust_gte:g}",
        )
    found.between(f"{path}.budget_usd", want.budget_usd, 0, MAX_USD)
    _timeout(found, f"{path}.latency_secs", want.latency_secs)
    found.between(f"{path}.age_days_lt", want.age_days_lt, 0, MAX_AGE_DAYS, above=True)
    names = {name: cel.VOCABULARY[name] for name in ("responder", "input")}
    found.cel(f"{path}.expression", want.expression, names)


def _fold(found: Findings, query: Query, fold: Fold, schemas: Mapping[str, Any], path: str) -> None:
    """A fold says only what means something for its kind."""
    if fold.weight is not None and fold.kind not in WEIGHED:
        found.add(f"{path}.weight", f"means nothing to {fold.kind}")
    found.cel(f"{path}.weight", fold.weight, {"response": cel.VOCABULARY["response"]}, "number")
    if fold.kind == "expression":
        found.unless(fold.expression is not None, f"{path}.expression", "is required")
    elif fold.expression is not None:
        found.add(f"{path}.expression", f"means something for kind expression, not {fold.kind}")
    names = {"responses": cel.VOCABULARY["responses"]}
    found.cel(f"{path}.expression", fold.expression, names, "any")
    compared = fold.kind in COMPARED or isinstance(query.orchestration, Verify)
    is_json = query.answer_shape.kind == "json"
    for name in ("key", "tolerance"):
        if getattr(fold, name) and not (compared and is_json):
            found.add(f"{path}.{name}", "means something only where JSON answers are compared")
    if fold.kind == "merge" and not is_json:
        found.add(f"{path}.kind", "merge needs answers of kind json")
    for name, limit in fold.tolerance.items():
        found.between(f"{path}.tolerance.{name}", limit, 0, math.inf)
    known = _members(query.answer_shape, schemas)
    for name in [*fold.key, *(name for name in fold.tolerance if name != "$")]:
        if known and name not in known and name.partition(".")[0] not in known:
            found.add(path, f"{name} is no field of the answer; there are {', '.join(known)}")


def _members(shape: AnswerShape, schemas: Mapping[str, Any]) -> list[str]:
    """The fields an answer may have, where the schema names them."""
    properties = _properties(shape, schemas)
    return sorted({*properties, *shape.required_fields}) if properties else []


def _properties(shape: AnswerShape, schemas: Mapping[str, Any]) -> dict[str, Any]:
    schema = _schema(shape, schemas)
    properties = schema.get("properties")
    return cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}


def _schema(shape: AnswerShape, schemas: Mapping[str, Any]) -> dict[str, Any]:
    if shape.schema is None and shape.schema_ref not in schemas:
        return {}
    schema = schema_of(shape, schemas)
    return cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}


def answer_names(shape: AnswerShape, schemas: Mapping[str, Any]) -> dict[str, str]:
    """The CEL types of ``answer`` and of its known members, and of ``confidence`` (P15)."""
    names = {"confidence": cel.VOCABULARY["confidence"], "answer": "string"}
    if shape.kind != "json":
        return names
    schema = _schema(shape, schemas)
    names["answer"] = _cel_type(schema)
    if shape.required_fields:
        names["answer"] = "map(string, dyn)"
    if names["answer"] != "map(string, dyn)":
        return names
    for name, member in _properties(shape, schemas).items():
        if _IDENTIFIER.match(name) and name not in _RESERVED and isinstance(member, dict):
            names[f"answer.{name}"] = _cel_type(cast("dict[str, Any]", member))
    return names


def _cel_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    return _CEL_TYPES.get(kind, "dyn") if isinstance(kind, str) else "dyn"


def _orchestration(found: Findings, query: Query, schemas: Mapping[str, Any], path: str) -> None:
    names = answer_names(query.answer_shape, schemas)
    match query.orchestration:
        case Verify() as verify:
            _verify(found, verify, path)
        case Waterfall(stages=stages):
            _ladder(found, stages, "stage", f"{path}.stages")
            for index, stage in enumerate(stages):
                here = f"{path}.stages[{index}]"
                found.cel(f"{here}.accept_expression", stage.accept_expression, names)
                if stage.fold is not None:
                    _fold(found, query, stage.fold, schemas, f"{here}.fold")
        case Retry() as retry:
            _retry(found, retry, names, path)
        case Escalate(tiers=tiers):
            _ladder(found, tiers, "tier", f"{path}.tiers")
            for index, tier in enumerate(tiers):
                found.cel(f"{path}.tiers[{index}].expression", tier.expression, names)
        case Ensemble() as ensemble:
            _ensemble(found, ensemble, path)
        case _:
            pass


def _verify(found: Findings, verify: Verify, path: str) -> None:
    _wants(found, verify.verifier, f"{path}.verifier")
    for index, want in enumerate(verify.tiebreaker):
        _want(found, want, f"{path}.tiebreaker[{index}]")
    found.between(f"{path}.threshold", verify.threshold, 0, 1, above=True)
    if verify.judge is not None:
        _wants(found, verify.judge.responders, f"{path}.judge.responders")


def _ladder(found: Findings, steps: Sequence[Any], what: str, path: str) -> None:
    """What stages and tiers have in common."""
    found.unless(bool(steps), path, f"must have at least one {what}")
    found.distinct(path, (step.name for step in steps))
    for index, step in enumerate(cast("Sequence[Tier]", steps)):
        here = f"{path}[{index}]"
        found.unless(
            bool(_NAME.match(step.name)),
            f"{here}.name",
            "must be 1 to 64 characters, no / or #",
        )
        _wants(found, step.responders, f"{here}.responders")
        found.between(f"{here}.top_k", step.top_k, 1, MAX_TOP_K)
        _timeout(found, f"{here}.timeout_secs", step.timeout_secs)
        _dial(found, step.dial or Dial(), f"{here}.dial")


def _retry(found: Findings, retry: Retry, names: Mapping[str, str], path: str) -> None:
    found.cel(f"{path}.expression", retry.expression, names)
    found.between(f"{path}.max_attempts", retry.max_attempts, 1, MAX_ATTEMPTS)
    found.between(f"{path}.max_transport_errors", retry.max_transport_errors, 0, MAX_ATTEMPTS)
    if len(retry.adjustments) >= max(retry.max_attempts, 1):
        found.add(
            f"{path}.adjustments",
            f"has {len(retry.adjustments)} entries; {retry.max_attempts} attempts leave room for "
            f"{max(retry.max_attempts, 1) - 1}",
        )
    for index, adjustment in enumerate(retry.adjustments):
        here = f"{path}.adjustments[{index}]"
        _dial(found, adjustment.dial or Dial(), f"{here}.dial")
        found.between(f"{here}.max_cost_usd", adjustment.max_cost_usd, 0, MAX_USD)
        for number, want in enumerate(adjustment.responders):
            _want(found, want, f"{here}.responders[{number}]")


def _ensemble(found: Findings, ensemble: Ensemble, path: str) -> None:
    _wants(found, ensemble.auditor, f"{path}.auditor")
    for index, want in enumerate(ensemble.backup_auditor):
        _want(found, want, f"{path}.backup_auditor[{index}]")
    _timeout(found, f"{path}.audit_timeout_secs", ensemble.audit_timeout_secs)
    found.unless(bool(ensemble.instruction.strip()), f"{path}.instruction", "must not be empty")


def _quorum(found: Findings, query: Query, path: str) -> None:
    if query.min_quorum is not None:
        top_k = query.relevance.top_k
        most = top_k if 1 <= top_k <= MAX_TOP_K else MAX_TOP_K
        found.between(f"{path}.min_quorum", query.min_quorum, 1, most)


def _side_effects(found: Findings, limits: SideEffects, path: str) -> None:
    found.between(f"{path}.max_cost_usd", limits.max_cost_usd, 0, MAX_USD)
    _timeout(found, f"{path}.max_latency_secs", limits.max_latency_secs)


def _timeout(found: Findings, path: str, value: float | None) -> None:
    found.between(path, value, 0, MAX_LATENCY_SECS, above=True)


def _dial(found: Findings, dial: Dial, path: str) -> None:
    found.between(f"{path}.temperature", dial.temperature, 0, 2)
    found.between(f"{path}.max_tokens", dial.max_tokens, 1, MAX_TOKENS)
    for name in sorted(RESERVED_IN_REQUESTS & dial.extra.keys()):
        found.add(f"{path}.extra.{name}", "is filled in by the box and cannot be given")
    for name in sorted(PAID_BY_REQUESTS & dial.extra.keys()):
        found.add(f"{path}.extra.{name}", "would cost more than is reserved: say dial.max_tokens")
    _depth(found, dial.extra, f"{path}.extra")


def _trigger(
    found: Findings, trigger: Trigger, schemas: Mapping[str, Any], path: str, depth: int
) -> None:
    found.unless(
        bool(_NAME.match(trigger.name)), f"{path}.name", "must be 1 to 64 characters, no / or #"
    )
    found.cel(f"{path}.when", trigger.when, {"know": cel.VOCABULARY["know"]})
    if trigger.join is not None:
        join = trigger.join
        found.unless(bool(join.id), f"{path}.join.id", "must not be empty")
        found.between(f"{path}.join.of", join.of, 1, math.inf)
        if isinstance(join.need, int):
            found.between(f"{path}.join.need", join.need, 1, max(1, join.of))
    if depth + 1 > MAX_DEPTH:
        found.add(f"{path}.query", f"is nested deeper than {MAX_DEPTH}")
        return
    found.problems += check_query(
        trigger.query, schemas, f"{path}.query", depth=depth + 1, caused=True
    )
