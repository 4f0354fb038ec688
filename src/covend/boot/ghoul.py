"""A ghoul worker process: hosts several ghoul actors that run jobs through the gate."""

from __future__ import annotations

from covend.actors.ghoul import Ghoul
from covend.boot.process import NodeProcess, Place, run_until_ended


def run(place: Place) -> int:
    """Host ``box.ghoul_slots`` ghouls until told to stop; the steps under way are abandoned.

    An abandoned step was not recorded, so the next ghoul makes it anew.
    """

    def build(process: NodeProcess) -> None:
        for index in range(place.box.ghoul_slots):
            name = f"{place.node}.{index}"
            process.system.spawn(
                Ghoul, f"http://{place.box.listen}", f"{name}@{place.node}", name=name
            )

    return run_until_ended(place, build)
