"""What the store refuses, and what it cannot do."""

from __future__ import annotations


class StoreError(Exception):
    """The store could not do what was asked; nothing of the batch was stored."""


class StoreFull(StoreError):
    """The disk (or the file's page limit) is full; nothing of the batch was stored."""


class InDoubt(StoreError):
    """The server was lost while it stored a batch: nobody knows whether it did.

    Storing the same records once more says it, as what is there is passed over (D1).
    """


class StoreCorrupt(StoreError):
    """The store is damaged; it was left untouched, and the message says how to rescue it."""

    def __init__(self, where: object, detail: str) -> None:
        super().__init__(
            f"{where} is damaged: {detail}. It was left as it is. To copy every intact record into "
            f"a new file: covend salvage {where} NEW_FILE"
        )
        self.detail = detail


class Conflict(StoreError):
    """A record that contradicts one that is stored; its batch was refused whole (P3)."""
