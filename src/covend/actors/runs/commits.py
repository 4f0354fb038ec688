"""Making durable what follows from an input, and only then acting on it (P3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from covend.actors.asking_store import STORE_SECONDS, ask_known, ask_store
from covend.actors.runs.children import begin_child
from covend.actors.runs.effects import Effects
from covend.actors.runs.messages import Joining, Wrote
from covend.patterns.state import K
from covend.patterns.step import Draft, Entry
from covend.phylactery.messages import Append, Find, Thread
from covend.phylactery.records import Record
from covend.runtime import Context


class Commits:
    """What one run writes. In its execution's thread; raises ``ReplyError`` where it is refused.

    ``unsure`` keeps the drafts of which it is not known yet whether they are stored.
    """

    def __init__(
        self,
        ctx: Context,
        effects: Effects,
        clock: Callable[[], int],
        unsure: dict[str, Draft],
    ) -> None:
        self.ctx = ctx
        self.effects = effects
        self.clock = clock
        self.unsure = unsure

    def make(
        self,
        k: K,
        drafts: list[Draft],
        records: list[Record],
        given: Sequence[Record] = (),
        due: int | None = None,
    ) -> None:
        """Store what is ``given`` and what follows, with the runs that it begins; then act on it.

        ``records`` are those of the drafts; ``due`` is when the earliest timer set by ``given`` is
        due. Where the store refuses only what follows, what is given is stored nonetheless.
        """
        self.unsure.update(zip([entry.id for entry in records], drafts, strict=True))
        fired = begun_by(drafts)
        if fired:
            self.store(given)  # whom it begins has to be asked for, which may fail
            begun = self.begin_others(records, fired)
        else:
            self.store(given, records)
            begun = []
        for entry in records:
            del self.unsure[entry.id]
        self.act(k, drafts, begun, due)

    def act(
        self, k: K, drafts: list[Draft], begun: Sequence[str] = (), due: int | None = None
    ) -> None:
        """Do what these durable drafts ask for, and have the runs that they began go on."""
        for draft in drafts:
            self.effects.note(draft.kind, draft.body)
        for draft in drafts:
            self.effects.of(k, draft)
        dues = [due] if due is not None else []
        dues += timers_due([draft.body for draft in drafts])
        first = min(dues, default=None) if k.ended is None else None
        self.ctx.tell("desk", Wrote(self.ctx.name, tuple(begun), k.ended, first))

    def rouse_others(self, k: K, entries: list[Entry]) -> None:
        """Have the runs go on that this one's end began, as its records say.

        The answer to the commit that stored them may have been lost, and nobody else knows of them.
        """
        children = [str(body["child"]) for body in begun_by(entries)]
        rows = [ask_store(self.ctx, Thread(child)) for child in children]
        going_on = tuple(row["id"] for row in rows if row is not None and row["state"] == "open")
        if going_on:
            self.ctx.tell("desk", Wrote(self.ctx.name, going_on, k.ended))

    def begin_others(self, records: list[Record], fired: list[dict[str, Any]]) -> list[str]:
        """Store these records with the runs that these triggers begin; returns which those are."""
        alone = [body for body in fired if body["join"] is None]
        joins = tuple(body for body in fired if body["join"] is not None)
        firsts = self.children(alone)
        begun = [entry.thread for entry in firsts if entry.kind == "intend"]
        whole = [*records, *firsts]
        if joins:
            order = Joining(tuple(whole), joins)
            return begun + self.ctx.ask("desk", order, timeout=STORE_SECONDS)
        self.store(whole)
        return begun

    def children(self, fired: list[dict[str, Any]]) -> list[Record]:
        """The first records of the runs that begin with this one's end."""
        if not fired:
            return []
        known = ask_known(self.ctx)
        by = self.effects.by
        return [begin_child(body, known, self.find, self.clock(), by) for body in fired]

    def find(self, name: str) -> dict[str, Any] | None:
        """The record of this id."""
        return ask_store(self.ctx, Find(name))

    def store(self, records: Sequence[Record], then: Sequence[Record] = ()) -> None:
        """Store these in one commit; those that follow only where the first ones are taken."""
        batches = [list(batch) for batch in (records, then) if batch]
        if batches:
            ask_store(self.ctx, Append(*batches))


def begun_by(written: Sequence[Draft] | Sequence[Entry]) -> list[dict[str, Any]]:
    """The bodies of the triggers among these that begin a run, alone or with others."""
    fired = [one.body for one in written if one.kind == "trigger"]
    return [body for body in fired if "refused" not in body]


def timers_due(bodies: Iterable[dict[str, Any]]) -> list[int]:
    """When the timers that these bodies set are due."""
    return [timer["due"] for body in bodies for timer in body.get("timers", ())]
