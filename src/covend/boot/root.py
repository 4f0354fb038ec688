"""The root process: supervises the box's processes, and holds no state (docs/architecture.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

from covend.boot.last_words import LastWords
from covend.boot.process import NodeProcess, Place, write_identity
from covend.config import remember
from covend.protocol import StopBox
from covend.runtime import Actor, Exit, MailboxSpec
from covend.runtime.orphans import OrphanReaper, become_subreaper
from covend.runtime.pidfd import ProcessId
from covend.runtime.saying import say
from covend.supervisors import Supervisor
from covend.supervisors.root_tree import root_tree

STOP_SECONDS = 90.0


class RootActor(Actor):
    """Hears ``StopBox`` from the command line; address ``root@root``."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100, policy="reject")

    def __init__(self, end: Callable[[str], None]) -> None:
        self.end = end

    def on_receive(self, message: object) -> object:
        if isinstance(message, StopBox):
            self.end("covend stop")
            return "stopping"
        return None


def run(place: Place, config: str) -> int:
    """Run the box until told to stop; returns the exit status, 1 when the box gave up.

    Main thread. Raises ``FolderError`` when one runs already.

    As the subreaper of everything below it, the root inherits and reaps soulstones whose reactor
    died; none is left behind when it ends (S16).
    """
    claim = place.folders.claim()
    remember(config, place.folders.run)  # not before: it is what the processes of one box go by
    become_subreaper()
    process = NodeProcess(place, top="processes")
    reaper = OrphanReaper()
    identity = write_identity(place.folders, ProcessId.of(os.getpid()).create_time, config)
    process.start()
    try:
        tree = root_tree(place.box, config, place.folders)
        process.system.spawn(RootActor, process.end, name="root")
        last_words = LastWords(place.folders.logs)
        process.system.spawn(Supervisor, tree, last_words, name="processes")

        def on_down(reason: Exit) -> None:
            process.end(f"the root's supervisor ended: {reason}", status=1)

        process.system.watch("processes", on_down)
        say(f"covend: box {place.box.name} is at http://{place.box.listen}")
        cause = process.wait()
        say(f"covend: stopping ({cause})")
    finally:
        process.system.shutdown(timeout=STOP_SECONDS)
        process.close()
        reaper.close()
        identity.unlink(missing_ok=True)
        claim.close()
    say("covend: stopped")
    return process.status
