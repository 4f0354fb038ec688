"""Ends a process with its session and all its descendants, for certain (S16)."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass

from covend.runtime.pidfd import ProcessId, process_table, wait_all

_log = logging.getLogger("covend.runtime")


@dataclass(frozen=True, slots=True)
class TreeEnd:
    """How a process tree ended."""

    orderly: bool
    """Its first process ended by itself after SIGTERM, within its time."""
    killed: int
    """How many processes had to be killed."""
    survivors: tuple[ProcessId, ...]
    """Who outlived even SIGKILL (stuck in the kernel); empty when the tree is gone for certain."""


class TreeStop:
    """The orderly, then forced end of a process with its session and all its descendants.

    Who belongs to it is noted when this is made: once a parent has ended, nobody can tell any more
    whose its children were. Make it, ``ask``, and ``finish``; any thread.
    """

    def __init__(self, process: ProcessId) -> None:
        self.process = process
        self._members = _tree_of(process, {process})

    def ask(self) -> None:
        """Sends SIGTERM to the first process alone, which knows how to stop its own helpers."""
        self.process.terminate()

    def finish(self, seconds: float, kill_seconds: float = 5.0) -> TreeEnd:
        """Gives the first process ``seconds`` to end, kills what is left, and makes sure.

        SIGKILL goes to all that is left until nothing is found or ``kill_seconds`` passed. Blocks
        the calling thread.
        """
        orderly = seconds > 0 and self.process.wait(seconds)
        deadline = time.monotonic() + kill_seconds
        killed: set[ProcessId] = set()
        while True:
            # Looked up again each round: what is being killed may have forked meanwhile.
            self._members = _tree_of(self.process, self._members)
            running = [member for member in self._members if member.alive()]
            if not running:
                return TreeEnd(orderly, len(killed), ())
            left = deadline - time.monotonic()
            if left <= 0:
                _log.error("these processes outlived SIGKILL: %s", running)
                return TreeEnd(orderly, len(killed), tuple(running))
            killed.update(member for member in running if member.send(signal.SIGKILL))
            wait_all(running, left)


def end_tree(process: ProcessId, term_seconds: float, kill_seconds: float = 5.0) -> TreeEnd:
    """Ends a process with its session and all its descendants, and makes sure that they are gone.

    SIGTERM first, with ``term_seconds`` to obey it; 0 kills at once. As ``TreeStop``, in one call.
    A process that left the session *and* whose parents were gone before this call is an orphan:
    see ``OrphanReaper``.
    """
    stop = TreeStop(process)
    if term_seconds > 0:
        stop.ask()
    return stop.finish(term_seconds, kill_seconds)


def _tree_of(leader: ProcessId, known: set[ProcessId]) -> set[ProcessId]:
    """The known ones that still exist, all their descendants, and the leader's whole session."""
    table = {stat.id.pid: stat for stat in process_table()}
    holder = table.get(leader.pid)
    # A session outlives its leader, and keeps its number from being reused; if the number is
    # somebody else's now, the session was empty and is not ours any more.
    session = leader.pid if holder is None or holder.id == leader else None
    found = {stat.id for stat in table.values() if stat.id in known or stat.session == session}
    grew = True
    while grew:
        pids = {member.pid for member in found}
        young = {stat.id for stat in table.values() if stat.parent in pids} - found
        found |= young
        grew = bool(young)
    return found
