"""Pictures of a mesh from four sides, without a GPU or a display.

OpenCV's `triangleRasterize` (5.0 or newer) fills the pixels: one pass a view, which carries texture
coordinates and light together as the three "colours" it interpolates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from trimesh import Trimesh

from daemon.engines.weld import smooth_normals
from daemon.errors import EngineError

AZIMUTHS = (0.0, 90.0, 180.0, 270.0)
"""Front, right, back, left: where the camera stands, in degrees around +y from +z towards +x."""
MARGIN = 0.06
"""Share of the half frame left free around the object."""
SUPERSAMPLING = 2
DISTANCE = 64.0
"""How far the camera stands away, in half frames: near enough for float32 depth, far enough for flat rays."""
CLAY = (196.0, 194.0, 190.0)

_KEY_LIGHT = (-0.42, 0.62, 0.66)
_AMBIENT, _KEY = 0.4, 0.6


@dataclass(frozen=True)
class Frame:
    """What the pictures show: a square of `2 * half` metres around `centre` (metres), the same for all views.

    A point at `right` metres to the camera's right of the centre and `up` metres above it lies at pixel
    `((1 + right / half) * size / 2, (1 - up / half) * size / 2)`, counted from the upper left corner.
    """

    centre: NDArray[np.float64]
    half: float


def frame(mesh: Trimesh) -> Frame:
    """The frame of all four views: the middle of the mesh's box, and its longest half side plus a margin."""
    low, high = np.zeros((2, 3)) if mesh.bounds is None else np.asarray(mesh.bounds, dtype=np.float64)
    half = float((high - low).max()) / 2
    if not np.isfinite(half) or half <= 0:
        raise EngineError("the mesh has no extent, so there is nothing to show")
    return Frame((low + high) / 2, half / (1 - MARGIN))


def render_views(mesh: Trimesh, size: int = 512) -> list[NDArray[np.uint8]]:
    """Four lit pictures, RGBA uint8 of shape (size, size, 4): front, right, back, left.

    The mesh is y-up; the camera stands at +z, +x, -z and -x of the middle of its box and looks there, with
    parallel rays, so "right" shows the object's own +x side. All four share one scale. The background is
    transparent, edges are smoothed by 2 x 2 supersampling, the light stands above the camera's left shoulder.
    Textured where the mesh has a base colour texture, clay grey where it has none.

    Raises `EngineError` for a mesh without extent.
    """
    scene = _Scene(mesh, size)
    # The rasterizer lets go of the interpreter lock, so two views at a time use two cores.
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda azimuth: scene.picture(azimuth, lit=True), AZIMUTHS))


def render(mesh: Trimesh, azimuth_degrees: float, size: int, lit: bool = True) -> NDArray[np.uint8]:
    """One picture as in `render_views`, from any side: 0 is the front, 90 the camera at +x.

    Unlit, the colours are those of the texture. A side that is wider than the four views' frame (a box seen
    over its edge) is cut at the border.
    """
    return _Scene(mesh, size).picture(azimuth_degrees, lit)


def render_around(mesh: Trimesh, azimuths: Sequence[float], size: int) -> Iterator[NDArray[np.uint8]]:
    """Lit pictures from these azimuths in one frame that holds the mesh however it is turned around +y."""
    around = frame(mesh)
    aside = np.asarray(mesh.vertices, dtype=np.float64)[:, (0, 2)] - around.centre[[0, 2]]
    reach = float(np.sqrt((aside**2).sum(axis=1).max())) / (1 - MARGIN)
    scene = _Scene(mesh, size, Frame(around.centre, max(around.half, reach)))
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda azimuth: scene.picture(azimuth, lit=True), azimuths)


class _Scene:
    """A mesh made ready to be drawn from any side at one size."""

    def __init__(self, mesh: Trimesh, size: int, around: Frame | None = None) -> None:
        around = around or frame(mesh)
        self.size = size
        centred = (np.asarray(mesh.vertices, dtype=np.float64) - around.centre) / around.half
        self.positions = np.ascontiguousarray(centred, dtype=np.float32)
        self.faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
        self.normals = smooth_normals(mesh)
        self.uv, image = _painting(mesh)
        self.texture: NDArray[np.uint8] | None = None
        if image is not None:
            # A texel smaller than a pixel would sparkle. Shrinking comes first: turning all of a large atlas
            # into an array costs as much as drawing it.
            shrunk = image.reduce(2 ** self._halvings(image.width, image.height))
            self.texture = np.asarray(shrunk.convert("RGB"))

    def picture(self, azimuth_degrees: float, lit: bool) -> NDArray[np.uint8]:
        carried = np.ones((len(self.positions), 3), dtype=np.float32)
        carried[:, :2] = self.uv
        if lit:
            carried[:, 2] = _light(_turned(self.normals, azimuth_degrees))
        filled, covered = self._fill(_turned(self.positions, azimuth_degrees), carried)
        if self.texture is None:
            colours = np.broadcast_to(np.array(CLAY, dtype=np.float32), filled.shape)
        else:
            colours = self._sample(self.texture, filled)
        return _smaller(colours * filled[..., 2:], covered)

    def _fill(
        self, positions: NDArray[np.float32], carried: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Interpolate what the vertices carry over the nearest surface; also which pixels are covered."""
        pixels = self.size * SUPERSAMPLING
        # The rasterizer only knows perspective. Moving each point out by what its depth would shrink it
        # cancels that, and leaves parallel rays.
        widened = positions.copy()
        widened[:, :2] *= 1 - positions[:, 2:] / np.float32(DISTANCE)
        near, far = DISTANCE - 2, DISTANCE + 2
        camera = np.eye(4, dtype=np.float32)
        camera[2, 3] = -DISTANCE
        drawn, depth = cv2.triangleRasterize(
            widened,
            self.faces,
            carried,
            np.zeros((pixels, pixels, 3), dtype=np.float32),
            np.full((pixels, pixels), far, dtype=np.float32),
            camera,
            2 * np.arctan(1 / DISTANCE),
            near,
            far,
            _rasterization(),
        )
        return cast("NDArray[np.float32]", drawn), np.asarray(depth) < far

    def _halvings(self, wide: int, tall: int) -> int:
        """How often a texture can be halved until texel and pixel match, judged by some of the faces."""
        some = self.faces[:: max(1, len(self.faces) // 5000)]
        on_screen = _area(self.positions[some]) * (self.size * SUPERSAMPLING / 2) ** 2
        on_atlas = _area(self.uv[some]) * wide * tall
        if on_screen <= 0 or on_atlas <= on_screen:
            return 0
        return min(round(math.log2(on_atlas / on_screen) / 2), int(math.log2(min(wide, tall))))

    def _sample(self, texture: NDArray[np.uint8], filled: NDArray[np.float32]) -> NDArray[np.float32]:
        tall, wide = texture.shape[:2]
        across = filled[..., 0] * wide - np.float32(0.5)
        down = (1 - filled[..., 1]) * tall - np.float32(0.5)
        # Coordinates outside of 0 to 1 repeat the texture; an atlas must not bleed over its border.
        repeats = self.uv.min() < 0 or self.uv.max() > 1
        border = cv2.BORDER_WRAP if repeats else cv2.BORDER_REPLICATE
        sampled = cv2.remap(texture, across, down, cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(sampled, dtype=np.float32)


def _rasterization() -> cv2.TriangleRasterizeSettings:
    settings = cv2.TriangleRasterizeSettings()
    # Both must be said: the documented default, interpolation, is not what the constructor gives.
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    return settings


def _turned(vectors: NDArray[np.float32], azimuth_degrees: float) -> NDArray[np.float32]:
    """World to camera: the camera at this azimuth sees its own right as +x and looks along -z.

    Written out, because a matrix product of this shape wakes every BLAS thread for nothing.
    """
    angle = np.radians(azimuth_degrees)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y, z = vectors.T
    return np.stack([cos * x - sin * z, y, sin * x + cos * z], axis=1)


def _light(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """A soft key light and ambient light, as the factor on an sRGB colour (camera space normals)."""
    x, y, z = normals.T
    facing = (x * _KEY_LIGHT[0] + y * _KEY_LIGHT[1] + z * _KEY_LIGHT[2]) / np.linalg.norm(_KEY_LIGHT)
    factor: NDArray[np.float32] = _AMBIENT + _KEY * np.clip(0.5 + 0.5 * facing, 0, 1) ** 1.5
    return factor


def _area(corners: NDArray[np.float32]) -> float:
    """Summed area of triangles in two or three dimensions, shape (faces, 3, dimensions)."""
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # Lagrange: |a x b|^2 = |a|^2 |b|^2 - (a . b)^2 holds in any dimension.
    squared = (one**2).sum(1) * (two**2).sum(1) - (one * two).sum(1) ** 2
    return float(np.sqrt(np.maximum(squared, 0)).sum()) / 2


def _painting(mesh: Trimesh) -> tuple[NDArray[np.float32], Image | None]:
    """UV coordinates, origin at the lower left, and the base colour texture; zeros and none without one."""
    uv = getattr(mesh.visual, "uv", None)
    material = getattr(mesh.visual, "material", None)
    image: Image | None = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if uv is None or image is None:
        return np.zeros((len(mesh.vertices), 2), dtype=np.float32), None
    return np.asarray(uv, dtype=np.float32)[:, :2], image if image.mode != "P" else image.convert("RGB")


def _smaller(colours: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Average blocks of samples; a pixel's colour is that of its covered samples, its alpha their share."""
    size = len(covered) // SUPERSAMPLING
    weight = covered.astype(np.float32)
    summed = cv2.resize(colours * weight[..., None], (size, size), interpolation=cv2.INTER_AREA)
    share = cv2.resize(weight, (size, size), interpolation=cv2.INTER_AREA)
    picture = np.empty((size, size, 4), dtype=np.uint8)
    picture[..., :3] = np.rint(np.clip(summed / np.maximum(share, 1e-6)[..., None], 0, 255))
    picture[..., 3] = np.rint(share * 255)
    return picture
