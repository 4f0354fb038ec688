"""The supervision tree of the core (docs/architecture.md): its actors, what each begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covend.actors.admission.catalog import Catalog
from covend.actors.admission.dispatcher import Dispatcher
from covend.actors.calls.courier import Courier
from covend.actors.console import Console
from covend.actors.jobs.broker import Broker
from covend.actors.oculus import OculusActor
from covend.actors.people.herald import Herald
from covend.actors.responders.registry import Registry
from covend.actors.runs.desk import RUNS, Desk
from covend.actors.runs.execution import Execution
from covend.actors.runs.timekeeper import Timekeeper
from covend.actors.swaps.arbiter import Arbiter
from covend.actors.swaps.hands import COVENS, COVENS_TEMPLATE
from covend.config import Box, expand_env
from covend.host.folders import Folders
from covend.phylactery.actor import Phylactery
from covend.runtime import Actor, ActorRef
from covend.runtime.system import System
from covend.supervisors.backoff import Backoff
from covend.supervisors.dynamic import DynamicSupervisor
from covend.supervisors.specs import ChildSpec, DynamicSpec, SupervisorSpec

CORE_INTENSITY = 12
CORE_PERIOD = 20.0
"""A death that the arbiter trusted counts twice: its own restart, and the arbiter's after it."""


class InForce:
    """The configuration that the core goes by: what its actors begin with, also a second time."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def take(self, box: Box) -> None:
        """This one is in force from now on; said by the console alone."""
        self.box = box

    def begin(
        self, kind: type[Actor], arguments: Callable[[Box], tuple[Any, ...]]
    ) -> Callable[[System, str], ActorRef]:
        """A child's start, with what it is given made from the configuration."""
        return lambda system, name: system.spawn(kind, *arguments(self.box), name=name)


RUN = ChildSpec("run", (Execution,), restart="transient", backoff=Backoff(base=0.1, maximum=10.0))
RUNS_SPEC = DynamicSpec(RUNS, RUN, intensity=100, period=200.0, max_children=100_000)
"""A run that died is begun again, ever slower.

One that is wrong is set aside, and one that the store refuses waits by itself: neither dies of it.
"""


def core_tree(box: Box, folders: Folders, incarnation: int, strategy: type[Any]) -> SupervisorSpec:
    """The core (rest_for_one): who dies takes with him who trusts him (docs/architecture.md).

    Who is started again goes by the configuration that is in force then (G10).
    """
    in_force = InForce(box)
    covens = DynamicSpec(COVENS, COVENS_TEMPLATE, CORE_INTENSITY, CORE_PERIOD)
    return SupervisorSpec(
        "core",
        "rest_for_one",
        [
            ChildSpec("phylactery", (Phylactery, (store_of(box, folders),), kept(box))),
            ChildSpec("oculus", in_force.begin(OculusActor, lambda box: (box, folders.units))),
            ChildSpec("arbiter", in_force.begin(Arbiter, lambda box: (box, folders, strategy))),
            ChildSpec(COVENS, (DynamicSupervisor, (covens,)), kind="supervisor"),
            ChildSpec(
                "dispatcher", in_force.begin(Dispatcher, lambda box: (Catalog(box), incarnation))
            ),
            ChildSpec("broker", in_force.begin(Broker, lambda box: (Catalog(box),))),
            ChildSpec(
                "console", in_force.begin(Console, lambda box: (box, incarnation, in_force.take))
            ),
            ChildSpec("registry", in_force.begin(Registry, alone)),
            ChildSpec("herald", in_force.begin(Herald, alone)),
            ChildSpec("courier", in_force.begin(Courier, alone), shutdown=1.5),
            ChildSpec("desk", in_force.begin(Desk, alone)),
            ChildSpec(RUNS, (DynamicSupervisor, (RUNS_SPEC,)), kind="supervisor"),
            ChildSpec("timekeeper", (Timekeeper,)),
        ],
        intensity=CORE_INTENSITY,
        period=CORE_PERIOD,
    )


def alone(box: Box) -> tuple[Any, ...]:
    """What an actor begins with that is given the configuration and nothing else."""
    return (box,)


def store_of(box: Box, folders: Folders) -> str:
    """Where the records are: PostgreSQL if the configuration names one, else a file (D3)."""
    if box.phylactery.dsn is None:
        return str(folders.state / "phylactery.db")
    return expand_env(box.phylactery.dsn)


def kept(box: Box) -> dict[str, Any]:
    """For how long (D4)."""
    return {"retention_days": box.phylactery.retention_days}
