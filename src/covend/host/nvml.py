"""Reads a GPU through NVML, the management library that comes with NVIDIA's driver."""

from __future__ import annotations

import importlib
from typing import Any

from covend.config import Device
from covend.host.oculus import OculusError, Reading, Trees


class NvidiaReader:
    """One GPU. NVML is opened with the first reader and stays open, as its makers advise."""

    def __init__(self, device: Device, nvml: Any = None) -> None:
        self._device = device
        # The bindings carry no types; the names used here are NVML's own.
        self._nvml: Any = nvml or importlib.import_module("pynvml")
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise OculusError(
                f"device {device.name!r} is of kind nvidia, but NVML does not answer: {error}. "
                'Install the NVIDIA driver, or declare the device with kind = "host"'
            ) from None
        self._handle = self._open()

    def read(self, trees: Trees) -> Reading:
        """Measure now. Raises ``OculusError`` when the GPU fell off the bus or the driver went."""
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(self._handle)
            by_pid = self._by_pid()
        except nvml.NVMLError as error:
            raise OculusError(f"device {self._device.name!r} cannot be read: {error}") from None
        total, used = int(memory.total), int(memory.used)
        soulstones = {name: sum(by_pid.get(pid, 0) for pid in pids) for name, pids in trees.items()}
        # Whatever is used and is not a living soulstone's is foreign: also memory that the driver
        # has not given back yet, which is what keeps the next one from starting too soon (W2).
        foreign = max(0, used - sum(soulstones.values()))
        capacity = self._device.capacity
        return Reading(
            device=self._device.name,
            capacity=total if capacity is None else min(capacity, total),
            soulstones=soulstones,
            foreign=foreign,
            by_pid=by_pid,
            utilisation=self._optional(
                lambda: nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
            ),
            temperature=self._optional(
                lambda: nvml.nvmlDeviceGetTemperature(self._handle, nvml.NVML_TEMPERATURE_GPU)
            ),
            power=self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(self._handle) / 1000),
        )

    def _open(self) -> Any:
        nvml, device = self._nvml, self._device
        try:
            if device.uuid is not None:
                return nvml.nvmlDeviceGetHandleByUUID(device.uuid)
            return nvml.nvmlDeviceGetHandleByIndex(device.index)
        except nvml.NVMLError as error:
            wanted = f"uuid {device.uuid}" if device.uuid is not None else f"index {device.index}"
            raise OculusError(
                f"device {device.name!r}: no GPU with {wanted} ({error}); found: "
                f"{', '.join(self._found()) or 'none'}"
            ) from None

    def _found(self) -> list[str]:
        nvml = self._nvml
        found: list[str] = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            found.append(f"{index}: {_text(nvml.nvmlDeviceGetUUID(handle))}")
        return found

    def _by_pid(self) -> dict[int, int]:
        nvml = self._nvml
        by_pid: dict[int, int] = {}
        for listed in (
            nvml.nvmlDeviceGetComputeRunningProcesses(self._handle),
            nvml.nvmlDeviceGetGraphicsRunningProcesses(self._handle),
        ):
            for process in listed:
                # A process may stand in both lists with the same figure; None means "not known".
                used = int(process.usedGpuMemory or 0)
                by_pid[process.pid] = max(used, by_pid.get(process.pid, 0))
        return by_pid

    def _optional(self, read: Any) -> float | None:
        try:
            return float(read())
        except self._nvml.NVMLError:
            return None  # many cards lack a sensor; memory is what must be known


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
