"""A ghoul worker process: hosts several ghoul actors that run jobs through the gate."""

from __future__ import annotations

from covend.actors.jobs.ghoul import Ghoul
from covend.boot.process import NodeProcess, Place, run_until_ended
from covend.runtime import Exit
from covend.supervisors import ChildSpec, Supervisor, SupervisorSpec


def run(place: Place) -> int:
    """Host ``box.ghoul_slots`` ghouls until told to stop; the steps under way are abandoned.

    An abandoned step was not recorded, so the next ghoul makes it anew.
    """

    def build(process: NodeProcess) -> None:
        gate = f"http://{place.box.listen}"
        names = [f"{place.node}.{index}" for index in range(place.box.ghoul_slots)]
        ghouls = [ChildSpec(name, (Ghoul, (gate, f"{name}@{place.node}"))) for name in names]
        process.system.spawn(Supervisor, SupervisorSpec("ghouls", children=ghouls), name="ghouls")

        def on_down(reason: Exit) -> None:
            process.end(f"the ghouls' supervisor ended: {reason}", status=1)

        process.system.watch("ghouls", on_down)

    return run_until_ended(place, build, top="ghouls")
