"""What is left of each step when the device is done with it: run in the worker's finisher, on the CPU.

Imports no torch: the finisher must start fast and stay small.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from trimesh import Trimesh
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from daemon.engines.base import JSON, Progress
from daemon.engines.hunyuan.cleanup import tidy
from daemon.engines.hunyuan.fill import filled
from daemon.engines.hunyuan.maps import Maps
from daemon.engines.hunyuan.unwrap import unwrap


def finished_shape(
    points: NDArray[np.float32],
    faces: NDArray[np.int32],
    budget: int,
    textured: bool,
    used: Mapping[str, JSON],
    progress: Progress,
) -> Trimesh:
    """A decoded surface as a mesh of at most `budget` faces; with UV coordinates where it will be `textured`.

    `used` are the settings that are not those of the order.
    """

    def tidying(share: float, message: str) -> None:
        progress(share * (0.4 if textured else 1.0), message)

    mesh = tidy(points, faces, budget, tidying)
    mesh.metadata["decoded_faces"] = len(faces)
    if used:
        mesh.metadata["used"] = dict(used)
    if textured:
        progress(0.4, f"unwrapping {len(mesh.faces):,} faces")
        mesh = unwrap(mesh)
    progress(1.0, f"{len(mesh.faces):,} faces")
    return mesh


def unpainted(mesh: Trimesh, progress: Progress) -> Trimesh:
    """A model without a texture needs nothing more; its views and its file are made here too."""
    progress(1.0, "without a texture")
    return mesh


def finished_texture(mesh: Trimesh, maps: Maps, used: Mapping[str, JSON], progress: Progress) -> Trimesh:
    """The mesh with its PBR material: what no view saw is filled, the maps keep their size."""
    progress(0.0, "filling what no view saw")
    texture = filled(mesh, maps)
    progress(0.8, "making the material")
    # glTF packs roughness into green and metallic into blue.
    surface = np.zeros((*texture.shape[:2], 3), np.uint8)
    surface[..., 1], surface[..., 2] = texture[..., 4], texture[..., 3]
    material = PBRMaterial(
        name="hunyuan3d-paint",
        baseColorTexture=Image.fromarray(np.ascontiguousarray(texture[..., :3])),
        metallicRoughnessTexture=Image.fromarray(surface),
        metallicFactor=1.0,
        roughnessFactor=1.0,
    )
    painted = Trimesh(
        mesh.vertices,
        mesh.faces,
        visual=TextureVisuals(uv=mesh.visual.uv, material=material),
        metadata={**mesh.metadata, "used": {**mesh.metadata.get("used", {}), **used}},
        process=False,
        validate=False,
    )
    progress(1.0, "textured")
    return painted
