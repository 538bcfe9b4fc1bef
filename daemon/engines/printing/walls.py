"""How thick the walls are."""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import NDArray

from daemon.engines.printing.surface import Surface

SAMPLES = 20_000
_SEED = 0


def thicknesses(surface: Surface) -> NDArray[np.float64]:
    """Wall thickness at 20,000 points spread evenly over a closed surface, in the unit of its positions.

    At each point a ray goes straight in, and the thickness is the way to where it leaves: the shape diameter
    (Shapira et al. 2008) with its central ray only. Points whose ray finds no way out are left out. Edges and
    tips are thin by nature: read the share, not the single smallest value.
    """
    a, b, c = (surface.positions[surface.faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    doubled = np.linalg.norm(across, axis=1)
    random = np.random.default_rng(_SEED)
    chosen = random.choice(len(doubled), SAMPLES, p=doubled / doubled.sum())
    first, second = random.random((2, SAMPLES, 1))
    root = np.sqrt(first)
    points = (1 - root) * a[chosen] + root * (1 - second) * b[chosen] + root * second * c[chosen]
    inward = -across[chosen] / doubled[chosen, None]
    # Started a little inside, or rounding lets a ray hit the face it starts from.
    step = float(np.ptp(surface.positions, axis=0).max()) * 1e-7
    tree = igl.AABB()
    tree.init(surface.positions, surface.faces)
    face, distance, _ = tree.intersect_ray_first(
        surface.positions, surface.faces, points + step * inward, inward
    )
    return np.asarray(distance[face >= 0] + step, dtype=np.float64)
