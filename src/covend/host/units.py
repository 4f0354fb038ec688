"""Unit records: which process is which soulstone, for every process of the box to see.

The reactor writes one record per soulstone it starts: once before the process exists, once after,
so a crash between the two leaves a trace of its search. ``observe`` is a pure read. A process is
recognised by pid *and* create time, never by pid alone, and a record of another boot by none.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from covend.config import Soulstone
from covend.host.folders import FolderError, read_private, replace_private
from covend.resolving import resolved
from covend.runtime.pidfd import ProcessId, ProcessStat, process_table

BOX_MARK = "COVEND_BOX"
SOULSTONE_MARK = "COVEND_SOULSTONE"
LAUNCH_MARK = "COVEND_LAUNCH"
"""Environment variables that every process of a soulstone inherits, so that none is ever lost."""

MAX_BYTES = 16 * 1024
EXEC_LOOKS = 50
"""How often a process that is changing its program is looked at, 1 ms apart."""
_log = logging.getLogger(__name__)


class UnitRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the reactor wrote down of one start; ``pid`` is 0 until the process exists.

    ``started`` is ``time.monotonic()`` seconds of the boot named by ``boot``.
    """

    name: str
    launch: str
    spec_hash: str
    started: float
    boot: str
    log: str
    pid: int = 0
    create_time: float = 0.0


class UnitState(msgspec.Struct, frozen=True, kw_only=True):
    """One soulstone's process as it is now; ``alive`` is False once it ended."""

    name: str
    pid: int
    create_time: float
    started: float
    alive: bool
    spec_hash: str
    launch: str
    log: str

    @property
    def process(self) -> ProcessId:
        """Exactly this process, safe against reuse of its pid."""
        return ProcessId(self.pid, self.create_time)


World = Mapping[str, UnitState]
"""Every soulstone that has a record, by name."""


class Marks(msgspec.Struct, frozen=True):
    """What a process carries in its environment of the soulstone it belongs to."""

    box: str
    soulstone: str
    launch: str


def observe(units: Path) -> dict[str, UnitState]:
    """What is there, by name: read from the records and the process table; changes nothing (W25).

    Safe from any process and thread. A start under way whose process is not there yet is left out;
    one whose process is there but not yet recorded is found by its mark.
    """
    world: dict[str, UnitState] = {}
    for record in records(units):
        process = _process_of(record)
        if process is None:
            continue
        world[record.name] = UnitState(
            name=record.name,
            pid=process.pid,
            create_time=process.create_time,
            started=record.started,
            alive=record.boot == boot_id() and process.alive(),
            spec_hash=record.spec_hash,
            launch=record.launch,
            log=record.log,
        )
    return world


def present(world: World) -> dict[str, int]:
    """The living soulstones and their pids: what an intent's ``expected`` must equal."""
    return {name: unit.pid for name, unit in sorted(world.items()) if unit.alive}


def records(units: Path) -> Iterator[UnitRecord]:
    """Every readable record; a damaged one is logged and left out, its process is a stray."""
    for path in sorted(units.glob("*.json")):
        try:
            record = msgspec.json.decode(read_private(path, MAX_BYTES), type=resolved(UnitRecord))
        except (FolderError, msgspec.MsgspecError) as error:
            if path.exists():  # else it was forgotten while we looked
                _log.warning("unit record %s: %s", path, error)
            continue
        if f"{record.name}.json" == path.name:
            yield record


def write_record(units: Path, record: UnitRecord) -> None:
    """Put a record in place, whole. Not synced to disk: after a power cut it names nobody."""
    replace_private(units / f"{record.name}.json", msgspec.json.encode(record), durable=False)


def forget(units: Path, name: str) -> None:
    """Remove a record; nothing happens when there is none."""
    (units / f"{name}.json").unlink(missing_ok=True)


def spec_hash(spec: Soulstone) -> str:
    """What a process was started from, in short: differs when it must be started again (G10)."""
    facts = {
        "command": spec.command,
        "env": spec.env,
        "cwd": spec.cwd,
        "endpoint": spec.endpoint,
    }
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()[:16]


def marked(box_id: str, since: float = 0.0) -> Iterator[tuple[ProcessStat, Marks]]:
    """Every living process of this box's soulstones, however it was born, by its marks (W25).

    Those created before ``since`` (seconds after boot) are passed over unread.
    """
    for stat in process_table():
        if not stat.gone and stat.id.create_time >= since:
            marks = read_marks(stat)
            if marks is not None and marks.box == box_id:
                yield stat, marks


def read_marks(stat: ProcessStat) -> Marks | None:
    """The marks in a process's environment; None when it has none or is not ours to read."""
    environment = _environment(stat)
    if BOX_MARK.encode() not in environment:
        return None
    found = dict(
        entry.decode("utf-8", "replace").split("=", 1)
        for entry in environment.split(b"\0")
        if b"=" in entry
    )
    return Marks(found.get(BOX_MARK, ""), found.get(SOULSTONE_MARK, ""), found.get(LAUNCH_MARK, ""))


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot: pids and monotonic times mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _process_of(record: UnitRecord) -> ProcessId | None:
    if record.pid:
        return ProcessId(record.pid, record.create_time)
    if record.boot != boot_id():
        return None
    for stat in process_table():
        # Only the leader of its session is the unit's process; the rest are its children.
        if stat.session == stat.id.pid and not stat.gone:
            marks = read_marks(stat)
            if marks is not None and marks.launch == record.launch:
                return stat.id
    return None


def _environment(stat: ProcessStat) -> bytes:
    """A process's environment; empty when it is gone or another user's."""
    place = f"/proc/{stat.id.pid}"
    try:
        for _ in range(EXEC_LOOKS):
            with open(f"{place}/environ", "rb") as file:
                environment = file.read()
            if environment or stat.session == 0:  # kernel threads have neither
                return environment
            # In the middle of exec the kernel shows no arguments and no environment.
            with open(f"{place}/cmdline", "rb") as file:
                if file.read():
                    return environment
            time.sleep(0.001)
    except OSError:
        pass  # gone, or not ours to look into: either way none of this box's
    return b""
