"""Evening out the ring of vertices next to the contour, where the surface is steepest.

The smoothing is that of G. Taubin, "A signal processing approach to fair surface design", SIGGRAPH 1995.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.sparse as sparse

from daemon.engines.silhouette.grid import Bools, Floats, Grid
from daemon.engines.silhouette.sheet import Ints

BAND = 4  # cells from the contour that are smoothed
ROUNDS = 2
SHRINK, GROW = 0.5, -0.53


def first_ring(grid: Grid, nodes: Ints) -> tuple[Floats, Floats]:
    """Where to move the nodes next to the contour, and by how much to scale their height there.

    A grid passes the contour at any distance from 0 to 1.4 cells, and the height grows with the root of
    that distance: left alone, the first ring of vertices would rise and fall like a saw. Moved along the
    normal to nearly one distance, it does not. Returns offsets (n, 2) in cells and factors (n,).
    """
    near = grid.inside & (cv2.erode(grid.inside.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    chosen = near[nodes[:, 0], nodes[:, 1]]
    row, column = nodes[chosen].T
    level = grid.level
    slope = np.stack(
        [level[row + 1, column] - level[row - 1, column], level[row, column + 1] - level[row, column - 1]],
        axis=1,
    )
    steep = np.maximum(np.hypot(slope[:, 0], slope[:, 1]) / 2, 0.2)
    distance = np.clip(level[row, column] / steep, 0.05, 1.4)
    wanted = 0.4 + 0.35 * distance
    normal = slope / np.maximum(np.hypot(slope[:, 0], slope[:, 1]), 1e-6)[:, None]
    offsets, factors = np.zeros((len(nodes), 2)), np.ones(len(nodes))
    # A node of a part only a cell or two wide has no one normal: it stays.
    clear = np.hypot(slope[:, 0], slope[:, 1]) > 1.0
    shift = np.where(clear, wanted - distance, 0.0)
    offsets[chosen] = normal * shift[:, None]
    factors[chosen] = np.sqrt((distance + shift) / distance)
    return offsets, factors


def taubin(points: Floats, faces: Ints, free: Bools) -> Floats:
    """Smooth the `free` ones of `points` (n, 3) over the edges of `faces`; all others stay where they are."""
    touched = faces[free[faces].any(axis=1)]
    rows = np.concatenate([touched[:, k] for k in (0, 1, 2, 1, 2, 0)])
    columns = np.concatenate([touched[:, k] for k in (1, 2, 0, 0, 1, 2)])
    keep = free[rows]
    number = np.cumsum(free) - 1
    shape = (int(np.count_nonzero(free)), len(points))
    links = sparse.csr_matrix((np.ones(int(keep.sum())), (number[rows[keep]], columns[keep])), shape=shape)
    links.data[:] = 1.0
    mean = sparse.diags(1.0 / np.maximum(links.sum(axis=1).A1, 1.0)) @ links
    points = points.copy()
    for _ in range(ROUNDS):
        for step in (SHRINK, GROW):
            points[free] += step * (mean @ points - points[free])
    return points
