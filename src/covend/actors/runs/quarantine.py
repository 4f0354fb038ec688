"""The record that a run is set aside by: why, and both versions of what differs (P2)."""

from __future__ import annotations

from typing import Any

import covend
from covend.patterns.step import Quarantined
from covend.phylactery.records import Record, record


def quarantine(thread: str, error: Exception) -> Record:
    """The record that says what is wrong with a run, and which version of covend says so."""
    body: dict[str, Any] = {
        "thread": thread,
        "reason": f"{type(error).__name__}: {error}",
        "covend": covend.__version__,
    }
    if isinstance(error, Quarantined):
        for name, draft in (("written", error.written), ("derived", error.derived)):
            body[name] = draft and {"kind": draft.kind, "body": draft.body}
    return record(thread, "quarantine", body, actor="execution", act="LEARN")


def set_aside_by_us(entry: dict[str, Any]) -> bool:
    """Whether a record, if it is not damaged, says that this version of covend gave the run up."""
    return entry.get("kind") == "quarantine" and entry["body"].get("covend") == covend.__version__
