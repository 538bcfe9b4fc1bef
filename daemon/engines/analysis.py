"""What can be said about a mesh in numbers: is it closed, how large is it, of how many pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from trimesh import Trimesh

from daemon.engines.base import JSON
from daemon.engines.weld import weld
from daemon.errors import EngineError

OVERHANG_DEGREES = 45.0


def analyse(mesh: Trimesh, faces_asked: int | None = None) -> dict[str, JSON]:
    """The content of `analysis.json`; topology is that of the surface with texture seams closed.

    - `watertight`: every edge belongs to exactly two faces.
    - `edge_manifold`: no edge belongs to more than two faces.
    - `winding_consistent`: neighbouring faces agree about which side is out.
    - `dimensions_m`: width, height, depth of the axis-aligned box, in metres (x, y, z).
    - `volume_m3`: cubic metres, negative for a mesh turned inside out; null where no inside is defined
      (not watertight, or winding not consistent).
    - `area_m2`: square metres.
    - `faces`: all of them; `vertices`: distinct places that a face uses.
    - `faces_asked`: what the engine was told to reach; null where it was told no number.
    - `overhang`: the share of the area that a printer would have to support, see `overhang_share`.
    - `components`: pieces that share no vertex; `euler_number`: vertices - edges + faces of the surface.

    Faces that collapse to a line or a point when seams close count in `faces` only.
    Raises `EngineError` where a position is not a finite number.
    """
    positions = np.asarray(mesh.vertices, dtype=np.float64)
    if not np.isfinite(positions).all():
        raise EngineError("the mesh has positions that are not finite numbers")
    count, _, welded = weld(mesh)
    a, b, c = welded.T
    real = (a != b) & (b != c) & (c != a)
    surface = welded[real]
    edges, shared, balance = edges_of(surface, count)
    used = np.zeros(count, dtype=bool)
    used[surface] = True
    watertight = bool(len(surface) and (shared == 2).all())
    # A lone edge leans one way by itself; a shared one must be walked as often forth as back.
    consistent = bool(len(surface) and (np.abs(balance) <= shared % 2).all())
    vertices = int(used.sum())
    volume, area, overhang = _integrals(positions, np.asarray(mesh.faces)[real])
    extent = np.ptp(positions[np.unique(mesh.faces)], axis=0) if len(mesh.faces) else np.zeros(3)
    return {
        "watertight": watertight,
        "edge_manifold": bool((shared <= 2).all()),
        "winding_consistent": consistent,
        "dimensions_m": [float(side) for side in extent],
        "volume_m3": volume if watertight and consistent else None,
        "area_m2": area,
        "faces": len(mesh.faces),
        "faces_asked": faces_asked,
        "vertices": vertices,
        "components": pieces(edges, used),
        "euler_number": vertices - len(edges) + len(surface),
        "overhang": {
            "share": overhang,
            "degrees": OVERHANG_DEGREES,
            "up": "y",
        },
    }


def overhang_share(positions: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Share of the area (0 to 1) that leans out more than 45 degrees from the vertical, printed with +y up.

    What lies flat on the ground needs no support: faces within a thousandth of the height from the lowest
    point do not count as overhang.
    """
    if len(faces) == 0:
        return 0.0
    corner = positions[faces[:, 0]]
    across = _across(positions[faces[:, 1]] - corner, positions[faces[:, 2]] - corner)
    return _overhang(positions[:, 1], faces, across[1], np.sqrt(sum(part**2 for part in across)))


def _overhang(
    heights: NDArray[np.float64],
    faces: NDArray[np.int64],
    upward: NDArray[np.float64],
    area: NDArray[np.float64],
) -> float:
    """`upward` is the vertical part of each face's normal of length `area`."""
    whole = float(area.sum())
    # A hair's breadth beyond 45 degrees, so that rounding does not make a chamfer an overhang.
    leaning = np.flatnonzero(-upward > area * (np.sin(np.radians(OVERHANG_DEGREES)) * (1 + 1e-6)))
    if not whole or not len(leaning):
        return 0.0
    reached = heights[faces]
    ground, top = float(reached.min()), float(reached.max())
    flat = (reached[leaning] <= ground + (top - ground) / 1000).all(axis=1)
    return float(area[leaning[~flat]].sum()) / whole


def edges_of(
    faces: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Undirected edges (shape (edges, 2)), how many faces share each, and walks forth minus walks back."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    low, high = np.minimum(start, end), np.maximum(start, end)
    # One integer an edge, the direction in its last bit, so that one plain sort brings equal edges together.
    keys = np.sort((low * count + high) * 2 + (start > end))
    edge = keys >> 1
    first = np.flatnonzero(np.diff(edge, prepend=-1))
    shared = np.diff(first, append=len(keys))
    forth = 1 - 2 * (keys & 1)
    balance = np.add.reduceat(forth, first) if len(first) else forth
    return np.stack([edge[first] // max(count, 1), edge[first] % max(count, 1)], axis=1), shared, balance


def pieces(edges: NDArray[np.int64], used: NDArray[np.bool_]) -> int:
    """How many connected pieces the used places form."""
    count = len(used)
    if len(edges) == 0:
        return 0
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    found, _ = connected_components(graph, directed=False)
    # A place that no face uses is a piece of the graph, not of the surface.
    return int(found) - int((~used).sum())


def volume_and_area(positions: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[float, float]:
    """Volume and area in the unit of the positions, cubed and squared."""
    volume, area, _ = _integrals(positions, faces)
    return volume, area


def _integrals(positions: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[float, float, float]:
    """Volume, area and overhang share, from one pass over the faces.

    The volume by the divergence theorem: a sixth of the summed triple products; from the middle, where rounding
    is least.
    """
    if len(faces) == 0:
        return 0.0, 0.0, 0.0
    centred = positions - (positions.min(axis=0) + positions.max(axis=0)) / 2
    corner = centred[faces[:, 0]]
    across = _across(centred[faces[:, 1]] - corner, centred[faces[:, 2]] - corner)
    volume = sum(float((corner[:, axis] * across[axis]).sum()) for axis in range(3)) / 6
    doubled = np.sqrt(sum(part**2 for part in across))
    return volume, float(doubled.sum()) / 2, _overhang(centred[:, 1], faces, across[1], doubled)


def _across(one: NDArray[np.float64], two: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The cross products, an array for each axis."""
    return [one[:, i] * two[:, j] - one[:, j] * two[:, i] for i, j in ((1, 2), (2, 0), (0, 1))]
