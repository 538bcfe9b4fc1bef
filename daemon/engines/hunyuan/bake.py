"""Painted views onto the maps of a mesh, by the checkout's renderer."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from trimesh import Trimesh

from daemon.engines.hunyuan.maps import Maps
from daemon.engines.hunyuan.presets import Paint

ALWAYS = 6
"""Views that upstream always paints: front, right, back, left, top, bottom. Where fewer are wanted, the first."""


@dataclass(frozen=True)
class Camera:
    """Degrees, and how much a view counts where several see the same spot."""

    elevation: float
    azimuth: float
    weight: float


class Baker:
    """One mesh with UV coordinates in the renderer."""

    def __init__(self, parts: types.SimpleNamespace, mesh: Trimesh, paint: Paint, device: str) -> None:
        self._parts = parts
        self._paint = paint
        self._config = parts.config(paint.views, paint.resolution)
        self._render = parts.MeshRender(
            default_resolution=paint.render,
            texture_size=paint.texture,
            bake_mode="back_sample",
            raster_mode="cr",
            device=device,
        )
        # Copies: the renderer turns the arrays it is given around in place.
        uv = types.SimpleNamespace(uv=np.array(mesh.visual.uv, np.float32))
        self._render.load_mesh(
            types.SimpleNamespace(
                vertices=np.array(mesh.vertices, np.float32), faces=np.array(mesh.faces, np.int32), visual=uv
            )
        )

    def cameras(self) -> list[Camera]:
        """As many views as wanted; past the first six, those that show most of what none has seen, if any do."""
        config = self._config
        candidates = (
            config.candidate_camera_elevs,
            config.candidate_camera_azims,
            config.candidate_view_weights,
        )
        if self._paint.views > ALWAYS:
            processor = self._parts.ViewProcessor(config, self._render)
            candidates = processor.bake_view_selection(*candidates, self._paint.views)
        return [Camera(*one) for one in list(zip(*candidates, strict=True))[: self._paint.views]]

    def conditions(self, camera: Camera) -> tuple[Image.Image, Image.Image]:
        """Normals and positions as the view shows them, RGB."""
        where = (camera.elevation, camera.azimuth)
        normal = self._render.render_normal(*where, use_abs_coor=True, return_type="pl")
        return normal, self._render.render_position(*where, return_type="pl")

    def maps(
        self,
        albedo: Sequence[Image.Image],
        surface: Sequence[Image.Image],
        cameras: Sequence[Camera],
        projected: Callable[[int], None],
    ) -> Maps:
        """Project the views, weighted by how straight they look at the surface. `projected` hears of each."""
        told = 0
        merged = []
        for views in (albedo, surface):
            textures, trust = [], []
            for view, camera in zip(views, cameras, strict=True):
                sized = view.resize((self._paint.render,) * 2, Image.Resampling.LANCZOS)
                texture, cosine, _ = self._render.back_project(sized, camera.elevation, camera.azimuth)
                textures.append(texture)
                trust.append(camera.weight * cosine**self._config.bake_exp)
                told += 1
                projected(told)
            merged.append(self._render.fast_bake_texture(textures, trust))
        (colours, painted), (material, _) = merged
        seen = painted[..., 0].cpu().numpy().astype(bool)
        return Maps(_bytes(colours), _bytes(material[..., :2]), seen, self._holes(seen))

    def _holes(self, seen: NDArray[np.bool_]) -> tuple[Any, Any, Any]:
        render = self._render
        flat = torch.cat(
            (render.vtx_uv, torch.zeros_like(render.vtx_uv[:, :1]), torch.ones_like(render.vtx_uv[:, :1])),
            dim=1,
        )
        raster, _ = render.raster_rasterize(
            (flat * 2 - 1)[None], render.uv_idx, resolution=render.texture_size
        )
        face = raster[0, ..., 3].cpu().numpy().astype(np.int32).ravel()
        texels = np.flatnonzero((face > 0) & ~seen.ravel()).astype(np.int32)
        weights = raster[0, ..., :3].cpu().numpy().reshape(-1, 3)[texels]
        return texels, face[texels] - 1, weights.astype(np.float32)


def _bytes(texture: Any) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = (texture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return array
