"""A triangulated sheet over the outline's inside: marching squares at the rim, a balanced quadtree within.

Squares merge where the surface is flat, and neighbours differ by one level at most, so that a fan around
a square's centre closes every gap. Two such sheets that share the contour's vertices make a closed manifold:
no triangle has an edge whose ends both lie on the contour except along the contour itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.engines.silhouette.grid import Bools, Floats, Grid
from daemon.engines.silhouette.inflate import crossing

Ints = NDArray[np.int64]

COARSEST = 5  # squares of 2**5 cells at most
RIM = 3  # cells next to the contour that never merge

# Corners of a square in the order top left, bottom left, bottom right, top right: counter-clockwise, y up.
CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


@dataclass(frozen=True)
class Sheet:
    """`contour` (C, 2) and `nodes` (M, 2) are grid coordinates (row, column) in cells; `faces` (F, 3) index
    the contour's vertices first and the nodes after them, counter-clockwise seen from the photo's side."""

    contour: Floats
    nodes: Ints
    faces: Ints


def sheet(grid: Grid, heights: Sequence[Floats], flatness: float) -> Sheet:
    """Triangulate the inside; squares merge while every one of `heights` stays within `flatness` (cells)."""
    numbering, contour = _contour(grid)
    merged = _merge(grid.inside, heights, flatness)
    parts = [_rim_faces(grid.inside, numbering, len(contour))]
    columns = grid.inside.shape[1]
    whole = _whole_cells(grid.inside)
    for level in range(len(merged)):
        parts.append(_square_faces(merged, level, whole, columns) + len(contour))
    faces = np.concatenate(parts)
    used = np.zeros(len(contour) + grid.inside.size, bool)
    used[faces.ravel()] = True
    number = np.cumsum(used) - 1
    nodes = np.flatnonzero(used[len(contour) :])
    return Sheet(contour, np.stack(np.divmod(nodes, columns), axis=1), number[faces])


def _whole_cells(inside: Bools) -> Bools:
    return inside[:-1, :-1] & inside[1:, :-1] & inside[1:, 1:] & inside[:-1, 1:]


def _contour(grid: Grid) -> tuple[tuple[Ints, Ints], Floats]:
    """The contour's vertices, and their numbers by vertical and by horizontal grid edge (-1: none)."""
    inside = grid.inside
    numbers, points, count = [], [], 0
    for axis in (0, 1):
        crossed = inside[:-1] != inside[1:] if axis == 0 else inside[:, :-1] != inside[:, 1:]
        share = crossing(grid.level, axis)[crossed]
        at = np.argwhere(crossed).astype(np.float64)
        at[:, axis] += share
        number = np.full(crossed.shape, -1, np.int64)
        number[crossed] = np.arange(count, count + len(at))
        numbers.append(number)
        points.append(at)
        count += len(at)
    return (numbers[0], numbers[1]), np.concatenate(points)


def _rim_faces(inside: Bools, numbering: tuple[Ints, Ints], offset: int) -> Ints:
    """Triangles of the squares that the contour crosses. `Grid` promises that none is crossed twice."""
    vertical, horizontal = numbering
    columns = inside.shape[1]
    mixed = np.argwhere(cv2.boxFilter(inside.astype(np.uint8), -1, (2, 2), normalize=False)[1:, 1:] % 4 != 0)
    row, column = mixed[:, 0], mixed[:, 1]
    corner = np.stack([(row + i) * columns + column + j + offset for i, j in CORNERS], axis=1)
    within = np.stack([inside[row + i, column + j] for i, j in CORNERS], axis=1)
    edge = np.stack(
        [
            vertical[row, column],
            horizontal[row + 1, column],
            vertical[row, column + 1],
            horizontal[row, column],
        ],
        axis=1,
    )
    faces = []
    for turn in range(4):
        a, b, c, d = ((turn + step) % 4 for step in range(4))
        one = within[:, a] & ~within[:, b] & ~within[:, c] & ~within[:, d]
        faces.append(np.stack([corner[one, a], edge[one, a], edge[one, d]], axis=1))
        two = within[:, a] & within[:, b] & ~within[:, c] & ~within[:, d]
        faces.append(np.stack([corner[two, a], corner[two, b], edge[two, b]], axis=1))
        faces.append(np.stack([corner[two, a], edge[two, b], edge[two, d]], axis=1))
        # The fan starts at the middle one of three inside corners: no chord joins two contour vertices.
        three = within[:, a] & within[:, b] & within[:, d] & ~within[:, c]
        faces.append(np.stack([corner[three, a], corner[three, b], edge[three, b]], axis=1))
        faces.append(np.stack([corner[three, a], edge[three, b], edge[three, c]], axis=1))
        faces.append(np.stack([corner[three, a], edge[three, c], corner[three, d]], axis=1))
    return np.concatenate(faces)


def _merge(inside: Bools, heights: Sequence[Floats], flatness: float) -> list[Bools]:
    """For each level, which squares of `2**level` cells are one square or part of a larger one."""
    core = cv2.erode(inside.astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)).astype(bool)
    block = 2**COARSEST
    rows, columns = (-(-(n - 1) // block) * block for n in inside.shape)
    cells = np.zeros((rows, columns), bool)
    cells[: inside.shape[0] - 1, : inside.shape[1] - 1] = _whole_cells(core)
    padded = [np.pad(z, ((0, rows + 1 - z.shape[0]), (0, columns + 1 - z.shape[1]))) for z in heights]
    merged = [cells]
    for level in range(1, COARSEST + 1):
        finer = np.pad(merged[-1], 1)
        # All four quarters, and the eight finer squares that share an edge with them, are at the level below.
        cross = finer[1:-1, 1:-1] & finer[:-2, 1:-1] & finer[2:, 1:-1] & finer[1:-1, :-2] & finer[1:-1, 2:]
        whole = cross[::2, ::2] & cross[1::2, ::2] & cross[::2, 1::2] & cross[1::2, 1::2]
        for z in padded:
            whole &= _bend(z[:: 2 ** (level - 1), :: 2 ** (level - 1)]) <= flatness
        merged.append(whole)
    return merged


def _bend(z: Floats) -> Floats:
    """How far the middles of each square's edges and its centre lie from the square's corners' mean."""
    a, b, c, d = z[:-2:2, :-2:2], z[2::2, :-2:2], z[2::2, 2::2], z[:-2:2, 2::2]
    left, right, top, bottom = z[1::2, :-2:2], z[1::2, 2::2], z[:-2:2, 1::2], z[2::2, 1::2]
    bends = [
        np.abs(left - (a + b) / 2),
        np.abs(bottom - (b + c) / 2),
        np.abs(right - (c + d) / 2),
        np.abs(top - (a + d) / 2),
        np.abs(z[1::2, 1::2] - (a + b + c + d) / 4),
    ]
    return np.asarray(np.maximum.reduce(bends))


def _square_faces(merged: Sequence[Bools], level: int, whole: Bools, columns: int) -> Ints:
    """Triangles of the squares that end at `level`: two, or a fan where a neighbour is finer."""
    size = 2**level
    present = merged[level]
    if level == 0:
        present = np.zeros(merged[0].shape, bool)
        present[: whole.shape[0], : whole.shape[1]] = whole
    ends = present.copy()
    if level + 1 < len(merged):
        ends &= ~np.repeat(np.repeat(merged[level + 1], 2, axis=0), 2, axis=1)
    row, column = np.nonzero(ends)
    corner = [(row + i) * size * columns + (column + j) * size for i, j in CORNERS]
    if level == 0:
        split = [(0, 1, 2), (0, 2, 3)]
        return np.concatenate([np.stack([corner[k] for k in face], axis=1) for face in split])
    around = np.pad(present, 1)
    # In the order of the edges: left, bottom, right, top.
    finer = [~around[row + 1 + i, column + 1 + j] for i, j in ((0, -1), (1, 0), (0, 1), (-1, 0))]
    fan = finer[0] | finer[1] | finer[2] | finer[3]
    centre = (2 * row + 1) * (size // 2) * columns + (2 * column + 1) * (size // 2)
    faces = [np.stack([corner[0], corner[k], corner[k + 1]], axis=1)[~fan] for k in (1, 2)]
    for side in range(4):
        here, there = corner[side], corner[(side + 1) % 4]
        plain, halved = fan & ~finer[side], finer[side]
        middle = (here + there) // 2
        faces.append(np.stack([centre, here, there], axis=1)[plain])
        faces.append(np.stack([centre, here, middle], axis=1)[halved])
        faces.append(np.stack([centre, middle, there], axis=1)[halved])
    return np.concatenate(faces)
