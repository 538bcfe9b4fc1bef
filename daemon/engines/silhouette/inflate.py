"""The surface over the outline: a screened Poisson equation on the grid, solved by multigrid.

The right-hand side makes a disk a hemisphere. The boundary treatment is that of F. Gibou, R. Fedkiw,
L.-T. Cheng, M. Kang, "A second-order-accurate symmetric discretization of the Poisson equation on irregular
domains", Journal of Computational Physics 176 (2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pyamg
import scipy.sparse as sparse
from scipy.sparse.linalg import LinearOperator, cg

from daemon.engines.silhouette.grid import Bools, Floats, Grid
from daemon.errors import EngineError

NEAREST = 0.02  # cells; a contour is never taken to run nearer to a node
TOLERANCE = 1e-6


@dataclass(frozen=True)
class System:
    """The discrete equation over the inside nodes, in row order, and its multigrid hierarchy."""

    inside: Bools
    matrix: sparse.csr_matrix
    multigrid: pyamg.MultilevelSolver


def crossing(level: Floats, axis: int) -> Floats:
    """Where the outline crosses each grid edge along `axis`: the share from its first node to its second.

    Means something only where the edge joins an inside and an outside node.
    """
    first, second = (level[:-1], level[1:]) if axis == 0 else (level[:, :-1], level[:, 1:])
    difference = first - second
    share = np.divide(first, difference, out=np.full_like(first, 0.5), where=difference != 0)
    return np.clip(share, NEAREST, 1 - NEAREST)


def system(grid: Grid) -> System:
    """The negative Laplacian with height 0 on the sub-pixel outline."""
    inside = grid.inside
    count = int(np.count_nonzero(inside))
    index = np.full(inside.shape, -1, np.int32)
    index[inside] = np.arange(count, dtype=np.int32)
    diagonal = np.zeros(inside.shape, np.float64)
    pairs = []
    for axis in (0, 1):
        one = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        two = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        share = crossing(grid.level, axis)
        both = inside[one] & inside[two]
        diagonal[one] += both + (inside[one] & ~inside[two]) / share
        diagonal[two] += both + (~inside[one] & inside[two]) / (1 - share)
        pairs.append((index[one][both], index[two][both]))
    first = np.concatenate([pair[0] for pair in pairs])
    second = np.concatenate([pair[1] for pair in pairs])
    own = np.arange(count, dtype=np.int32)
    values = np.concatenate([np.full(2 * len(first), -1.0), diagonal[inside]])
    rows, columns = np.concatenate([first, second, own]), np.concatenate([second, first, own])
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(count, count))
    return System(inside, matrix, pyamg.ruge_stuben_solver(matrix, max_coarse=200))


def solve(equation: System, screen: Floats | None = None, start: Floats | None = None) -> Floats:
    """Squared heights in square cells, 0 outside; `screen` is k squared per node, `start` a first guess.

    The screened equation is solved with the plain one's hierarchy as its preconditioner: setting up a second
    one would cost more than the few further steps. Raises `EngineError` where the steps do not converge.
    """
    matrix = equation.matrix
    if screen is not None:
        matrix = matrix + sparse.diags(screen[equation.inside].astype(np.float64))
    right = np.full(matrix.shape[0], 4.0)
    guess = None if start is None else start[equation.inside].astype(np.float64)
    preconditioner: LinearOperator = equation.multigrid.aspreconditioner(cycle="V")
    found, failed = cg(matrix, right, x0=guess, rtol=TOLERANCE, maxiter=200, M=preconditioner)
    if failed:
        raise EngineError("the height equation did not converge; try another quality")
    height = np.zeros(equation.inside.shape, np.float64)
    height[equation.inside] = np.maximum(found, 1e-6)
    return height


def roundness(height: Floats, inside: Bools) -> Floats:
    """How much deeper than wide the sections of `height` are: 1 for a ball, 2 for a long bar.

    The equation makes a disk a hemisphere but a long bar's section an ellipse. With curvatures that sum
    to -4, a quadratic height over an ellipse has |smallest curvature| / 2 as the square of depth over width.
    The curvature tensor is averaged over the neighbourhood first, so that corners cancel out.
    """
    span = max(inside.shape)
    xx = cv2.filter2D(height, -1, np.array([[1.0, -2.0, 1.0]]))
    yy = cv2.filter2D(height, -1, np.array([[1.0], [-2.0], [1.0]]))
    xy = cv2.filter2D(height, -1, np.array([[1.0, 0, -1.0], [0, 0, 0], [-1.0, 0, 1.0]]) / 4)
    reliable = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float64)
    weight = reliable * height
    factor = max(1, span // 96)
    size = (-(-inside.shape[1] // factor), -(-inside.shape[0] // factor))
    small = [cv2.resize(part * weight, size, interpolation=cv2.INTER_AREA) for part in ((xx - yy) / 2, xy)]
    total = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    sigma = 0.05 * span / factor
    one, two, norm = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (*small, total))
    lean = np.clip(np.hypot(one, two) / np.maximum(norm, 1e-9), 0, 2)
    # The tensor's size has a cone where its direction turns; left alone it would show as a tip.
    lean = lean * lean / (lean + 0.2)
    ratio = (
        1
        + cv2.GaussianBlur(lean * norm, (0, 0), sigma)
        / np.maximum(cv2.GaussianBlur(norm, (0, 0), sigma), 1e-9)
        / 2
    )
    return np.asarray(cv2.resize(ratio, inside.shape[::-1], interpolation=cv2.INTER_LINEAR))
