"""The core process: the core's actors of docs/architecture.md under one supervisor."""

from __future__ import annotations

from covend.boot.process import NodeProcess, Place, next_incarnation, run_until_ended
from covend.boot.strategies import load_strategy
from covend.runtime import Exit, one_core
from covend.supervisors import Supervisor
from covend.supervisors.core_tree import core_tree


def run(place: Place) -> int:
    """Run the core until told to stop, or until its supervisor gives up (S6).

    When it gives up the process ends, and the root starts a new one that looks at the world anew.
    """

    def build(process: NodeProcess) -> None:
        incarnation = next_incarnation(place.folders, "core")
        strategy = load_strategy(place.box.whim.strategy)
        tree = core_tree(place.box, place.folders, incarnation, strategy)
        process.system.spawn(Supervisor, tree, name="core")

        def on_down(reason: Exit) -> None:
            process.end(f"the core's supervisor ended: {reason}", status=1)

        process.system.watch("core", on_down)

    one_core.hold()
    return run_until_ended(place, build, top="core")
