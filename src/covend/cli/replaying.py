"""Many queries rebuilt from their records, on several processor cores where there are many (P2).

Queries are independent of each other, so each process reads its own share of them from the store.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from covend.patterns.query.names import Status
from covend.patterns.step import Quarantined, replay
from covend.phylactery.errors import StoreCorrupt, StoreError
from covend.phylactery.rows import Entry
from covend.phylactery.schema import RUN_ACTS
from covend.phylactery.store import Store, open_store

if TYPE_CHECKING:
    from covend.patterns.step import Replayed

Told = dict[str, Any]

SHARE = 100
"""How many queries a process takes at once."""

MANY = 1000
"""From so many queries on, beginning more processes takes less time than they save."""

READ = 10
"""How many queries are read before they are replayed: by turns, both take longer."""


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def replayed_all(
    where: str | Path, names: Sequence[str], jobs: int | None = None
) -> Iterator[Told]:
    """Where each of these queries of a store that was opened before stands; see ``replayed``.

    One with a damaged record is told as such, and keeps no other from being replayed.
    In their order. ``jobs`` is how many processes share the work; None: one a core where there are
    many queries.
    Raises ``StoreError`` where the store cannot be read, and ``BrokenExecutor`` where one of the
    processes was ended.
    """
    shares = [names[at : at + SHARE] for at in range(0, len(names), SHARE)]
    jobs = min(jobs or (cores() if len(names) >= MANY else 1), len(shares))
    if jobs <= 1:
        store = open_store(where, read_only=True, checked=True)
        try:
            yield from replayed_each(store, names)
        finally:
            store.close()
        return
    # Processes that begin with everything imported, and with nothing else of this one.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(jobs, context, _open, (where,))
    try:
        yield from chain.from_iterable(pool.map(_replayed_share, shares))
    finally:
        pool.shutdown(cancel_futures=True)


def replayed(name: str, every: Sequence[Entry]) -> Told:
    """Where a query stands by its records, or where these differ from what follows from them."""
    # What others wrote into the thread, such as who takes part in a join, is no part of the run.
    own = [entry for entry in every if entry.record.kind in RUN_ACTS]
    told = unread(name) | {"records": len(every), "differs": False}
    if not every:
        return told | {"stands": "there is no such thread", "differs": True}
    if not own:
        return told | {"stands": f"has not begun: {every[-1].record.kind}"}
    if any(entry.purged for entry in own):
        return told | {"stands": "its working records were purged; its answer is kept"}
    told["compared"] = True
    try:
        return told | {"stands": standing(replay(name, [entry.record for entry in own]))}
    except MemoryError:
        raise  # nothing is wrong with the records
    except (Quarantined, ValueError) as error:
        return told | {"stands": str(error), "differs": True}
    except Exception as error:  # as wide as an execution's: such a run is set aside there
        return told | {"stands": f"{type(error).__name__}: {error}", "differs": True}


def unread(name: str) -> Told:
    """What is told of a query of which nothing was read yet."""
    return {"id": name, "records": 0, "compared": False, "differs": True, "damaged": []}


def damaged(store: Store, name: str) -> Told:
    """Which of a query's records are damaged, and how; for one that has such.

    Where not even their places can be read, what is wrong with the store there.
    """
    try:
        every = store.query(thread=name, newest_first=False, damaged=True)
    except StoreCorrupt as error:
        return unread(name) | {"stands": error.detail}
    found = [{"seq": one["seq"], "problem": one["damaged"]} for one in every if "damaged" in one]
    stands = "; ".join(f"record {one['seq']}: {one['problem']}" for one in found)
    return unread(name) | {"records": len(every), "damaged": found, "stands": stands}


def replayed_each(store: Store, names: Sequence[str]) -> Iterator[Told]:
    """Where each of these queries stands, in their order; see ``READ``."""
    for at in range(0, len(names), READ):
        read = [(name, records_of(store, name)) for name in names[at : at + READ]]
        for name, entries in read:
            yield damaged(store, name) if entries is None else replayed(name, entries)


def records_of(store: Store, name: str) -> list[Entry] | None:
    """The records of a query; None where one of them is damaged."""
    try:
        return list(store.entries(name))
    except StoreCorrupt:
        return None


def line(told: Told) -> str:
    """What was found of one query, for people."""
    if told["damaged"]:
        return f"{told['id']}: {told['records']} records, damaged: {told['stands']}"
    if told["differs"]:
        return f"{told['id']}: {told['records']} records, wrong: {told['stands']}"
    if not told["compared"]:
        return f"{told['id']}: {told['records']} records, nothing to compare: {told['stands']}"
    ended = "ended " if told["stands"] in get_args(Status) else ""
    return f"{told['id']}: {told['records']} records agree; {ended}{told['stands']}"


def sums(found: Sequence[Told]) -> str:
    """How many queries were found right, damaged, wrong, or not to be compared."""
    hit = sum(bool(told["damaged"]) for told in found)
    wrong = sum(told["differs"] and not told["damaged"] for told in found)
    right = sum(told["compared"] and not told["differs"] for told in found)
    parts = [f"{right} agree"]
    if hit:
        parts.append(f"{hit} damaged")
    if wrong:
        parts.append(f"{wrong} wrong")
    if rest := len(found) - right - wrong - hit:
        parts.append(f"{rest} with nothing to compare")
    return f"{len(found)} {'query' if len(found) == 1 else 'queries'}: {', '.join(parts)}"


def standing(run: Replayed) -> str:
    """One line: how it ended, or what it waits for."""
    if run.k.ended is not None:
        return str(run.k.ended["status"])
    waits = [call.id for call in run.k.calls.values() if call.status == "open"]
    after = f"; {len(run.missing)} records still to be written" if run.missing else ""
    return f"waits for {', '.join(waits) or 'nothing'}{after}"


# In a process of the pool: its own connection to the store, for as long as it lives.

_stores: list[Store] = []


def _open(where: str | Path) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    gc.freeze()  # what is imported stays: the collector need not walk over it again and again
    _stores.append(open_store(where, read_only=True, checked=True))


def _leave_with_parent() -> None:
    """However the command ends: a pool whose owner was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _replayed_share(names: Sequence[str]) -> list[Told]:
    try:
        return list(replayed_each(_stores[0], names))
    except StoreError as error:
        raise StoreError(str(error)) from None  # one that can be handed to another process
