"""Group commit: many chains of batches, one transaction, each answered once durable (D2)."""

from __future__ import annotations

from collections.abc import Callable

from covend.phylactery.canonical import NotCanonical
from covend.phylactery.errors import Conflict, InDoubt, StoreError
from covend.phylactery.records import BadRecord
from covend.phylactery.store import Chain, Store

Done = Callable[[int | Exception], None]
"""Called with how many records were new, or with why they were not all stored."""

MAX_BATCH = 1000
"""Records in one transaction; past it the group is committed without waiting for more."""


class GroupCommit:
    """Collects chains and commits them together; every batch is stored whole or not at all.

    The owner calls ``add`` for each chain and ``commit`` when nothing more is waiting; ``add``
    returns True when the group is full and should be committed at once. No thread of its own.
    """

    def __init__(self, store: Store, max_batch: int = MAX_BATCH) -> None:
        self.store = store
        self.max_batch = max_batch
        self._waiting: list[tuple[Chain, Done]] = []
        self._records = 0

    @property
    def waiting(self) -> int:
        """How many chains wait for the next commit."""
        return len(self._waiting)

    def add(self, chain: Chain, done: Done) -> bool:
        """Take a chain into the group; True if the group is now full."""
        self._waiting.append((chain, done))
        self._records += sum(map(len, chain))
        return self._records >= self.max_batch

    def commit(self) -> None:
        """Store the group in one durable transaction, then tell each chain how it went.

        Where the group cannot be stored at all, each batch is tried alone, so that one that is too
        large harms none but those that follow from it.
        """
        group, self._waiting, self._records = self._waiting, [], 0
        match group:
            case []:
                return
            case [([_] as chain, done)]:
                done(self._alone(chain))
            case _:
                self._together(group)

    def _together(self, group: list[tuple[Chain, Done]]) -> None:
        try:
            outcomes = self.store.append_all([chain for chain, _ in group])
        except StoreError as error:
            for chain, done in group:
                done(self._alone(chain, error))
            return
        for (_, done), outcome in zip(group, outcomes, strict=True):
            done(outcome)

    def _alone(self, chain: Chain, before: StoreError | None = None) -> int | Exception:
        """How a chain went; ``before`` is how it went the last time.

        What is in doubt is stored once more, which says it, and stays in doubt where that fails.
        """
        doubt = before if isinstance(before, InDoubt) else None
        try:
            return sum(self.store.append(batch) for batch in chain)
        except (Conflict, BadRecord, NotCanonical) as error:
            return error
        except InDoubt as error:
            return doubt or self._alone(chain, error)
        except StoreError as error:
            return doubt or error
