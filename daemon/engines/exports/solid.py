"""A model as exports need it: placed, its seams closed, its textures at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from trimesh import Trimesh

from daemon.engines.weld import smooth_normals, weld
from daemon.errors import BadJob


@dataclass(frozen=True)
class Solid:
    """A surface whose corners share vertices, with the texture coordinates of each corner.

    `positions` (places, 3) float64 in the unit and axes asked for; `faces` (faces, 3) index them; `normals` has
    a unit vector a place. `uv` (coordinates, 2) has its origin at the lower left and `corners` (faces, 3) index
    it; both are None without a texture. Faces that collapse when seams close are left out.
    """

    positions: NDArray[np.float64]
    normals: NDArray[np.float64]
    faces: NDArray[np.int64]
    uv: NDArray[np.float64] | None
    corners: NDArray[np.int64] | None
    textures: Mapping[str, Image.Image]

    @cached_property
    def flat(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Positions, normals, coordinates and faces with one vertex for each (place, coordinate) pair."""
        if self.uv is None or self.corners is None:
            return self.positions, self.normals, np.zeros((len(self.positions), 2)), self.faces
        pairs = self.faces.ravel() * len(self.uv) + self.corners.ravel()
        pair, index = np.unique(pairs, return_inverse=True)
        place, coordinate = pair // len(self.uv), pair % len(self.uv)
        return self.positions[place], self.normals[place], self.uv[coordinate], index.reshape(-1, 3)


def solid(mesh: Trimesh, options: Mapping[str, str], units_per_metre: float) -> Solid:
    """The mesh (metres, y-up) scaled, turned and moved as `spool.export` options say.

    Raises `BadJob` where a size is asked for along a side that has none.
    """
    count, place, welded = weld(mesh)
    a, b, c = welded.T
    real = (a != b) & (b != c) & (c != a)
    positions, normals = np.zeros((count, 3)), np.zeros((count, 3))
    positions[place], normals[place] = mesh.vertices, smooth_normals(mesh)
    used = np.unique(welded[real])
    if not len(used):
        raise BadJob("the model has no surface, so there is nothing to export")
    textures = _textures(mesh)
    uv = np.asarray(mesh.visual.uv, dtype=np.float64)[:, :2] if textures else None
    renumbered = np.zeros(count, dtype=np.int64)
    renumbered[used] = np.arange(len(used))
    positions, normals = positions[used], normals[used]
    positions *= units_per_metre * scale(positions, options)
    if options.get("up") == "z":
        positions, normals = (np.stack([v[:, 0], -v[:, 2], v[:, 1]], axis=1) for v in (positions, normals))
    positions -= _origin(positions, options.get("origin", "model"), 2 if options.get("up") == "z" else 1)
    corners = np.asarray(mesh.faces, dtype=np.int64)[real] if textures else None
    return Solid(positions, normals, renumbered[welded[real]], uv, corners, textures)


def scale(positions: NDArray[np.float64], options: Mapping[str, str]) -> float:
    """The factor that gives positions (metres, y-up) the size asked for. Raises `BadJob`."""
    extent = np.ptp(positions, axis=0)
    for option, side in (("longest_mm", extent.max()), ("height_mm", extent[1])):
        if options.get(option):
            if side <= 0:
                raise BadJob(f"the model has no extent along that side, so {option} cannot be reached")
            return float(options[option]) / 1000 / float(side)
    return 1.0


def _origin(positions: NDArray[np.float64], origin: str, up: int) -> NDArray[np.float64]:
    """The point that becomes the new origin."""
    if origin == "model":
        return np.zeros(3)
    low, high = positions.min(axis=0), positions.max(axis=0)
    point: NDArray[np.float64] = (low + high) / 2
    if origin == "ground":
        point[up] = low[up]
    return point


def _textures(mesh: Trimesh) -> dict[str, Image.Image]:
    """RGB or single-channel pictures by what they say; none without coordinates or a base colour."""
    uv = getattr(mesh.visual, "uv", None)
    material = getattr(mesh.visual, "material", None)
    base = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if uv is None or base is None or len(uv) != len(mesh.vertices):
        return {}
    found = {"basecolor": base.convert("RGB")}
    if (packed := getattr(material, "metallicRoughnessTexture", None)) is not None:
        # glTF packs roughness in green and metalness in blue.
        _, found["roughness"], found["metallic"] = packed.convert("RGB").split()
    if (bumps := getattr(material, "normalTexture", None)) is not None:
        found["normal"] = bumps.convert("RGB")
    return found
