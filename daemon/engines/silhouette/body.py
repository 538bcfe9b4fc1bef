"""From an outline to a closed mesh: solve, shape, triangulate, smooth, scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.engines.base import Progress
from daemon.engines.silhouette import relief, smooth
from daemon.engines.silhouette.grid import Floats, Grid
from daemon.engines.silhouette.inflate import roundness, solve, system
from daemon.engines.silhouette.presets import FLATNESS
from daemon.engines.silhouette.sheet import Ints, Sheet, sheet


@dataclass(frozen=True)
class Body:
    """A closed mesh in pixels of the grid's picture, y down, depth toward the viewer.

    `points` (n, 3) are the contour's `contour` vertices, the front's `front` and the back's, in this order;
    the first half of `faces` is the front.
    """

    points: Floats
    faces: Ints
    contour: int
    front: int


def body(grid: Grid, photo: NDArray[np.uint8], mirrored: bool, progress: Progress) -> Body:
    """Inflate `grid`; the back gets the front's creases and relief where it will show the same picture."""
    progress(0.15, "setting up the height equation")
    front, back = _heights(grid, photo, mirrored, progress)
    progress(0.65, "triangulating")
    flat = sheet(grid, (front,) if mirrored else (front, back), FLATNESS * grid.cells)
    progress(0.8, "smoothing the rim")
    contour = len(flat.contour)
    faces = flat.faces
    other = np.where(faces >= contour, faces + len(flat.nodes), faces)[:, ::-1]
    front_points = _side(grid, flat, front)
    back_points = front_points if mirrored else _side(grid, flat, back)
    points = np.concatenate([front_points, back_points[contour:] * (1, 1, -1)])
    points = points[:, (1, 0, 2)] * grid.cell + (grid.x0, grid.y0, 0)
    return Body(points, np.concatenate([faces, other]), contour, len(flat.nodes))


def _heights(
    grid: Grid, photo: NDArray[np.uint8], mirrored: bool, progress: Progress
) -> tuple[Floats, Floats]:
    """Depth of the front and of the back at the nodes, in cells, both positive."""
    equation = system(grid)
    progress(0.35, "solving the height equation")
    plain = solve(equation)
    light = relief.luminance(photo, grid)
    depth = relief.depth_inside(grid.inside)
    screen = relief.creases(light, depth, grid.cells, float(np.sqrt(plain.max())))
    shaped = plain
    if screen is not None:
        progress(0.5, "following the edges in the photo")
        shaped = solve(equation, screen, plain)
    even = roundness(plain, grid.inside)
    least = 0.05 * np.sqrt(plain)
    front = np.maximum(np.sqrt(shaped / even) + relief.relief(light, depth, grid.cells), least)
    return front, (front if mirrored else np.sqrt(plain / even))


def _side(grid: Grid, flat: Sheet, heights: Floats) -> Floats:
    """The vertices of one side as (row, column, depth) in cells, smoothed near the contour."""
    offsets, factors = smooth.first_ring(grid, flat.nodes)
    row, column = flat.nodes.T
    nodes = np.column_stack([flat.nodes + offsets, heights[row, column] * factors])
    points = np.concatenate([np.column_stack([flat.contour, np.zeros(len(flat.contour))]), nodes])
    wide = 2 * smooth.BAND + 1
    core = cv2.erode(grid.inside.astype(np.uint8), np.ones((wide, wide), np.uint8)).astype(bool)
    free = np.concatenate([np.zeros(len(flat.contour), bool), ~core[row, column]])
    return smooth.taubin(points, flat.faces, free)
