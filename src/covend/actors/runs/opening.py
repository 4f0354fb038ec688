"""How a run is opened: what it begins with, and what its submission is told (P7)."""

from __future__ import annotations

from typing import Any

import msgspec

from covend.actors.asking_store import ask_store
from covend.patterns.query.spec import Query
from covend.phylactery.canonical import canonical
from covend.phylactery.messages import Latest, Thread
from covend.questions import refusal
from covend.resolving import resolved
from covend.runtime import AskTimeout, Context, Promise, ReplyError


class Opening:
    """What a run begins with, given out once: a run that is started again reads its records."""

    def __init__(self, intend: dict[str, Any] | None = None, promise: Promise | None = None):
        self._given = None if intend is None else (intend, promise)

    def take(self) -> tuple[dict[str, Any], Promise | None] | None:
        """The ``intend`` body and who waits for it to be durable; None the second time."""
        given, self._given = self._given, None
        return given


def opened_before(
    ctx: Context, thread: str, intend: dict[str, Any], problem: str
) -> dict[str, Any]:
    """What a submission is told of which it is not known that it was stored now (P7).

    Where its run is stored, be it purged or set aside, the same query is answered with that, and
    another one under the same key is refused. Where it is not, ``problem`` says why.
    """
    try:
        opened, row = ask_store(ctx, Latest("intend", thread)), ask_store(ctx, Thread(thread))
    except (ReplyError, AskTimeout) as error:
        return refusal(503, "not_stored", str(error))
    if opened is None or row is None:
        return refusal(503, "not_stored", problem)
    if not same_query(opened["body"], intend):
        return refusal(409, "key_reused", "another query was submitted under this key")
    return {"id": thread, "state": row["state"]}


def same_query(stored: dict[str, Any], submitted: dict[str, Any]) -> bool:
    """Whether two intends ask the same; what an older version did not know has its default.

    A stored one that this version cannot read is not the one that was just admitted.
    """
    try:
        read = [msgspec.convert(body["query"], resolved(Query)) for body in (stored, submitted)]
    except msgspec.ValidationError:
        return False
    before, now = (canonical(msgspec.to_builtins(one)) for one in read)
    return before == now
