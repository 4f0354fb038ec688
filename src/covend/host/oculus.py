"""The oculus: reads how much memory each device has, and who uses it.

A device is read through RAM's own accounting (``host``) or through NVML (``nvidia``); both answer
with the same ``Reading``. A soulstone's memory is that of its whole process tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
import psutil

from covend.config import Device
from covend.runtime.pidfd import ProcessStat, process_table


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One device, measured once. Sizes are bytes.

    ``capacity`` is what may be planned with, ``soulstones`` what each of ours uses, ``foreign``
    what others use of the capacity, ``by_pid`` the processes behind these figures.
    Temperature is in °C, power in watts, utilisation in percent; None where nobody measures it.
    """

    device: str
    capacity: int
    soulstones: dict[str, int]
    foreign: int = 0
    by_pid: dict[int, int] = {}
    utilisation: float | None = None
    temperature: float | None = None
    power: float | None = None

    @property
    def used(self) -> int:
        """What ours and others use together."""
        return self.foreign + sum(self.soulstones.values())

    @property
    def free(self) -> int:
        """What is left of the capacity; never negative."""
        return max(0, self.capacity - self.used)


Trees = Mapping[str, frozenset[int]]
"""The pids of each soulstone's process tree, by name."""


class DeviceReader(Protocol):
    """Measures one device."""

    def read(self, trees: Trees) -> Reading:
        """Measure now. Raises ``OculusError`` when the device cannot be read."""
        ...


class OculusError(Exception):
    """A device cannot be read; says which, why, and what was found instead."""


class Oculus:
    """Reads all devices of a box. Not thread-safe; cheap enough for once a second."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._readers = {device.name: reader_for(device) for device in devices}

    def read(self, owned: Mapping[str, int] | None = None) -> dict[str, Reading]:
        """Measure every device; ``owned`` maps each living soulstone to the pid of its process."""
        trees = process_trees(owned or {})
        return {name: reader.read(trees) for name, reader in self._readers.items()}


def reader_for(device: Device) -> DeviceReader:
    """The reader of a device's kind. Raises ``OculusError`` when NVML cannot open it."""
    if device.kind == "host":
        return HostReader(device)
    # Imported here: a box without a GPU needs neither the driver nor its bindings.
    from covend.host.nvml import NvidiaReader

    return NvidiaReader(device)


class HostReader:
    """RAM as a device.

    A configured capacity is a budget for soulstones alone: what others use of the machine does not
    count against it. Without one, the capacity is the machine's RAM, and all that others hold and
    the kernel could not give back (total − available − ours) counts as foreign (W1).
    """

    def __init__(self, device: Device) -> None:
        self._device = device

    def read(self, trees: Trees) -> Reading:
        """Measure now; one look at /proc per process of ours."""
        by_pid: dict[int, int] = {}
        soulstones: dict[str, int] = {}
        held = 0
        for name, pids in trees.items():
            total = 0
            for pid in pids:
                pss, pinned = memory_of(pid)
                by_pid[pid] = pss
                total += pss
                held += pinned
            soulstones[name] = total
        capacity, foreign = self._device.capacity, 0
        if capacity is None:
            ram = psutil.virtual_memory()
            capacity = ram.total
            foreign = max(0, ram.total - ram.available - held)
        return Reading(
            device=self._device.name,
            capacity=capacity,
            soulstones=soulstones,
            foreign=foreign,
            by_pid=by_pid,
        )


def memory_of(pid: int) -> tuple[int, int]:
    """A process's proportional memory (PSS), and the part of it that cannot be dropped; bytes.

    PSS divides each page among those who map it, so a model file mapped by two servers counts
    once. A process that is gone has none; of one that we may not look into, all resident memory.
    """
    fields: dict[bytes, int] = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file.read().splitlines()[1:]:
                name, _, value = line.partition(b":")
                fields[name] = int(value.split()[0]) * 1024
    except PermissionError:
        return _resident(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    huge = fields.get(b"Private_Hugetlb", 0)
    pinned = fields.get(b"Pss_Anon", 0) + fields.get(b"Pss_Shmem", 0) + huge
    return fields.get(b"Pss", 0) + huge, pinned


def process_trees(owned: Mapping[str, int]) -> dict[str, frozenset[int]]:
    """The pids of each soulstone's tree: its process, its session, and all their descendants."""
    if not owned:
        return {}
    table = [stat for stat in process_table() if not stat.gone]
    children: dict[int, list[ProcessStat]] = {}
    sessions: dict[int, list[ProcessStat]] = {}
    for stat in table:
        children.setdefault(stat.parent, []).append(stat)
        sessions.setdefault(stat.session, []).append(stat)
    trees: dict[str, frozenset[int]] = {}
    for name, leader in owned.items():
        found: set[int] = set()
        waiting = [stat.id.pid for stat in sessions.get(leader, ())]
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting += [stat.id.pid for stat in children.get(pid, ())]
        trees[name] = frozenset(found)
    return trees


def _resident(pid: int) -> tuple[int, int]:
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0, 0
    return info.rss, info.rss
