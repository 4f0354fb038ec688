"""What the API, the command line and the MCP server say to ``desk@core`` about queries.

Every one of these is an ask. The answer is plain data, or a ``refusal``. Times in
answers are record clocks (microseconds since 1970).

An answer fits into one message of the wire. A page may be shorter than was asked for: ``next`` is
the ``after`` of the following one, None where there is none. What is too large by itself comes
without its largest members: they are null, and its member ``left_out`` names them by path.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from covend.runtime import Message, message

DESK = "desk@core"
"""Who is asked all of this."""
ASK_SECONDS = 10.0
"""So long an answer is waited for, beyond what the question itself waits."""
POLL_SECONDS = 5.0
"""So long whoever follows a query waits with each question for something new."""
RETRY_SECONDS = 0.3
"""After so long a core that is away is asked again."""
SUBMIT_SECONDS = 30.0
"""So long a core that is away is waited for with a new query."""
AWAY = 503
"""The status of a refusal that holds for now alone: whoever may ask twice asks again."""
MAX_BYTES = 3 * 1024 * 1024
"""Bytes of a query, or of a person's word, as JSON: what is told of it then fits into messages."""


def unfit(value: object, what: str) -> str | None:
    """Why the box would not take this, or None; for whoever sends without the API."""
    try:
        size = len(msgspec.json.encode(value))
    except UnicodeEncodeError:  # a word of a command line that is no UTF-8
        return f"{what} has bytes in it that are no UTF-8"
    return f"{what} has {size} bytes: at most {MAX_BYTES} are right" if size > MAX_BYTES else None


def refusal(
    status: int, code: str, message: str, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The answer to a question that is refused: ``{"refused": {…}}``.

    ``status`` is the HTTP status that suits it, ``code`` is for programs, ``message`` for people.
    Each of ``errors`` has the ``path`` of a fault and the ``problem`` there.
    """
    return {"refused": {"status": status, "code": code, "message": message, "errors": errors or []}}


def faults(refused: dict[str, Any]) -> list[str]:
    """The errors of a refusal's ``refused``, a line for each: where, and what is wrong."""
    errors: list[dict[str, str]] = refused.get("errors") or []
    return [f"{error['path']}: {error['problem']}" for error in errors]


@message("desk.submit")
class SubmitQuery(Message, frozen=True):
    """Admit a query (P7); answered with ``{"id", "state"}`` once it is durable.

    ``key`` is the client's idempotency key: the same key is the same query, never a second one.
    ``by`` is the did for whom the sender's API key speaks, None of an operator; it is recorded.
    """

    query: dict[str, Any]
    key: str | None = None
    by: str | None = None


def submission(query: dict[str, Any], key: str | None) -> SubmitQuery:
    """A query with a key, so that a core that is silent can be asked again, and is asked once."""
    return SubmitQuery(query=query, key=key or secrets.token_hex(16))


def in_doubt(problem: object, key: str) -> str:
    """What who never heard that his query was admitted does next; ``key`` as he would say it."""
    return (
        f"{problem}; it may have heard: asked again with {key} it is the same query, and not a "
        "second one"
    )


@message("desk.show")
class ShowQuery(Message, frozen=True):
    """Answered with ``{"id", "state", "query", "opened", "ended", "know", "calls", "spent", …}``.

    ``damaged`` has the ``seq`` and the ``problem`` of each record that is not what was stored: the
    rest is told without it, ``query`` or ``know`` as None where it is that. ``set_aside`` is the
    reason why this covend does not go on with the query, None where it does (P2).
    """

    id: str


@message("desk.end")
class EndOf(Message, frozen=True):
    """Answered with ``{"id", "state", "know"}``; ``know`` is None of a query that goes on.

    And of one that has ended, where the record of its end is damaged. Waits up to ``wait`` seconds
    for the end.
    """

    id: str
    wait: float = 0.0


@message("desk.list")
class ListQueries(Message, frozen=True):
    """Answered with ``{"queries": [...], "next": …}``, newest first."""

    state: Literal["open", "ended"] | None = None
    parent: str | None = None
    limit: int = 50
    after: int = 0


@message("desk.records")
class RecordsOf(Message, frozen=True):
    """Answered with ``{"records": [], "damaged": [], "ended": …, "set_aside": …, "next": …}``.

    Those after ``after``; those that are not what was stored are told of in ``damaged`` alone. Of a
    query that has ``ended`` or was ``set_aside`` (P2) nothing more comes.
    Waits up to ``wait`` seconds for the first of them, so that a stream of events is a loop of
    these, and a restarted core is caught up with by asking again.
    """

    id: str
    after: int = 0
    wait: float = 0.0


def is_over(told: Mapping[str, Any]) -> bool:
    """Whether the answer to a ``RecordsOf`` has none, and no later one will have any."""
    return not told["records"] and bool(told["ended"] or told["set_aside"])


@message("desk.cancel")
class CancelQuery(Message, frozen=True):
    """Cancel a query (P14); answered with what it ended as, which may be its answer.

    ``by`` is as in ``SubmitQuery``: a person cancels what he asked himself, else it is a 403.
    """

    id: str
    reason: str = ""
    by: str | None = None


@message("desk.settle")
class SettleCall(Message, frozen=True):
    """An operator's word on a call of which nobody knows whether it was carried out (P4, ``ask``).

    ``again`` sends it once more under its own key, ``failed`` counts it as failed. ``call`` is
    ``SLOT#ATTEMPT``. Answered with ``{"id", "call", "how"}``; 409 where there is nothing unclear.
    """

    id: str
    call: str
    how: Literal["again", "failed"]


WAITING = ("open", "accepted")
"""The states of a task that waits for its person's answer."""


@message("desk.tasks")
class ListTasks(Message, frozen=True):
    """Answered with ``{"tasks": [...], "next": …}``: the inbox of one person, or of all (P18)."""

    did: str | None = None
    state: str | None = None
    limit: int = 50
    after: int = 0
    wait: float = 0.0


@message("desk.task")
class ShowTask(Message, frozen=True):
    """Answered with one task: the question, input, answer shape, deadline, state.

    It is one of this person, where one is named: a task and each delegate's share its id.
    """

    id: str
    did: str | None = None


@message("desk.act")
class ActOnTask(Message, frozen=True):
    """A person's word on a task: ``accept`` with an eta, ``decline`` with a reason, or ``submit``.

    ``eta_secs`` counts from now. Whoever may have to repeat an ``accept`` gives it a ``key``: under
    the same one it is the same word, and never moves the deadline twice. A second word after a
    terminal one is refused with 409.
    """

    id: str
    act: Literal["accept", "decline", "submit"]
    did: str
    eta_secs: float | None = None
    key: str | None = None
    reason: str | None = None
    value: Any = None
    confidence: float | None = None
    rationale: str | None = None


@message("desk.responders")
class ListResponders(Message, frozen=True):
    """Answered with ``{"responders": [...]}``: who can be asked, with what was learned of each."""


@message("desk.responder.put")
class PutResponder(Message, frozen=True):
    """Register a responder, or change what is registered under its id."""

    responder: dict[str, Any]


@message("desk.responder.remove")
class RemoveResponder(Message, frozen=True):
    """Retire a responder: it is asked no more; runs that asked it already go on."""

    id: str
