"""The outline on a square grid: a level set whose zero line is the alpha channel's half-way contour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from daemon.errors import BadJob

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

SMALLEST_SIDE = 8  # pixels; below it the outline says nothing about a shape
MARGIN = 3  # cells left empty around the object
CELLS_ACROSS = 8.0  # wanted over the mean width of the object
FINEST = 4  # a thin object's grid is at most this many times finer than the preset's
SPECK = 0.002  # parts and holes below this share of the object's area are noise of the cut-out


@dataclass(frozen=True)
class Grid:
    """Node (i, j) lies at the photo's pixel coordinates `(x0 + j * cell, y0 + i * cell)`, y down.

    `level` (float32, about the signed distance to the outline in cells) is positive exactly where `inside`
    is true. `inside` has no 2x2 block whose only inside nodes touch at a corner, so four- and
    eight-connectedness agree and the contour never crosses itself. `cells` lie along the longest side.
    """

    level: Floats
    inside: Bools
    x0: float
    y0: float
    cell: float
    cells: int


def outline(alpha: NDArray[np.uint8], cells: int) -> Grid:
    """Resample `alpha` (H, W, uint8) to `cells` cells along the object's longest side, and clean it up.

    An object thinner than a few cells gets a finer grid. Raises `BadJob` where there is no object.
    """
    left, top, right, bottom = _bounds(alpha >= 128)
    side = max(right - left, bottom - top)
    if side < SMALLEST_SIDE:
        raise BadJob(
            f"the object is only {side} pixels across after background removal, too small for a model; "
            f"send a larger photo, or one where the object fills more of the frame"
        )
    cells = _cells_for(alpha[top:bottom, left:right] >= 128, side, cells)
    cell = side / cells
    pad = int(np.ceil((MARGIN + 1) * cell)) + 1
    work = _crop(alpha, (left - pad, top - pad, right + pad, bottom + pad))
    x0, y0 = left - MARGIN * cell, top - MARGIN * cell
    columns = int(np.ceil((right - left) / cell)) + 2 * MARGIN + 1
    rows = int(np.ceil((bottom - top) / cell)) + 2 * MARGIN + 1
    level = _sample(work, (x0 - (left - pad), y0 - (top - pad)), cell, (rows, columns))
    level = _clean(level)
    return Grid(level, level > 0, x0, y0, cell, cells)


def pieces(inside: Bools) -> tuple[int, int]:
    """The number of components of `inside` and of holes in it."""
    components = int(ndimage.label(inside)[1])
    return components, int(ndimage.label(np.pad(~inside, 1, constant_values=True))[1]) - 1


def _bounds(mask: Bools) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise BadJob(
            "the cut-out is empty: no object was found in the photo; send a photo whose object stands out from "
            "its background, or cut it out yourself and send a PNG with transparency"
        )
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _cells_for(mask: Bools, side: int, cells: int) -> int:
    """More cells than asked for where the object's mean width, 2 area / perimeter, would get too few."""
    padded = np.pad(mask, 1).view(np.int8)
    steps = sum(int(np.count_nonzero(np.diff(padded, axis=axis))) for axis in (0, 1))
    width = 2.0 * float(np.count_nonzero(mask)) / (steps * np.pi / 4)
    wanted = int(np.ceil(CELLS_ACROSS * side / width))
    return max(cells, min(wanted, FINEST * cells, max(cells, 4 * side)))


def _crop(alpha: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """`alpha` inside `box` (left, top, right, bottom), which may reach past the frame: there it is 0."""
    left, top, right, bottom = box
    height, width = alpha.shape
    part = alpha[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    border = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    return np.asarray(cv2.copyMakeBorder(part, *border, cv2.BORDER_CONSTANT, value=0))


def _sample(
    alpha: NDArray[np.uint8], origin: tuple[float, float], cell: float, shape: tuple[int, int]
) -> Floats:
    """The level set at the nodes; `origin` is node (0, 0) in `alpha`'s pixel coordinates."""
    factor = max(1, int(cell / 3))
    work = alpha.astype(np.float32) / 255.0
    hard = (alpha >= 128).astype(np.uint8)
    if factor > 1:
        rows, columns = (-(-n // factor) * factor for n in alpha.shape)
        grow = (0, rows - alpha.shape[0], 0, columns - alpha.shape[1], cv2.BORDER_CONSTANT)
        size = (columns // factor, rows // factor)
        work = cv2.resize(cv2.copyMakeBorder(work, *grow, value=0), size, interpolation=cv2.INTER_AREA)
        hard = cv2.copyMakeBorder(hard, *grow, value=0)
        hard = hard.reshape(size[1], factor, size[0], factor).max(axis=(1, 3))
    step = cell / factor
    work = np.maximum(work, _thickened(hard, step))
    sigma = max(0.5 * step, 0.45)
    work = cv2.GaussianBlur(work, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    transform = np.array(
        [[step, 0, origin[0] / factor - 0.5], [0, step, origin[1] / factor - 0.5]], dtype=np.float64
    )
    flags = (cv2.INTER_CUBIC if step < 1.5 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    share = cv2.warpAffine(
        work, transform, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    # A blurred straight edge is an error function: its inverse is the distance, which interpolates linearly.
    spread = float(np.hypot(sigma, np.sqrt(1 / 12))) / step
    level = spread * special.ndtri(np.clip(share, 0.001, 0.999))
    return np.asarray(level, dtype=np.float32)


def _thickened(hard: NDArray[np.uint8], step: float) -> Floats:
    """What is too thin for the blur and the nodes: drawn 1.5 cells wide, or, where a cell is hardly more than
    a pixel, weighted so that half of it is left after the blur."""
    width = max(step, 1.2)
    core = cv2.morphologyEx(hard, cv2.MORPH_OPEN, _disk(0.6 * width))
    rest = hard & (1 - core)
    # Every corner leaves a little rest; only what reaches away from the core is thin, then with its root.
    thin = rest & (1 - cv2.dilate(core, _disk(1.5 * width)))
    if not thin.any():
        return np.zeros(hard.shape, np.float32)
    thin = rest & cv2.dilate(thin, _disk(2.5 * width))
    if step < 1.2:
        return np.asarray(1.4 * thin, dtype=np.float32)
    return np.asarray(cv2.dilate(thin, _disk(0.75 * step)), dtype=np.float32)


def _disk(radius: float) -> NDArray[np.uint8]:
    reach = int(np.ceil(radius))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x * x + y * y <= radius * radius + 0.5, dtype=np.uint8)


def _clean(level: Floats) -> Floats:
    """Join what touches at a corner only, fill small holes, drop small parts; the frame stays outside."""
    level = level.copy()
    for edge in (level[:2], level[-2:], level[:, :2], level[:, -2:]):
        np.minimum(edge, -0.5, out=edge)
    _join_corners(level)
    inside = level > 0
    least = SPECK * float(np.count_nonzero(inside))
    if not inside.any():
        raise BadJob(
            "the object is too thin or too faint for a model; send a photo where it is larger, or a higher quality"
        )
    for part, sign in ((~inside, 0.25), (inside, -0.25)):
        labels, _ = ndimage.label(part)
        areas = np.bincount(labels.ravel())
        areas[0] = areas.max() + 1
        small = areas < least
        if sign < 0:
            small[1 + int(np.argmax(areas[1:]))] = False
        level[small[labels]] = sign
    # Both are whole four-connected parts without corner contacts, so no new corner contact can arise.
    return level


def _join_corners(level: Floats) -> None:
    """Raise the outer node nearest to the outline of every 2x2 block whose inside nodes are diagonal."""
    while True:
        inside = level > 0
        a, b, c, d = inside[:-1, :-1], inside[:-1, 1:], inside[1:, 1:], inside[1:, :-1]
        falling = np.argwhere(a & c & ~b & ~d)
        rising = np.argwhere(~a & ~c & b & d)
        if not len(falling) and not len(rising):
            return
        for blocks, first, second in ((falling, (0, 1), (1, 0)), (rising, (0, 0), (1, 1))):
            one, other = blocks + first, blocks + second
            higher = level[tuple(one.T)] >= level[tuple(other.T)]
            chosen = np.where(higher[:, None], one, other)
            level[tuple(chosen.T)] = 0.1
