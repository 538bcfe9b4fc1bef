"""The engine: cut-out (by its remover), shape and PBR texture by Hunyuan3D-2.1, each with every step reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from trimesh import Trimesh

from daemon.engines.base import JSON, MODEL_SHARE, Cutout, Order, Progress, Unfinished
from daemon.engines.hunyuan import code
from daemon.engines.hunyuan.checkout import Checkout
from daemon.engines.hunyuan.device import TorchDevice
from daemon.engines.hunyuan.finish import finished_shape, finished_texture, unpainted
from daemon.engines.hunyuan.maps import Maps
from daemon.engines.hunyuan.paint import PaintModel
from daemon.engines.hunyuan.presets import Limits, Preset, as_json, lower, preset
from daemon.engines.hunyuan.shape import ShapeModel
from daemon.engines.hunyuan.unwrap import unwrap
from daemon.engines.hunyuan.weights import Weights
from daemon.engines.memory import Memory
from daemon.errors import OutOfMemory

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

T = TypeVar("T")

LIBRARIES = ("torch", "transformers", "diffusers", "numpy", "scikit-image", "trimesh", "xatlas", "pillow")
ADVICE = "Use a lower quality, lower PROTOSCALE_HUNYUAN_LIMITS, or give the stages devices of their own."


class Remover(Protocol):
    """What cuts the object out of the photo."""

    def check(self) -> None: ...

    def versions(self) -> dict[str, str]: ...

    def cutout(self, photo: Image, remove_bg: bool, progress: Progress) -> Cutout: ...

    def unload(self) -> bool: ...


class HunyuanEngine:
    """One worker's models on its one device. `stages` are what the worker does: no other model is ever loaded."""

    name = "hunyuan"

    def __init__(
        self,
        remover: Remover,
        checkout: Checkout,
        weights: Weights,
        device: TorchDevice,
        *,
        stages: tuple[str, ...],
        limits: Limits = (),
        texture: bool = True,
        flashvdm: bool = False,
        offload: bool | None = None,
    ) -> None:
        self._remover = remover
        self._checkout = checkout
        self._device = device
        self._stages = stages
        self._limits = limits
        self._texture = texture
        self._flashvdm = flashvdm
        self._versions: dict[str, str] = {}
        self.memory = Memory(device)
        self._shape = ShapeModel(checkout, weights, device, flashvdm)
        self._paint = PaintModel(checkout, weights, device, offload)

    def check(self) -> None:
        self._checkout.require(texture=self._texture)
        code.check_versions()
        if "cutout" in self._stages:
            self._remover.check()
        if "geometry" in self._stages:
            self._shape.check()
        if "texture" in self._stages and self._texture:
            self._paint.check()

    def preset(self, order: Order) -> Preset:
        """The settings of an order, within the operator's limits."""
        return preset(order.quality, self._limits, texture=self._texture)

    def settings(self, order: Order) -> dict[str, JSON]:
        return {
            **as_json(self.preset(order)),
            "seed": order.seed,
            "seed_used": True,
            "dtype": str(self._device.dtype).removeprefix("torch."),
            "decoder": "flashvdm" if self._flashvdm else "plain",
        }

    def versions(self) -> dict[str, str]:
        # Looking into every package's metadata takes longer than all else that a worker does around a step.
        if not self._versions:
            self._versions = {**self._remover.versions(), **_libraries()}
        return dict(self._versions)

    def cutout(self, photo: Image, remove_bg: bool, progress: Progress) -> Cutout:
        return self._remover.cutout(photo, remove_bg, progress)

    def geometry(self, cutout: Image, order: Order, progress: Progress) -> Unfinished:
        def shaped(settings: Preset) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
            if not self._shape.loaded:
                progress(0.0, "loading the shape model")
            return self.memory.run(
                self._shape,
                lambda: self._shape.make(cutout, order.seed, settings, _share(progress)),
                advice=ADVICE,
            )

        self._shape.heard = progress
        (points, faces), settings = self._fitting("geometry", order, shaped)
        lowered = self._lowered(order, settings)
        parts = (points, faces, settings.faces, settings.paint is not None, lowered)
        return Unfinished(finished_shape, parts, _notes("shape", lowered))

    def texture(self, mesh: Trimesh, cutout: Image, order: Order, progress: Progress) -> Unfinished:
        """Painted where the preset is; `draft` and `balanced` keep their clay."""
        if self.preset(order).paint is None:
            return Unfinished(unpainted, (mesh,))
        if getattr(mesh.visual, "uv", None) is None:  # its shape was made without a texture in mind
            progress(0.0, "unwrapping")
            mesh = unwrap(mesh)

        def painted(settings: Preset) -> tuple[Maps, int]:
            paint = settings.paint
            assert paint
            self._paint.paint = paint
            if not self._paint.loaded:
                progress(0.0, "loading the texture model")
            return self.memory.run(
                self._paint,
                lambda: self._paint.make(mesh, cutout, order.seed, paint, _share(progress)),
                advice=ADVICE,
            )

        self._paint.heard = progress
        (maps, views), settings = self._fitting("texture", order, painted)
        paint = settings.paint
        assert paint
        used: dict[str, JSON] = {
            "views": views,
            "resolution": paint.resolution,
            "steps": paint.steps,
            "seed": order.seed,
            "upscaler": self._paint.upscaler,
            "offload": self._paint.offload,
            "texture_size": paint.texture,
        }
        lowered = self._lowered(order, settings)
        return Unfinished(finished_texture, (mesh, maps, used), _notes("texture", lowered))

    def _fitting(self, stage: str, order: Order, make: Callable[[Preset], T]) -> tuple[T, Preset]:
        """What is made with the settings of the order, or with the first lower ones that fit where it allows that."""
        settings = self.preset(order)
        while True:
            try:
                return make(settings), settings
            except OutOfMemory as error:
                lowered = lower(settings, stage) if order.allow_lower else None
                if lowered is None:
                    raise
                log.warning("%s; once more with lower settings, as the job allows", error)
            settings = lowered

    def _lowered(self, order: Order, settings: Preset) -> dict[str, JSON]:
        """The settings that are not those of the order."""
        asked = as_json(self.preset(order))
        return {name: value for name, value in as_json(settings).items() if value != asked[name]}

    def unload(self) -> bool:
        # Both, always: `or` would leave the second loaded.
        removed = self._remover.unload()
        return self.memory.unload() or removed


def _libraries() -> dict[str, str]:
    found = {"hunyuan3d": "2.1"}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _notes(what: str, lowered: Mapping[str, JSON]) -> tuple[str, ...]:
    told = ", ".join(f"{name} {value}" for name, value in lowered.items())
    return (
        (f"too little memory for the quality's settings: the {what} was made with {told}",) if lowered else ()
    )


def _share(progress: Progress) -> Progress:
    """The model's part of a stage; `stages.finish` reports the rest."""
    return partial(_scaled, progress)


def _scaled(progress: Progress, share: float, message: str) -> None:
    progress(MODEL_SHARE * share, message)
