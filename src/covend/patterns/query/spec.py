"""The query: what is asked, of whom, how, and within which limits (P7).

Plain frozen data, as a client writes it in JSON. Seconds and US dollars; ``None`` means that
nothing was said. ``admit`` checks what types alone cannot.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Kind = Literal["llm", "pattern", "system", "actor"]
"""What sort of responder: a model, a deterministic function, a command or endpoint, a person."""

ResponderClass = Literal["reflex", "ritual", "ingest", "swarm"]

MAX_LATENCY: dict[Kind, float] = {
    "pattern": 10.0,
    "system": 60.0,
    "llm": 300.0,
    "actor": 7 * 86_400.0,
}
"""Default max latency in seconds by kind of responder (P10)."""

MAX_USD = 1e9
MAX_PRICE_USD = 1e6
"""Dollars of one call, or of a thousand tokens."""
MAX_LATENCY_SECS = 366 * 86_400.0
MAX_AGE_DAYS = 36_525.0
MAX_TOKENS = 100_000_000
"""Bounds of what a query and a responder may say (P7, P8).

With them no sum of money is beyond what nano-dollars and records can hold, and no clock is.
"""


class Spec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What every part of a query has in common: unknown members are errors."""


class Input(Spec, frozen=True, kw_only=True):
    """What the question is about: exactly one of the three.

    ``ref`` names something that is put in when the query starts: ``know.answer`` for the answer
    of the query that triggered this one, ``know.answers`` for those of a join.
    """

    inline: Any = None
    record_id: str | None = None
    ref: str | None = None


class AnswerShape(Spec, frozen=True, kw_only=True):
    """What an answer must look like; ``schema`` is a JSON Schema, ``schema_ref`` a named one.

    ``text`` answers are strings, ``json`` any value, ``choice`` one of ``choices``.
    """

    kind: Literal["text", "json", "choice"] = "text"
    required_fields: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    schema_ref: str | None = None


class Want(Spec, frozen=True, kw_only=True):
    """One acceptable sort of responder: all that is said must hold (P8).

    A list of these accepts who meets any of them. ``expression`` is CEL over ``responder`` and
    ``input``.
    """

    kind: Kind | None = None
    id: str | None = None
    model: str | None = None
    did: str | None = None
    domain: str | None = None
    capability: str | None = None
    trust_gte: float | None = None
    trust_lt: float | None = None
    budget_usd: float | None = None
    latency_secs: float | None = None
    age_days_lt: float | None = None
    available: bool | None = None
    expression: str | None = None


class Fold(Spec, frozen=True, kw_only=True):
    """How several responses become one answer (P17).

    ``key`` names the fields two answers must share to be the same answer (all by default),
    ``tolerance`` the distance up to which two numbers of a field are equal (``$``: of an answer
    that is a number). ``weight`` is CEL over ``response`` (its answer, confidence, trust,
    responder, rationale), ``expression`` CEL over ``responses``, a list of those.
    """

    kind: Literal[
        "best_of",
        "consensus",
        "majority",
        "ensemble_weighted",
        "waterfall_first",
        "first",
        "merge",
        "expression",
    ] = "best_of"
    key: tuple[str, ...] = ()
    tolerance: dict[str, float] = {}
    weight: str | None = None
    expression: str | None = None


class Dial(Spec, frozen=True, kw_only=True):
    """How a model is asked; ``extra`` goes into the request as it is."""

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    system: str | None = None
    logprobs: bool = False
    extra: dict[str, Any] = {}


class Judge(Spec, frozen=True, kw_only=True):
    """A responder who decides whether two answers agree; their order is drawn by seed (P16)."""

    responders: tuple[Want, ...]


class SingleShot(Spec, frozen=True, kw_only=True, tag_field="pattern", tag="single_shot"):
    """Ask the top k at once and fold what comes."""


class Verify(Spec, frozen=True, kw_only=True, tag_field="pattern", tag="verify"):
    """Two answer independently; where they disagree a third decides."""

    verifier: tuple[Want, ...]
    tiebreaker: tuple[Want, ...] = ()
    threshold: float = 1.0
    judge: Judge | None = None


class Stage(Spec, frozen=True, kw_only=True):
    """One stage of a waterfall; ``accept_expression`` is CEL over ``answer`` and ``confidence``."""

    name: str
    responders: tuple[Want, ...]
    accept_expression: str = "true"
    fold: Fold | None = None
    dial: Dial | None = None
    top_k: int = 1
    timeout_secs: float | None = None


class Waterfall(Spec, frozen=True, kw_only=True, tag_field="pattern", tag="waterfall"):
    """Cheapest first: the first stage whose answer is accepted wins."""

    stages: tuple[Stage, ...]


class Adjustment(Spec, frozen=True, kw_only=True):
    """What changes for one more attempt."""

    dial: Dial | None = None
    responders: tuple[Want, ...] = ()
    max_cost_usd: float | None = None


class Retry(Spec, frozen=True, kw_only=True, tag_field="pattern", tag="retry_on_low_confidence"):
    """Ask again, differently, while ``expression`` (CEL over answer, confidence) fires."""

    expression: str = "confidence < 0.7"
    max_attempts: int = 3
    max_transport_errors: int = 3
    adjustments: tuple[Adjustment, ...] = ()


class Tier(Spec, frozen=True, kw_only=True):
    """One tier of authority; ``expression`` true, a timeout or an error go to the next."""

    name: str
    responders: tuple[Want, ...]
    expression: str = "false"
    timeout_secs: float | None = None
    dial: Dial | None = None
    top_k: int = 1


class Escalate(Spec, frozen=True, kw_only=True, tag_field="pattern", tag="escalate"):
    """Upward through tiers of authority until one stands."""

    tiers: tuple[Tier, ...]


class Ensemble(Spec, frozen=True, kw_only=True, tag_field="pattern", tag="ensemble_with_audit"):
    """Many answer, one answer is folded, and an auditor approves that very answer or not."""

    auditor: tuple[Want, ...]
    backup_auditor: tuple[Want, ...] = ()
    audit_timeout_secs: float | None = None
    instruction: str = "Approve the answer if it is right. Reject it if it is not."


Orchestration: TypeAlias = SingleShot | Verify | Waterfall | Retry | Escalate | Ensemble


class Relevance(Spec, frozen=True, kw_only=True):
    """Who is asked at all: at least ``threshold`` relevant, the ``top_k`` best of them (P9)."""

    threshold: float = 0.5
    top_k: int = 3


class SideEffects(Spec, frozen=True, kw_only=True):
    """The limits: cost of the whole tree, time from the start, and whose obligation holds."""

    max_cost_usd: float | None = None
    max_latency_secs: float | None = None
    obligation_resolution: Literal["last_writer_wins", "fulfills_wins", "validation_error"] = (
        "last_writer_wins"
    )


class Join(Spec, frozen=True, kw_only=True):
    """Several queries end before one begins: ``all`` of them, ``any``, or so many.

    ``of`` says how many take part: those queries of one person, or of the operators, that name the
    same ``id``, with the same ``of``, ``need`` and next query. An ``id`` is for one use.
    """

    id: str
    of: int
    need: Literal["all", "any"] | int = "all"


class Trigger(Spec, frozen=True, kw_only=True):
    """The next query: begins when ``when`` (CEL over ``know``) holds for this one's end."""

    name: str
    query: Query
    when: str = "know.status == 'fulfilled'"
    join: Join | None = None


class Query(Spec, frozen=True, kw_only=True):
    """``infer.query.v1``: one question with everything that answering it may take (P7).

    ``min_quorum`` valid answers end a round early; unsaid, everybody asked is waited for and one
    valid answer is enough. ``klass`` is the priority of its calls to models of this box.

    ``on_indeterminate`` is for a call that may have been carried out, when a crash or a broken
    connection hides what came of it (P4). ``redispatch`` sends it again under the same key: paid
    once by a provider that heeds keys, made at least once by a model of this box, whose worker may
    die in the middle. ``fail`` counts it as an error, ``ask`` leaves it to an operator.
    """

    version: Literal["infer.query.v1"] = "infer.query.v1"
    question: str
    input: Input = Input()
    answer_shape: AnswerShape = AnswerShape()
    responders: tuple[Want, ...]
    fold: Fold = Fold()
    orchestration: Orchestration = SingleShot()
    relevance: Relevance = Relevance()
    min_quorum: int | None = None
    side_effects: SideEffects = SideEffects()
    dial: Dial = Dial()
    klass: ResponderClass = "ritual"
    on_indeterminate: Literal["redispatch", "fail", "ask"] = "redispatch"
    triggers: tuple[Trigger, ...] = ()
    metadata: dict[str, Any] = {}
