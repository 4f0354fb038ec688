"""What a run says of itself: to a person of her task, to the operator of what he has to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covend.actors.messages import Alert
from covend.actors.people import inbox
from covend.actors.runs import fitting
from covend.patterns import people
from covend.patterns.state import K, call_id_of


def task(k: K, body: dict[str, Any], promises: Sequence[dict[str, Any]], did: str) -> Any:
    """The task of a call as this person sees it now; ``promises`` are answers promised to it."""
    call = k.calls[call_id_of(body)]
    standing = promises if call.status == "open" else ()
    seen = inbox.task_view(
        k.thread,
        body,
        did=did,
        state="accepted" if standing else people.task_state(call),
        due=call.deadline,
        opened=call.called,
        seq=0,
        promised_by=(promise["by"] for promise in standing),
    )
    return fitting.fitted(seen, fitting.of_task)


def unclear(thread: str, body: dict[str, Any]) -> Alert:
    """Nobody knows whether a call was carried out, and its query says to ask (P4)."""
    name = call_id_of(body)
    text = (
        f"run {thread}: nobody knows whether call {name} to {body['responder']['id']} was carried "
        f"out: say it with `covend query settle {thread} '{name}' --again` or `--failed`"
    )
    return Alert(text, {"thread": thread, "key": body["key"]})


def set_aside(thread: str, reason: str) -> Alert:
    """A run is touched no more (P2)."""
    return Alert(f"run {thread} is set aside: {reason[:200]}", {"thread": thread})
