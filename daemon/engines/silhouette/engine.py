"""The engine: photo to cut-out (by its remover), to closed mesh, to textured model."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

import numpy as np
from trimesh import Trimesh
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from daemon.engines.base import JSON, Cutout, Order, Progress
from daemon.engines.silhouette import texture as atlases
from daemon.engines.silhouette.body import body
from daemon.engines.silhouette.grid import outline
from daemon.engines.silhouette.placement import Placement
from daemon.engines.silhouette.presets import METALLIC, PRESETS, ROUGHNESS
from daemon.engines.silhouette.subject import subject

if TYPE_CHECKING:
    from PIL.Image import Image

LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "pyamg", "pillow", "trimesh")


class Remover(Protocol):
    """What cuts the object out of the photo."""

    def check(self) -> None: ...

    def versions(self) -> dict[str, str]: ...

    def cutout(self, photo: Image, remove_bg: bool, progress: Progress) -> Cutout: ...

    def unload(self) -> bool: ...


class SilhouetteEngine:
    """Inflates the outline into a closed, textured mesh in about a second, on the CPU.

    The depth is a guess from the outline and the brightness edges, and the back is not seen at all.
    """

    name = "silhouette"

    def __init__(self, remover: Remover) -> None:
        self._remover = remover

    def check(self) -> None:
        self._remover.check()

    def settings(self, order: Order) -> dict[str, JSON]:
        preset = PRESETS[order.quality]
        return {
            "cells": preset.cells,
            "texture_size": preset.texture,
            "seed": order.seed,
            "seed_used": False,
        }

    def versions(self) -> dict[str, str]:
        return {**self._remover.versions(), **{name: version(name) for name in LIBRARIES}}

    def cutout(self, photo: Image, remove_bg: bool, progress: Progress) -> Cutout:
        return self._remover.cutout(photo, remove_bg, progress)

    def geometry(self, cutout: Image, order: Order, progress: Progress) -> Trimesh:
        progress(0.0, "tracing the outline")
        seen = subject(cutout)
        grid = outline(seen.alpha, PRESETS[order.quality].cells)
        mirrored = atlases.is_profile(seen)
        shape = body(grid, seen.pixels, mirrored, progress)
        progress(0.95, "scaling")
        placement, points = Placement.of(shape, seen, mirrored)
        mesh = Trimesh(points, shape.faces, process=False, validate=False)
        mesh.metadata["silhouette"] = placement.to_json()
        progress(1.0, "mesh ready")
        return mesh

    def texture(self, mesh: Trimesh, cutout: Image, order: Order, progress: Progress) -> Trimesh:
        progress(0.0, "painting the atlas")
        seen = subject(cutout)
        placement = Placement.read(mesh, seen)
        picture, scale = atlases.atlas(seen, PRESETS[order.quality].texture, placement.mirrored)
        progress(0.6, "laying the texture on")
        front, back = placement.sides(mesh)
        wide, high = picture.width / 2, picture.height
        gutter = round(atlases.GUTTER / scale) * scale
        spots = seen.from_photo(placement.to_photo(mesh.vertices)) * scale + gutter
        parts, faces, start = [], [], 0
        for offset, side in ((0.0, front), (wide, back)):
            used, local = np.unique(side, return_inverse=True)
            u = (np.clip(spots[used, 0], 0.5, wide - 0.5) + offset) / picture.width
            v = 1 - np.clip(spots[used, 1], 0.5, high - 0.5) / high
            parts.append((used, np.column_stack([u, v])))
            faces.append(local.reshape(-1, 3) + start)
            start += len(used)
        used = np.concatenate([part[0] for part in parts])
        material = PBRMaterial(
            name="silhouette", baseColorTexture=picture, metallicFactor=METALLIC, roughnessFactor=ROUGHNESS
        )
        textured = Trimesh(
            mesh.vertices[used],
            np.concatenate(faces),
            visual=TextureVisuals(uv=np.concatenate([part[1] for part in parts]), material=material),
            metadata=json.loads(json.dumps(dict(mesh.metadata))),
            process=False,
            validate=False,
        )
        progress(1.0, "texture ready")
        return textured

    def unload(self) -> bool:
        return self._remover.unload()
