"""The reactor process: the only one that starts and stops soulstones."""

from __future__ import annotations

from covend.boot.process import NodeProcess, Place
from covend.host.reactor import Reactor, StopAll
from covend.protocol import IntentRefused, WorldChanged
from covend.runtime.saying import say

STOP_ALL_SECONDS = 50.0


def run(place: Place) -> int:
    """Run until told to stop or until the root is gone; then end every soulstone covend owns.

    A reactor that is killed leaves them alive: the next one adopts them (W25).
    """
    process = NodeProcess(place)
    process.start()
    try:
        core = process.system.address("arbiter@core")

        def tell_core(message: WorldChanged | IntentRefused) -> None:
            core.tell(message)

        reactor = process.system.spawn(Reactor, place.box, place.folders, tell_core, name="reactor")
        cause = process.wait()
        say(f"{place.node}: stopping every soulstone ({cause})")
        error = reactor.ask(StopAll(), timeout=STOP_ALL_SECONDS)
        if error:
            say(f"{place.node}: {error}")
            return 1
    finally:
        process.close()
    return 0
