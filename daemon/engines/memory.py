"""What fits on a device: admission, eviction, clean-up, and what to do when memory runs out.

`Memory` decides and never touches a GPU; `Device` does. So a test drives the very same decisions with a
simulated device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from daemon.errors import DeviceLost, OutOfMemory

log = logging.getLogger(__name__)

T = TypeVar("T")

RESERVE = 256 << 20
"""Bytes left alone on every device: the driver's and the desktop's."""


class Device(Protocol):
    """One device as `Memory` needs it."""

    name: str

    def free(self) -> int:
        """Bytes free now for this process, as measured. Raises `DeviceLost`."""

    def total(self) -> int:
        """Bytes the device has."""

    def clean(self) -> None:
        """Give back what no tensor uses: collect garbage, finish kernels, empty caches. Raises `DeviceLost`."""

    def ran_out(self, error: BaseException) -> bool:
        """Whether the error means that the memory did not suffice."""

    def died(self, error: BaseException) -> bool:
        """Whether the error means that nothing will work on this device again in this process."""


class Model(Protocol):
    """Something that takes memory on a device while it is loaded."""

    name: str

    @property
    def loaded(self) -> bool:
        """Whether it is on the device."""

    def wants(self) -> int:
        """Bytes to load it and to work with it, as far as is known."""

    def economise(self) -> bool:
        """Want less from the next load on, at the price of speed; False where that is not possible (any more)."""

    def load(self) -> None:
        """Bring it onto the device."""

    def unload(self) -> None:
        """Drop every reference to it."""


class Memory:
    """The models of one worker on its device, which is nobody else's business while the worker lives."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._models: list[Model] = []

    def run(self, model: Model, step: Callable[[], T], *, advice: str) -> T:
        """Run `step` with `model` loaded.

        Out of memory: everything else goes, the model is loaded afresh, and the step runs once more. Then it is
        an `OutOfMemory` that says what was wanted, what was free, and `advice`. Raises `DeviceLost` where the
        device will not work again in this process.
        """
        try:
            return self._attempt(model, step, advice)
        except Exception as error:
            self._refuse_dead(error)
            if not self.device.ran_out(error):
                raise
            log.warning("%s: out of memory with %s; once more after a clean-up", self.device.name, model.name)
        # Outside the except block: the traceback would keep the failed step's tensors alive.
        self.unload()
        try:
            return self._attempt(model, step, advice)
        except Exception as error:
            self._refuse_dead(error)
            if not self.device.ran_out(error):
                raise
            told = f"{error}".partition("\n")[0]
        self.unload()
        raise OutOfMemory(
            f"out of memory on {self.device.name}: {told}. {model.name} wants about {_gib(model.wants())}, "
            f"{_gib(self.device.free())} of {_gib(self.device.total())} are free. {advice}"
        )

    def unload(self) -> bool:
        """Give every model back; true when there was one."""
        loaded = [model for model in self._models if model.loaded]
        for model in loaded:
            model.unload()
        self._models.clear()
        if loaded:
            self.device.clean()
        return bool(loaded)

    def _attempt(self, model: Model, step: Callable[[], T], advice: str) -> T:
        self.device.clean()  # before each stage
        if not model.loaded:
            self._admit(model, advice)
            self._models.append(model)
            try:
                model.load()
            except BaseException:
                model.unload()
                self._models.remove(model)
                raise
        self._models.remove(model)
        self._models.append(model)  # used last, evicted last
        return step()

    def _admit(self, model: Model, advice: str) -> None:
        """Make room by what is measured; where there is none to make, the model has to do with less."""
        while not self._has_room(model.wants() + RESERVE):
            if not model.economise():
                raise OutOfMemory(
                    f"{model.name} wants about {_gib(model.wants() + RESERVE)} on {self.device.name}; "
                    f"{_gib(self.device.free())} of {_gib(self.device.total())} are free. {advice}"
                )
            log.info("%s: %s will use less memory and more time", self.device.name, model.name)

    def _has_room(self, wanted: int) -> bool:
        """Whether so many bytes are free, after the models that were used least recently went if need be."""
        while self.device.free() < wanted and (other := self._oldest()):
            log.info("%s: unloading %s to make room", self.device.name, other.name)
            other.unload()
            self._models.remove(other)
            self.device.clean()
        return self.device.free() >= wanted

    def _oldest(self) -> Model | None:
        return next((model for model in self._models if model.loaded), None)

    def _refuse_dead(self, error: Exception) -> None:
        if self.device.died(error):
            raise DeviceLost(f"{self.device.name} does not work any more in this process: {error}") from error


def _gib(count: Any) -> str:
    return f"{count / 2**30:.1f} GiB"
