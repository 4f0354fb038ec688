"""Rescuing what is whole in a damaged store (D5)."""

from __future__ import annotations

from pathlib import Path

from covend.phylactery.errors import StoreError
from covend.phylactery.store import Store, connect, is_dsn, open_store


def salvage(damaged: str | Path, into: str | Path) -> tuple[int, str | None]:
    """Copy every intact record of a damaged store into a new one; the damaged one is only read.

    Returns how many were copied and, if something was wrong, what. Raises ``StoreError`` if
    ``into`` exists, ``damaged`` is not there, or nothing in it is intact; then nothing is made.
    """
    if not is_dsn(into) and Path(into).exists():
        raise StoreError(f"{into} exists: give the path of a new file")
    if not is_dsn(damaged) and not Path(damaged).exists():
        raise StoreError(f"{damaged} does not exist")
    old = Store(connect(damaged, read_only=True))
    try:
        new = open_store(into)
        try:
            copied = new.restore(old.intact())
            problem = _first_problem(old)
            if not copied:
                found = problem or "it is an empty store, or none of covend's"
                raise StoreError(f"{damaged} has no record that is whole: {found}")
        except BaseException:
            new.discard()
            raise
        new.close()
    finally:
        old.close()
    return copied, problem


def _first_problem(damaged: Store) -> str | None:
    """What is wrong with a store, as far as can be told of one that may lack some tables."""
    try:
        found = damaged.verify()
    except StoreError as error:
        return str(error)
    return found[0] if found else None
