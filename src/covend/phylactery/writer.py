"""Group commit: many batches, one transaction, each answered once it is durable (D2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from covend.phylactery.canonical import NotCanonical
from covend.phylactery.errors import StoreError
from covend.phylactery.records import BadRecord, Record
from covend.phylactery.store import Store

Done = Callable[[int | Exception], None]
"""Called with how many records were new, or with why none of the batch was stored."""

MAX_BATCH = 1000
"""Records in one transaction; past it the group is committed without waiting for more."""


class GroupCommit:
    """Collects batches and commits them together; every batch is stored whole or not at all.

    The owner calls ``add`` for each batch and ``commit`` when nothing more is waiting; ``add``
    returns True when the group is full and should be committed at once. No thread of its own.
    """

    def __init__(self, store: Store, max_batch: int = MAX_BATCH) -> None:
        self.store = store
        self.max_batch = max_batch
        self._waiting: list[tuple[Sequence[Record], Done]] = []
        self._records = 0

    @property
    def waiting(self) -> int:
        """How many batches wait for the next commit."""
        return len(self._waiting)

    def add(self, records: Sequence[Record], done: Done) -> bool:
        """Take a batch into the group; True if the group is now full."""
        self._waiting.append((records, done))
        self._records += len(records)
        return self._records >= self.max_batch

    def commit(self) -> None:
        """Store the group in one durable transaction, then tell each batch how it went.

        Where the group cannot be stored at all, each batch is tried alone, so that one that is too
        large harms no other.
        """
        group, self._waiting, self._records = self._waiting, [], 0
        match group:
            case []:
                return
            case [(records, done)]:
                self._alone(records, done)
                return
            case _:
                self._together(group)

    def _together(self, group: list[tuple[Sequence[Record], Done]]) -> None:
        try:
            outcomes = self.store.append_all([records for records, _ in group])
        except StoreError:
            for records, done in group:
                self._alone(records, done)
            return
        for (_, done), outcome in zip(group, outcomes, strict=True):
            done(outcome)

    def _alone(self, records: Sequence[Record], done: Done) -> None:
        try:
            outcome: int | Exception = self.store.append(records)
        except (StoreError, BadRecord, NotCanonical) as error:
            outcome = error
        done(outcome)
