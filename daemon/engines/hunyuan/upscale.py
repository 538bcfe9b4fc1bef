"""RealESRGAN on painted views, loaded by spandrel from the checkpoint that upstream names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from daemon.engines.hunyuan.device import TorchDevice

TILE, OVERLAP = 512, 16
"""Pixels: a whole view of 1024 would need as much memory as the diffusion."""


class Upscaler:
    """Four times the pixels; on the device only while it works where `offload` says so."""

    def __init__(self, path: Path, device: TorchDevice) -> None:
        from spandrel import ModelLoader

        self._device = device
        self._network: Any = ModelLoader().load_from_file(path).eval()
        self.scale = int(self._network.scale)
        half = device.is_cuda and self._network.supports_half
        self._dtype = torch.float16 if half else torch.float32
        self._network.model.to(self._dtype)

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self._network.model.to(device)

    def __call__(self, image: Image.Image) -> Image.Image:
        pixels = np.asarray(image.convert("RGB"), np.float32) / 255
        whole = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self._device.torch, self._dtype)
        high, wide = whole.shape[2:]
        out = torch.empty((3, high * self.scale, wide * self.scale), dtype=torch.uint8)
        for top in range(0, high, TILE):
            for left in range(0, wide, TILE):
                self._tile(whole, top, left, out)
        return Image.fromarray(out.permute(1, 2, 0).contiguous().numpy())

    def _tile(self, whole: Any, top: int, left: int, out: Any) -> None:
        high, wide = whole.shape[2:]
        bottom, right = min(top + TILE, high), min(left + TILE, wide)
        above, before = max(top - OVERLAP, 0), max(left - OVERLAP, 0)
        with torch.inference_mode():
            made = self._network.model(
                whole[:, :, above : min(bottom + OVERLAP, high), before : min(right + OVERLAP, wide)]
            )
        y, x, scale = (top - above) * self.scale, (left - before) * self.scale, self.scale
        inner = made[0, :, y : y + (bottom - top) * scale, x : x + (right - left) * scale]
        out[:, top * scale : bottom * scale, left * scale : right * scale] = (
            (inner.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        )
