"""Tasks of people: their names, and what is shown of them (P18). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from covend.patterns.state import call_id_of


def task_id(thread: str, call: str) -> str:
    """The name of a call's task, fit for a URL.

    >>> task_id("q-1", "tier:2/0#1")
    'q-1~tier:2~0~1'
    """
    slot, _, attempt = call.rpartition("#")
    return f"{thread}~{slot.replace('/', '~')}~{attempt}"


def parse_task(name: str) -> tuple[str, str] | None:
    """The thread and the call that a task's name says, None for one that is none.

    >>> parse_task("q-1~tier:2~0~1")
    ('q-1', 'tier:2/0#1')
    """
    parts = name.rsplit("~", 3)
    if len(parts) != 4 or not all(parts):
        return None
    thread, round_name, index, attempt = parts
    return thread, f"{round_name}/{index}#{attempt}"


def task_view(
    thread: str,
    body: dict[str, Any],
    *,
    did: str | None,
    state: str,
    due: int | None,
    opened: int,
    seq: int,
    promised_by: Iterable[str] = (),
) -> dict[str, Any]:
    """A task for its person: what is asked, in which form, until when; from its ``call`` body.

    ``did`` may be a delegate's, who is asked in the place of whom the call is to.
    """
    ask, own = body["ask"], body["responder"].get("did")
    return {
        "id": task_id(thread, call_id_of(body)),
        "seq": seq,
        "thread": thread,
        "state": state,
        "did": did,
        "in_place_of": None if did == own else own,
        "promised_by": list(dict.fromkeys(promised_by)),
        "role": body["role"],
        "question": ask["question"],
        "input": ask.get("input"),
        "show": ask.get("show"),
        "answer_shape": {"kind": "text", **ask["shape"]},
        "opened": opened,
        "due": due if due is not None else body["deadline"],
    }
