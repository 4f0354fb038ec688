"""The oculus: whose memory is whose, on RAM and on a GPU as NVML tells it."""

from __future__ import annotations

import mmap
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from covend.config import Device
from covend.host.nvml import NvidiaReader
from covend.host.oculus import Oculus, OculusError, memory_of, process_trees

MIB = 2**20


@contextmanager
def helper(code: str, *arguments: str) -> Iterator[int]:
    """A process in a session of its own, once it printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
    finally:
        process.communicate()


HOLD = """
import sys
kept = bytearray(int(sys.argv[1]))
kept[::4096] = b"x" * len(kept[::4096])
print("up", flush=True)
sys.stdin.read()
"""

MAP = """
import mmap, sys
file = open(sys.argv[1], "rb")
view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(view[at] for at in range(0, len(view), 4096))
print("up", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys
if os.fork() == 0:
    os.setsid()
    kept = b"x" * int(sys.argv[1])
    print("up", flush=True)
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


def test_a_soulstones_memory_is_that_of_its_whole_tree() -> None:
    """W1: a child counts, also one that went into a session of its own."""
    oculus = Oculus([Device(name="ram", capacity=500 * MIB)])
    with helper(FORK, str(64 * MIB)) as pid:
        reading = oculus.read({"a": pid})["ram"]
        assert 64 * MIB < reading.soulstones["a"] < 110 * MIB
        assert len(reading.by_pid) == 2
        assert reading.capacity == 500 * MIB
        assert reading.free == 500 * MIB - reading.soulstones["a"]
        assert reading.foreign == 0


def test_a_file_mapped_by_two_counts_once(tmp_path: Path) -> None:
    """W1: proportional set size, so two servers of one model file do not pay for it twice."""
    model = tmp_path / "model"
    model.write_bytes(b"m" * 64 * MIB)
    oculus = Oculus([Device(name="ram", capacity=500 * MIB)])
    with helper(MAP, str(model)) as one, helper(MAP, str(model)) as two:
        both = oculus.read({"one": one, "two": two})["ram"].soulstones
        assert 64 * MIB < sum(both.values()) < 96 * MIB
        assert both["one"] == pytest.approx(both["two"], abs=8 * MIB)


def test_without_a_capacity_the_machines_ram_counts_and_others_are_foreign() -> None:
    oculus = Oculus([Device(name="ram")])
    before = oculus.read()["ram"]
    assert before.capacity == psutil.virtual_memory().total
    assert before.soulstones == {}
    with helper(HOLD, str(256 * MIB)) as pid:
        as_foreign = oculus.read()["ram"]
        as_ours = oculus.read({"a": pid})["ram"]
        assert as_ours.soulstones["a"] > 256 * MIB
        assert as_foreign.foreign - as_ours.foreign > 128 * MIB


def test_the_dead_have_no_memory_and_no_tree() -> None:
    with helper("print('up', flush=True); input()") as pid:
        assert process_trees({"a": pid})["a"] == {pid}
        assert memory_of(pid)[0] > 0
    assert process_trees({"a": pid}) == {"a": frozenset()}
    assert memory_of(pid) == (0, 0)


def test_who_may_not_look_into_a_process_counts_all_its_resident_memory(
    monkeypatch: pytest.MonkeyPatch, own_pid: int
) -> None:
    def refused(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr("covend.host.oculus.open", refused, raising=False)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _self: SimpleNamespace(rss=5))
    assert memory_of(own_pid) == (5, 5)


class FakeNvml:
    """NVML with two cards, as the bindings show it."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.used = 6 * MIB
        self.compute = [SimpleNamespace(pid=7, usedGpuMemory=3 * MIB)]
        self.graphics = [
            SimpleNamespace(pid=7, usedGpuMemory=3 * MIB),
            SimpleNamespace(pid=8, usedGpuMemory=None),
        ]

    def nvmlInit(self) -> None:
        if not self.answers:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index >= 2:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if not uuid.startswith("GPU-"):
            raise self.NVMLError("Not Found")
        return int(uuid[-1])

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        if not self.answers:
            raise self.NVMLError("GPU is lost")
        return SimpleNamespace(total=10 * MIB, used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        return self.compute

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        return self.graphics

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        raise self.NVMLError("Not Supported")


def test_a_gpus_memory_is_split_into_ours_and_foreign() -> None:
    reader = NvidiaReader(Device(name="gpu0", kind="nvidia"), FakeNvml())
    reading = reader.read({"a": frozenset({7, 9})})
    assert reading.capacity == 10 * MIB
    assert reading.soulstones == {"a": 3 * MIB}
    assert reading.foreign == 3 * MIB
    assert reading.by_pid == {7: 3 * MIB, 8: 0}
    assert (reading.utilisation, reading.temperature, reading.power) == (50, 61, None)


def test_memory_the_driver_gives_back_late_counts_as_foreign() -> None:
    """W2: the process is gone from the list, its memory is not: nothing may start yet."""
    nvml = FakeNvml()
    nvml.compute, nvml.graphics = [], []
    reading = NvidiaReader(Device(name="gpu0", kind="nvidia"), nvml).read({"a": frozenset({7})})
    assert reading.foreign == 6 * MIB
    assert reading.free == 4 * MIB


def test_a_missing_driver_or_card_says_what_was_found() -> None:
    with pytest.raises(OculusError, match=r"NVML does not answer: Driver Not Loaded.*kind = .host"):
        NvidiaReader(Device(name="gpu0", kind="nvidia"), FakeNvml(answers=False))
    with pytest.raises(OculusError, match=r"no GPU with index 5.*found: 0: GPU-0, 1: GPU-1"):
        NvidiaReader(Device(name="gpu0", kind="nvidia", index=5), FakeNvml())
    with pytest.raises(OculusError, match="no GPU with uuid nope"):
        NvidiaReader(Device(name="gpu0", kind="nvidia", uuid="nope"), FakeNvml())


def test_a_card_that_is_lost_later_is_an_error_of_its_own() -> None:
    nvml = FakeNvml()
    reader = NvidiaReader(Device(name="gpu1", kind="nvidia", uuid="GPU-1"), nvml)
    nvml.answers = False
    with pytest.raises(OculusError, match="'gpu1' cannot be read: GPU is lost"):
        reader.read({})


def test_a_process_maps_memory_that_psutil_agrees_with(own_pid: int) -> None:
    with mmap.mmap(-1, 32 * MIB) as kept:
        kept[:] = b"x" * len(kept)
        full = psutil.Process(own_pid).memory_full_info()
        assert memory_of(own_pid)[0] == pytest.approx(full.pss, rel=0.1)
