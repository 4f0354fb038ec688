"""The process driver: soulstones as plain processes, no systemd needed.

Each is started in a session of its own by the runtime's spawner thread and outlives the reactor
that started it (S16). Its environment carries the box's marks, so neither a lost record nor a
child that left the session can hide it.
"""

from __future__ import annotations

import logging
import secrets
import signal
import time
from collections.abc import Callable, Mapping

import msgspec

from covend.config import Soulstone
from covend.host.driver import Adoption, DriverError, OnExit
from covend.host.folders import Folders
from covend.host.units import (
    BOX_MARK,
    LAUNCH_MARK,
    SOULSTONE_MARK,
    Marks,
    UnitRecord,
    UnitState,
    boot_id,
    forget,
    marked,
    observe,
    records,
    spec_hash,
    write_record,
)
from covend.runtime.pidfd import ExitWatcher, ProcessId, Watch, exit_watcher, wait_all
from covend.runtime.process import Command, Spawner, spawner
from covend.runtime.process_tree import end_tree

KILL_SECONDS = 10.0
"""How long a killed process may take to disappear (a driver tears down gigabytes meanwhile)."""

_log = logging.getLogger(__name__)


class ProcessDriver:
    """Soulstones as processes of this machine. Methods may be called from any thread."""

    def __init__(
        self,
        folders: Folders,
        soulstones: Mapping[str, Soulstone],
        on_exit: OnExit,
        spawn: Spawner | None = None,
        watcher: ExitWatcher | None = None,
    ) -> None:
        self._folders = folders
        self._specs = dict(soulstones)
        self._on_exit = on_exit
        self._spawner = spawn or spawner()
        self._watcher = watcher or exit_watcher()
        self._watches: dict[ProcessId, Watch] = {}

    def configure(self, soulstones: Mapping[str, Soulstone]) -> None:
        """Take over a new configuration; nothing is started or stopped for it."""
        self._specs = dict(soulstones)

    def observe(self) -> dict[str, UnitState]:
        """What is there now, by name."""
        return observe(self._folders.units)

    def adopt(self) -> Adoption:
        """Watch what an earlier reactor started; end what belongs to nobody (W25).

        Nobody's are: the remains of a soulstone whose own process ended, a process that carries
        the box's mark but no living record, and a soulstone that the configuration dropped.
        """
        world = self.observe()
        adopted: list[str] = []
        reaped: list[str] = []
        for record in list(records(self._folders.units)):
            unit = world.get(record.name)
            spec = self._specs.get(record.name)
            if spec is not None and spec.authority == "shared":
                forget(self._folders.units, record.name)  # not ours to manage any more (W4)
            elif unit is not None and unit.alive and spec is not None:
                if not record.pid:
                    self._record(record, unit.process)
                self._watch(unit)
                adopted.append(record.name)
            else:
                if unit is not None and unit.alive:
                    _log.warning("ending %s (pid %d): not configured", record.name, unit.pid)
                    reaped.append(record.name)
                self.stop(record.name, 0.0)
        strays = self._reap_strays({world[name].launch for name in adopted})
        if strays:
            _log.warning("ended stray processes of %s", ", ".join(sorted(strays)))
        return Adoption(tuple(adopted), tuple(sorted({*reaped, *strays})))

    def start(self, name: str) -> UnitState:
        """Start a soulstone; returns once its process runs its program.

        Refuses a shared soulstone (W4), one that runs already, and an unknown one, with a
        ``DriverError``; the same when the program cannot be started.
        """
        spec = self._managed(name)
        unit = self.observe().get(name)
        if unit is not None:
            if unit.alive:
                raise DriverError(f"{name} runs already, as pid {unit.pid}")
            self.stop(name, 0.0)  # its children may have outlived it
        log = self._folders.logs / f"{name}.log"
        record = UnitRecord(
            name=name,
            launch=secrets.token_hex(16),
            spec_hash=spec_hash(spec),
            started=time.monotonic(),
            boot=boot_id(),
            log=str(log),
        )
        write_record(self._folders.units, record)
        marks = {
            BOX_MARK: self._folders.box_id,
            SOULSTONE_MARK: name,
            LAUNCH_MARK: record.launch,
        }
        command = Command(
            argv=spec.command,
            env={**spec.env, **marks},
            cwd=spec.cwd,
            log_path=log,
            follows_parent=False,
        )
        try:
            child = self._spawner.spawn(command)
        except (OSError, ValueError) as error:
            forget(self._folders.units, name)
            raise DriverError(f"{name}: cannot start {list(spec.command)}: {error}") from error
        unit = self._record(record, child.id)
        self._watch(unit)
        return unit

    def stop(self, name: str, seconds: float) -> None:
        """End a soulstone with every process of its session, its descendants and its mark.

        SIGTERM goes to its own process; after ``seconds`` (0: at once) SIGKILL to all that is
        left. Raises ``DriverError`` for a shared one (W4) and when something outlives SIGKILL.
        """
        spec = self._specs.get(name)
        if spec is not None and spec.authority == "shared":
            raise DriverError(f"{name} is shared: covend never stops it")
        unit = self.observe().get(name)
        if unit is not None:
            self._unwatch(unit.process)
            end = end_tree(unit.process, seconds, KILL_SECONDS)
            if end.survivors:
                raise DriverError(f"{name}: {list(end.survivors)} outlived SIGKILL")
            self._kill_marked(lambda marks: marks.launch == unit.launch, unit.create_time)
        forget(self._folders.units, name)

    def close(self) -> None:
        """Report no more exits; the soulstones live on."""
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()

    def _managed(self, name: str) -> Soulstone:
        spec = self._specs.get(name)
        if spec is None:
            raise DriverError(f"{name} is not in the configuration")
        if spec.authority == "shared":
            raise DriverError(f"{name} is shared: covend never starts it")
        return spec

    def _record(self, record: UnitRecord, process: ProcessId) -> UnitState:
        full = msgspec.structs.replace(record, pid=process.pid, create_time=process.create_time)
        write_record(self._folders.units, full)
        return UnitState(
            name=full.name,
            pid=full.pid,
            create_time=full.create_time,
            started=full.started,
            alive=True,
            spec_hash=full.spec_hash,
            launch=full.launch,
            log=full.log,
        )

    def _watch(self, unit: UnitState) -> None:
        def ended(status: int | None) -> None:
            self._watches.pop(unit.process, None)
            self._on_exit(unit, status)

        self._watches[unit.process] = self._watcher.watch(unit.pid, unit.create_time, ended)

    def _unwatch(self, process: ProcessId) -> None:
        watch = self._watches.pop(process, None)
        if watch is not None:
            watch.cancel()

    def _kill_marked(self, doomed: Callable[[Marks], bool], since: float = 0.0) -> set[str]:
        """Kill what bears such marks until nothing does: it may fork while we look.

        Returns the soulstones that lost a process. Raises ``DriverError`` past ``KILL_SECONDS``.
        """
        deadline = time.monotonic() + KILL_SECONDS
        killed: set[str] = set()
        box_id = self._folders.box_id
        while left := [pair for pair in marked(box_id, since) if doomed(pair[1])]:
            processes = [stat.id for stat, _ in left]
            if time.monotonic() > deadline:
                raise DriverError(f"{processes} outlived SIGKILL")
            for process in processes:
                process.send(signal.SIGKILL)
            wait_all(processes, deadline - time.monotonic())
            killed |= {marks.soulstone for _, marks in left}
        return killed

    def _reap_strays(self, living: set[str]) -> set[str]:
        """End what bears the box's mark and belongs to no living unit, nor to a shared one."""
        shared = {name for name, spec in self._specs.items() if spec.authority == "shared"}
        return self._kill_marked(
            lambda marks: marks.launch not in living and marks.soulstone not in shared
        )
