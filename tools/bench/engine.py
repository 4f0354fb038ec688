"""A core as far as queries need one, for benches: the real store, desk, courier and executions."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from covend.actors.calls.courier import Courier
from covend.actors.people.herald import Herald
from covend.actors.responders.registry import Registry
from covend.actors.runs.desk import RUNS, Desk
from covend.actors.runs.timekeeper import Timekeeper
from covend.config import Box, Queries, ResponderEntry
from covend.phylactery.actor import Phylactery
from covend.questions import EndOf, SubmitQuery
from covend.runtime import Actor, ActorRef, ThreadSystem, one_core
from covend.supervisors import DynamicSupervisor
from covend.supervisors.core_tree import RUNS_SPEC

ASK_SECONDS = 60.0


class Deaf(Actor):
    """Stands where the console and the broker are; these benches need neither."""

    def on_receive(self, message: object) -> object:
        return None


class Engine:
    """The actors of queries on one thread system; ``submit`` and ``ended`` from any thread."""

    def __init__(self, system: ThreadSystem, store: Path, box: Box) -> None:
        self.system = system
        self.store: ActorRef = system.spawn(Phylactery, store, name="phylactery")
        for name in ("console", "broker"):
            system.spawn(Deaf, name=name)
        for kind in (Registry, Herald, Courier):
            system.spawn(kind, box, name=kind.__name__.lower())
        self.desk: ActorRef = system.spawn(Desk, box, name="desk")
        system.spawn(DynamicSupervisor, RUNS_SPEC, name=RUNS)
        system.spawn(Timekeeper, name="timekeeper")

    def submit(self, query: Mapping[str, Any], key: str | None = None) -> str:
        """Ask; the query's id. Raises RuntimeError when it is refused."""
        told = self.desk.ask(SubmitQuery(dict(query), key), timeout=ASK_SECONDS)
        if "refused" in told:
            raise RuntimeError(str(told["refused"]))
        return str(told["id"])

    def ended(self, thread: str, seconds: float = ASK_SECONDS) -> dict[str, Any]:
        """The end of a query; raises TimeoutError when it takes longer."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            told = self.desk.ask(EndOf(thread, min(left, 10.0)), timeout=ASK_SECONDS)
            if told["state"] == "ended":
                return told["know"]
        raise TimeoutError(f"{thread} did not end within {seconds:g} s")


@contextmanager
def engine(store: Path, *responders: Mapping[str, Any], **limits: Any) -> Generator[Engine]:
    """A running engine on this store, with these responders, held on one core as the core is."""
    entries = tuple(msgspec.convert(dict(entry), ResponderEntry) for entry in responders)
    one_core.hold()
    try:
        with ThreadSystem(node="core") as system:
            yield Engine(system, store, Box(responder=entries, queries=Queries(**limits)))
    finally:
        one_core.let_go()
