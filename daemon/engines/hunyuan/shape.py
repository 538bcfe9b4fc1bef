"""Geometry: the checkout's shape pipeline, loaded and checked, called with every step reported."""

from __future__ import annotations

import contextlib
import io
import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from daemon.engines.base import Progress
from daemon.engines.hunyuan import code
from daemon.engines.hunyuan.checkout import Checkout
from daemon.engines.hunyuan.device import TorchDevice
from daemon.engines.hunyuan.presets import Preset
from daemon.engines.hunyuan.weights import SHAPE, Weights
from daemon.errors import BadJob, EngineUnavailable
from spool import command

if TYPE_CHECKING:
    from PIL.Image import Image

DIFFUSION, DECODING = 0.6, 0.35
"""Shares of the model step, by what is reported of a large GPU (10.1 s of diffusion, 12.8 s of decoding)."""
WORKING = 5 << 29
"""Bytes beside the weights: upstream's README gives 10 GB in all, of which 7.5 GB are weights."""


def _pull() -> str:
    return f"Run {command.typed('models pull hunyuan')}."


class ShapeModel:
    """`hy3dshape`'s flow-matching pipeline with the weights on the device."""

    name = "the shape model"

    def __init__(self, checkout: Checkout, weights: Weights, device: TorchDevice, flashvdm: bool) -> None:
        self._checkout = checkout
        self._weights = weights
        self._device = device
        self._flashvdm = flashvdm
        self._pipeline: Any = None
        self.heard: Progress = unheard
        """Told how a load gets on."""

    @property
    def loaded(self) -> bool:
        return self._pipeline is not None

    def wants(self) -> int:
        on_device = self._weights.size(SHAPE) * (1 if self._device.is_cuda else 2)
        return on_device + min(WORKING, 4 * on_device)

    def economise(self) -> bool:
        return False  # upstream's offloading of this pipeline does not work

    def check(self) -> None:
        """Compare the checkpoint with the model it is for, reading no weights. Raises `EngineUnavailable`."""
        folder = require(self._weights, SHAPE)
        module = code.shape_modules(self._checkout)
        saved = _saved_shapes(folder / "model.fp16.ckpt")
        for part in ("model", "vae", "conditioner"):
            try:
                with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):  # upstream prints
                    made = module.pipelines.instantiate_from_config(_config(folder)[part])
            except (KeyError, TypeError, AttributeError, ImportError, AssertionError) as error:
                raise EngineUnavailable(
                    f"{folder / 'config.yaml'} does not fit the code at {self._checkout.root} "
                    f"({type(error).__name__}: {error}). {_pull()}"
                ) from error
            compare(f"{folder.name}/{part}", _shapes(made.state_dict()), saved.get(part, {}))

    def load(self) -> None:
        module = code.shape_modules(self._checkout)
        folder = require(self._weights, SHAPE)
        self._weights.read_ahead([SHAPE], self.heard)
        self._pipeline = module.Hunyuan3DDiTFlowMatchingPipeline.from_pretrained(
            str(folder.parent), device=str(self._device.torch), dtype=self._device.dtype, subfolder=SHAPE
        )
        if self._flashvdm:
            # "mc" is what the plain decoder uses too; the other extractor needs a CUDA package of its own.
            self._pipeline.enable_flashvdm(mc_algo="mc")

    def unload(self) -> None:
        self._pipeline = None

    def make(
        self, image: Image, seed: int, preset: Preset, progress: Progress
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Vertices (n, 3) and faces (m, 3) as decoded; y-up, the photo's side facing +z.

        `image` is RGBA. `progress` is called at each diffusion step and each decoded chunk. Raises `BadJob`
        where no surface comes out.
        """
        generator = torch.Generator(device=self._device.torch).manual_seed(seed)
        with self._decoding(preset, progress):
            meshes = self._pipeline(
                image=image,
                num_inference_steps=preset.steps,
                guidance_scale=preset.guidance,
                generator=generator,
                octree_resolution=preset.octree,
                num_chunks=preset.chunks,
                output_type="trimesh",
                enable_pbar=False,
                callback=_diffusion(preset, progress),
                callback_steps=1,
            )
        if meshes[0] is None or len(meshes[0].faces) == 0:
            raise BadJob(
                "no surface came out of this photo; try another seed, or a photo that shows it clearer"
            )
        progress(1.0, f"{len(meshes[0].faces):,} faces decoded")
        return np.asarray(meshes[0].vertices, np.float32), np.asarray(meshes[0].faces, np.int32)

    @contextmanager
    def _decoding(self, preset: Preset, progress: Progress) -> Iterator[None]:
        """Report each chunk that the volume decoder takes; it has no callback, but it calls a module."""
        chunks = math.ceil((preset.octree + 1) ** 3 / preset.chunks)
        done = 0

        def decoded(*_: Any) -> None:
            nonlocal done
            done += 1
            # FlashVDM decodes fewer chunks than the plain decoder; it ends early, never late.
            share = min(done / chunks, 1.0)
            progress(DIFFUSION + DECODING * share, f"decoding: chunk {done} of {chunks}")

        hook = self._pipeline.vae.geo_decoder.register_forward_hook(decoded)
        try:
            yield
        finally:
            hook.remove()


def unheard(share: float, message: str) -> None:
    """Progress that nobody waits for."""


def require(weights: Weights, part: str) -> Path:
    """The folder of a part of the weights. Raises `EngineUnavailable`."""
    folder = weights.folder(part)
    if folder is None:
        raise EngineUnavailable(
            f"The weights of Hunyuan3D-2.1 are not whole: {weights.missing(part)}. {_pull()}"
        )
    return folder


def compare(what: str, wanted: dict[str, tuple[int, ...]], saved: dict[str, tuple[int, ...]]) -> None:
    """Raises `EngineUnavailable` where a tensor is missing or has another shape.

    Upstream loads the VAE non-strictly: a missing weight would stay random, and say nothing.
    """
    missing = sorted(set(wanted) - set(saved))
    wrong = sorted(name for name in set(wanted) & set(saved) if wanted[name] != saved[name])
    if missing or wrong:
        first = (missing or wrong)[0]
        raise EngineUnavailable(
            f"The checkpoint does not fit {what}: {len(missing)} tensors are missing and {len(wrong)} have "
            f"another shape, such as {first}. {_pull()}"
        )


def _diffusion(preset: Preset, progress: Progress) -> Any:
    def stepped(step: int, timestep: Any, outputs: Any) -> None:
        progress(DIFFUSION * (step + 1) / preset.steps, f"shaping: step {step + 1} of {preset.steps}")

    return stepped


def _config(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return value


def _saved_shapes(path: Path) -> dict[str, dict[str, tuple[int, ...]]]:
    """Part to tensor to shape. The file is mapped, so nothing but its index is read."""
    try:
        saved = torch.load(path, map_location="meta", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise EngineUnavailable(
            f"{path} is damaged or was not downloaded whole ({error}). {_pull()}"
        ) from error
    return {part: _shapes(tensors) for part, tensors in saved.items()}


def _shapes(tensors: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
