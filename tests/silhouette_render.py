"""A reference renderer for the tests: what an orthographic camera at +z sees of a textured mesh, unlit."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from trimesh import Trimesh

DISTANCE = 64.0  # half pictures from the camera to the origin


def front(mesh: Trimesh, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The colours (H, W, 3, 0 to 255) and the coverage of `mesh` over the photo of `shape` it was made from.

    One sample is taken at every pixel's centre; the mesh's own record says where it lies over the photo.
    """
    record = mesh.metadata["silhouette"]
    height, width = shape
    size = max(shape)
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    scale = record["pixels_per_metre"]
    across = vertices[:, 0] * scale + record["centre_x"]
    down = record["centre_y"] - vertices[:, 1] * scale
    view = np.column_stack([across * 2 / size - 1, 1 - down * 2 / size, vertices[:, 2] * scale * 2 / size])
    # Moved out by what the perspective camera will shrink them, the points are seen along parallel rays.
    view[:, :2] *= 1 - view[:, 2:] / DISTANCE
    carried = np.ones((len(vertices), 3), np.float32)
    if getattr(mesh.visual, "uv", None) is not None:
        carried[:, :2] = mesh.visual.uv
    drawn = _rasterize(view.astype(np.float32), np.asarray(mesh.faces, np.int32), carried, size)[
        :height, :width
    ]
    covered = drawn[..., 2] > 0.5
    material = getattr(mesh.visual, "material", None)
    if material is None or getattr(material, "baseColorTexture", None) is None:
        return np.zeros((height, width, 3), np.float32), covered
    texture = np.asarray(material.baseColorTexture.convert("RGB"), dtype=np.float32)
    tall, wide = texture.shape[:2]
    colours = cv2.remap(
        texture,
        drawn[..., 0] * wide - np.float32(0.5),
        (1 - drawn[..., 1]) * tall - np.float32(0.5),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(colours, dtype=np.float32), covered


def _rasterize(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], carried: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    camera = np.eye(4, dtype=np.float32)
    camera[2, 3] = -DISTANCE
    far = DISTANCE + 3
    drawn, _ = cv2.triangleRasterize(
        vertices,
        faces,
        carried,
        np.zeros((size, size, 3), np.float32),
        np.full((size, size), far, np.float32),
        camera,
        2 * np.arctan(1 / DISTANCE),
        DISTANCE - 3,
        far,
        settings,
    )
    return cast("NDArray[np.float32]", drawn)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float(int(np.count_nonzero(one & other)) / max(1, int(np.count_nonzero(one | other))))


def psnr(seen: NDArray[Any], photo: NDArray[Any], where: NDArray[np.bool_]) -> float:
    """Peak signal-to-noise ratio in decibels over the pixels `where`."""
    error = float(np.mean((seen[where].astype(np.float64) - photo[where].astype(np.float64)) ** 2))
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))
