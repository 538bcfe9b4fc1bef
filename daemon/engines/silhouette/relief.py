"""What the photo's brightness says about the surface: creases that hold it down, and a little relief."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.engines.silhouette.grid import Bools, Floats, Grid
from daemon.engines.silhouette.presets import CREASE, RELIEF


def luminance(photo: NDArray[np.uint8], grid: Grid) -> Floats:
    """Brightness (0 to 1) of the RGBA `photo` at the nodes; outside the object, that of the nearest part of it."""
    height, width = grid.inside.shape
    sigma = 0.4 * grid.cell
    grey = cv2.cvtColor(photo, cv2.COLOR_RGBA2GRAY).astype(np.float32) / 255
    solid = (photo[..., 3] >= 128).astype(np.float32)
    transform = np.array([[grid.cell, 0, grid.x0 - 0.5], [0, grid.cell, grid.y0 - 0.5]])
    parts = []
    for part in (grey * solid, solid):
        blurred = (
            cv2.GaussianBlur(part, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) if sigma > 0.3 else part
        )
        parts.append(
            cv2.warpAffine(blurred, transform, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        )
    known = parts[1] > 0.3
    light = parts[0] / np.maximum(parts[1], 1e-3)
    return fill(light, known)


def fill(light: Floats, known: Bools) -> Floats:
    """`light` with every unknown node given the value of the nearest known one."""
    if known.all() or not known.any():
        return light
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(labels.max()) + 1, light.dtype)
    table[labels[known]] = light[known]
    return np.asarray(np.where(known, light, table[labels]))


def depth_inside(inside: Bools) -> Floats:
    """Distance in cells from each node to the outside."""
    return np.asarray(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5))


def ramp(value: Floats, low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def creases(light: Floats, depth: Floats, cells: int, radius: float) -> Floats | None:
    """k squared per square cell: high along brightness edges away from the rim; None where there are none.

    `radius` is the object's thickness in cells. An edge of unit strength takes as much slope out of the
    squared height as an outline would give it over that thickness.
    """
    width = max(1.0, 0.008 * cells)
    smooth = cv2.GaussianBlur(light, (0, 0), width)
    slope = (
        np.hypot(cv2.Sobel(smooth, -1, 1, 0, scale=1 / 8), cv2.Sobel(smooth, -1, 0, 1, scale=1 / 8)) * cells
    )
    edge = ramp(slope, 5.0, 18.0) * ramp(depth, 0.03 * cells, 0.08 * cells)
    if CREASE == 0 or not edge.any():
        return None
    return np.asarray(CREASE * edge / (3 * width * radius))


def relief(light: Floats, depth: Floats, cells: int) -> Floats:
    """Heights in cells to add to the surface: a difference of Gaussians of the brightness, 0 at the rim."""
    fine = cv2.GaussianBlur(light, (0, 0), max(0.7, 0.004 * cells))
    coarse = cv2.GaussianBlur(light, (0, 0), 0.025 * cells)
    detail = np.tanh((fine - coarse) / 0.25) * 0.5
    return np.asarray(2 * RELIEF * cells * detail * ramp(depth, 0.02 * cells, 0.1 * cells))
