"""What the driver says of the GPUs, by NVML: nothing where there is no driver or no `nvidia-ml-py`, never a guess."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from spool.board import Gpu

log = logging.getLogger(__name__)

T = TypeVar("T")


class Gpus:
    """The cards of this machine in the order of their PCI slots, as workers count them; opened at the first look."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._tried = False

    def look(self, device: str, pid: int | None) -> Gpu | None:
        """What is known of `cuda:N` now, and how much of its memory the process `pid` holds."""
        kind, _, index = device.partition(":")
        if kind != "cuda" or not self._opened():
            return None
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(int(index))
        except nvml.NVMLError:
            return None
        memory = self._asked(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        rates = self._asked(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        power = self._asked(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        name = self._asked(lambda: nvml.nvmlDeviceGetName(handle))
        return Gpu(
            name=name.decode() if isinstance(name, bytes) else name,
            # Coarse on purpose: the board is rewritten when it changes.
            used_bytes=_coarse(memory.used) if memory else None,
            total_bytes=int(memory.total) if memory else None,
            process_bytes=self._of_process(handle, pid),
            utilisation=int(rates.gpu) if rates else None,
            temperature=self._asked(
                lambda: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
            ),
            power_watts=round(power / 1000) if power is not None else None,
        )

    def _of_process(self, handle: Any, pid: int | None) -> int | None:
        running = self._asked(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        held = next((process.usedGpuMemory for process in running or () if process.pid == pid), None)
        return _coarse(held) if held else None

    def _asked(self, question: Callable[[], T]) -> T | None:
        """One answer; cards differ in what they answer."""
        try:
            return question()
        except self._nvml.NVMLError:
            return None

    def _opened(self) -> bool:
        if not self._tried:
            self._tried = True
            try:
                import pynvml

                pynvml.nvmlInit()
                self._nvml = pynvml
            except ImportError:
                log.debug("nvidia-ml-py is not installed: no GPU metrics")
            except pynvml.NVMLError as error:
                log.debug("no GPU metrics: %s", error)
        return self._nvml is not None


def _coarse(count: int) -> int:
    """Whole 16 MiB, as bytes."""
    return round(count / 2**24) * 2**24
