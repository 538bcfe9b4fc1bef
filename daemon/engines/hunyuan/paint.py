"""Texture: the parts of the checkout's paint pipeline, put together so that every setting is really applied.

Upstream's own `Hunyuan3DPaintPipeline` paints six views at least, fixes the steps, the guidance and the seed, halves
the maps and needs Blender for a GLB. Its parts do not.
"""

from __future__ import annotations

import random
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from trimesh import Trimesh

from daemon.engines.base import Progress
from daemon.engines.hunyuan import code
from daemon.engines.hunyuan.bake import Baker
from daemon.engines.hunyuan.checkout import Checkout
from daemon.engines.hunyuan.device import TorchDevice
from daemon.engines.hunyuan.maps import Maps
from daemon.engines.hunyuan.presets import Paint
from daemon.engines.hunyuan.shape import require, unheard
from daemon.engines.hunyuan.weights import DINO, PAINT, Weights

WORKING = 8 << 30
WORKING_PER_PIXEL = 4400
"""Bytes beside the weights, and for each pixel of all views together: a line through what is reported (21 GB in all
for six views of 512 pixels by upstream's README, 28 GB for the same and 41 GB for eight of 768 by others)."""
MARGIN = 0.1
"""Share of the reference image left free around the object."""


class PaintModel:
    """`hy3dpaint`'s multiview diffusion, DINOv2 and RealESRGAN."""

    name = "the texture model"

    def __init__(
        self, checkout: Checkout, weights: Weights, device: TorchDevice, offload: bool | None
    ) -> None:
        self._checkout = checkout
        self._weights = weights
        self._device = device
        self._may_economise = offload is None and device.is_cuda
        self.offload = bool(offload)
        self.paint: Paint | None = None
        """What the next step will ask for: it decides how much memory that wants."""
        self._parts: types.SimpleNamespace | None = None
        self._pipeline: Any = None
        self._dino: Any = None
        self._upscaler: Any = None
        self.heard: Progress = unheard
        """Told how a load gets on."""

    @property
    def loaded(self) -> bool:
        return self._pipeline is not None

    @property
    def upscaler(self) -> str | None:
        """The name of the checkpoint that makes the views larger, or None."""
        path = self._weights.upscaler
        return path.name if path else None

    def wants(self) -> int:
        # DINO's checkpoint is float32 on the hub and half of that on a GPU.
        paint, dino = self._weights.size(PAINT), self._weights.size(DINO) // 2
        on_device = (max(paint, dino) if self.offload else paint + dino) * (1 if self._device.is_cuda else 2)
        views, side = (self.paint.views, self.paint.resolution) if self.paint else (6, 512)
        return on_device + min(WORKING + WORKING_PER_PIXEL * views * side**2, 4 * on_device)

    def economise(self) -> bool:
        able, self._may_economise = self._may_economise, False
        self.offload = self.offload or able
        return able

    def check(self) -> None:
        """Raises `EngineUnavailable` where code or weights are missing."""
        for part in (PAINT, DINO):
            require(self._weights, part)
        code.paint_modules(self._checkout)

    def load(self) -> None:
        parts = code.paint_modules(self._checkout)
        self._weights.read_ahead([PAINT, DINO], self.heard)
        from diffusers import AutoencoderKL, UniPCMultistepScheduler

        folder, dtype = require(self._weights, PAINT), self._device.dtype
        scheduler = UniPCMultistepScheduler.from_pretrained(folder / "scheduler")
        pipeline = parts.pipeline(
            vae=AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype),
            unet=parts.unet.from_pretrained(str(folder / "unet"), torch_dtype=dtype),
            scheduler=UniPCMultistepScheduler.from_config(scheduler.config, timestep_spacing="trailing"),
            text_encoder=None,
            tokenizer=None,
            feature_extractor=None,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.eval()
        pipeline.vae.to(self._device.torch)
        dino = parts.dino(str(require(self._weights, DINO))).to(dtype)
        if path := self._weights.upscaler:
            from daemon.engines.hunyuan.upscale import Upscaler

            self._upscaler = Upscaler(path, self._device)
        if not self._device.is_cuda:
            _stay_where_the_model_is(parts.attention)
        self._parts, self._dino, self._pipeline = parts, dino, pipeline
        if not self.offload:
            for part in (pipeline.unet, dino, self._upscaler):
                if part is not None:
                    part.to(self._device.torch)

    def unload(self) -> None:
        self._pipeline = self._dino = self._upscaler = None

    def make(
        self, mesh: Trimesh, cutout: Image.Image, seed: int, paint: Paint, progress: Progress
    ) -> tuple[Maps, int]:
        """The maps of `mesh` (which has UV coordinates) and how many views they were painted from.

        `cutout` is RGBA. `progress` is called at each view, each diffusion step and each projection.
        """
        assert self._parts is not None
        progress(0.0, "placing the cameras")
        baker = Baker(self._parts, mesh, paint, str(self._device.torch))
        cameras = baker.cameras()
        conditions = []
        for number, camera in enumerate(cameras, start=1):
            conditions.append(baker.conditions(camera))
            progress(0.1 * number / len(cameras), f"measuring view {number} of {len(cameras)}")
        painted = self._diffuse(reference(cutout, paint.resolution), conditions, seed, paint, progress)
        larger = self._upscale(painted, progress)

        def projected(number: int) -> None:
            progress(0.8 + 0.2 * number / len(painted), f"projecting view {number} of {len(painted)}")

        with torch.no_grad():
            maps = baker.maps(larger[: len(cameras)], larger[len(cameras) :], cameras, projected)
        return maps, len(cameras)

    def _diffuse(
        self,
        image: Image.Image,
        conditions: list[tuple[Image.Image, Image.Image]],
        seed: int,
        paint: Paint,
        progress: Progress,
    ) -> list[Image.Image]:
        """First the colours of every view, then metallic and roughness of every view."""

        def stepped(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            progress(0.15 + 0.5 * (step + 1) / paint.steps, f"painting: step {step + 1} of {paint.steps}")
            return {}

        # Upstream seeds everything with 0; the VAE's encoder draws from the global generators.
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        with torch.no_grad(), self._on_device(self._dino):
            features = self._dino(image)
        normals, positions = (self._stacked(images, paint) for images in zip(*conditions, strict=True))
        with self._on_device(self._pipeline.unet):
            images: list[Image.Image] = self._pipeline(
                [image],
                prompt="high quality",
                num_inference_steps=paint.steps,
                guidance_scale=paint.guidance,
                generator=torch.Generator(device=self._device.torch).manual_seed(seed),
                width=paint.resolution,
                height=paint.resolution,
                num_in_batch=len(conditions),
                images_normal=normals,
                images_position=positions,
                dino_hidden_states=features,
                callback_on_step_end=stepped,
            ).images
        return images

    def _stacked(self, images: tuple[Image.Image, ...], paint: Paint) -> Any:
        """(1, n, 3, side, side) in 0 to 1, on the device. Given a list, upstream would send it to "cuda" itself."""
        side = (paint.resolution, paint.resolution)
        arrays = [np.asarray(image.convert("RGB").resize(side), np.float32) / 255 for image in images]
        stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)[None]
        return stacked.contiguous().to(self._device.torch, self._device.dtype)

    def _upscale(self, images: list[Image.Image], progress: Progress) -> list[Image.Image]:
        if self._upscaler is None:
            return images
        made = []
        with self._on_device(self._upscaler):
            for number, image in enumerate(images, start=1):
                made.append(self._upscaler(image))
                progress(0.65 + 0.15 * number / len(images), f"sharpening view {number} of {len(images)}")
        return made

    @contextmanager
    def _on_device(self, part: Any) -> Iterator[None]:
        """With `offload`, a part is on the device only while it works."""
        if not self.offload:
            yield
            return
        part.to(self._device.torch)
        try:
            yield
        finally:
            part.to(torch.device("cpu"))
            self._device.clean()


def reference(cutout: Image.Image, side: int) -> Image.Image:
    """The object on white, in the middle of a square, RGB. Upstream would squash a photo that is not square."""
    box = cutout.getchannel("A").getbbox() or (0, 0, *cutout.size)
    object_ = cutout.crop(box)
    whole = max(1, round(max(object_.size) / (1 - 2 * MARGIN)))
    square = Image.new("RGB", (whole, whole), "white")
    at = ((whole - object_.width) // 2, (whole - object_.height) // 2)
    square.paste(object_.convert("RGB"), at, object_.getchannel("A"))
    return square.resize((side, side), Image.Resampling.LANCZOS)


def _stay_where_the_model_is(attention: Any) -> None:
    """Upstream's self-attention sends its input to cuda:0; without a GPU it has to stay where it is."""

    def attend(
        self: Any,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        temb: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        made = []
        for token, states in zip(self.pbr_setting, torch.split(hidden_states, 1, dim=1), strict=False):
            batch, _, views = states.shape[:3]
            result = self.process_single(attn, states.flatten(0, 2), None, attention_mask, temb, token, False)
            made.append(result.unflatten(0, (batch, 1, views)))
        return torch.cat(made, dim=1)

    attention.SelfAttnProcessor2_0.__call__ = attend
