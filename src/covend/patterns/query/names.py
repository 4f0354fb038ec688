"""Names that stand in queries, in their ends and in people's words, as types and to be listed.

They are apart from what they name, which takes more to import than saying them should.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Pattern: TypeAlias = Literal[
    "single_shot",
    "verify",
    "waterfall",
    "retry_on_low_confidence",
    "escalate",
    "ensemble_with_audit",
]
"""How a question is put to several: the tags of ``spec.Orchestration``."""

Status: TypeAlias = Literal[
    "fulfilled", "degraded", "unfulfilled", "unresolved", "rejected", "error", "cancelled"
]
"""How a query ended; only ``fulfilled`` is an answer without reservation."""

DeclineReason: TypeAlias = Literal["out_of_domain", "overbooked", "conflict_of_interest", "other"]
"""Why a person does not answer (P18)."""

PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
DECLINE_REASONS: tuple[DeclineReason, ...] = get_args(DeclineReason)
