"""Joins: the end of a run, stored with its part in what several ends begin together (P7, P20)."""

from __future__ import annotations

from collections.abc import Callable

from covend.actors.asking_store import ask_known, ask_store
from covend.actors.runs.children import Find, as_member, take_part
from covend.actors.runs.legible import legible
from covend.actors.runs.messages import Joining
from covend.phylactery.messages import Append, Query, Thread
from covend.runtime import AskTimeout, Context, ReplyError


def joined(ctx: Context, order: Joining, find: Find, clock: Callable[[], int]) -> list[str]:
    """Store a run's end with its part in joins; returns the runs that it completes and so begins.

    One at a time, in the desk's thread: so of two members that end at once exactly one is the last.
    Raises ``ReplyError`` where the store refuses it, or does not say whether it is stored.
    """
    records = list(order.records)
    begun: list[str] = []
    known = ask_known(ctx)
    for body in order.joins:
        child = str(body["child"])
        asked = Query(kind="joined", thread=child, newest_first=False, damaged=True)
        members = legible(ctx, ask_store(ctx, asked), as_member)
        there = ask_store(ctx, Thread(child)) is not None
        part, first = take_part(body, members, there, known, find, clock())
        records += part
        if first is not None:
            records.append(first)
            if first.kind == "intend":
                begun.append(child)
    try:
        ask_store(ctx, Append(records))
    except AskTimeout as error:  # its run reads back whether it was stored
        raise ReplyError(f"not known to be stored: {error}") from error
    return begun
