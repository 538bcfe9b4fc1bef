"""The two strong repairs: uniting closed parts exactly, and making a whole surface anew from cells."""

from __future__ import annotations

import igl
import manifold3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from daemon.engines.printing.surface import Surface

CELLS = 160
"""Along the longest side, where the surface has to be made anew."""
_PIECES = 64
"""More loose parts than this are not united one by one."""


def united(surface: Surface) -> Surface | None:
    """The boundary of the union of its pieces (Manifold's exact booleans); None where a piece has no inside.

    Cavities, pieces turned inside out within another, are beyond a plain union and are left to `anew`.
    """
    labels = surface.piece_of_face
    if not surface.closed or not 0 < labels.max() < _PIECES:
        return None
    parts = []
    for label in range(labels.max() + 1):
        piece = surface.with_faces(surface.faces[labels == label])
        if piece.volume <= 0:
            return None
        mesh = manifold3d.Mesh64(piece.positions, piece.faces.astype(np.uint64))
        parts.append(manifold3d.Manifold(mesh))
        if parts[-1].status() != manifold3d.Error.NoError:
            return None
    whole = manifold3d.Manifold.batch_boolean(parts, manifold3d.OpType.Add).to_mesh64()
    return Surface(
        np.asarray(whole.vert_properties)[:, :3].copy(), np.asarray(whole.tri_verts, dtype=np.int64)
    ).compact()


def anew(surface: Surface) -> Surface | None:
    """The boundary of where the generalised winding number is above one half, from a grid of cells.

    The number (Jacobson et al. 2013, in the fast form of Barill et al. 2018) says how far a point is inside even
    where the surface has holes, crosses itself or lies double. Marching cubes then places the new surface by
    the distance to the old one. None where nothing is inside.
    """
    low, high = surface.positions.min(axis=0), surface.positions.max(axis=0)
    step = float((high - low).max()) / CELLS
    shape = np.ceil((high - low) / step).astype(int) + 5
    axes = [low[axis] + (np.arange(shape[axis]) - 2) * step for axis in range(3)]
    # x runs fastest, as marching cubes wants it.
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    grid = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
    inside = _winding(surface, grid) > 0.5
    if not inside.any():
        return None
    value = np.where(inside, -step, step)
    near = _beside_a_change(inside.reshape(z.shape)).ravel()
    tree = igl.AABB()
    tree.init(surface.positions, surface.faces)
    squared = np.asarray(tree.squared_distance(surface.positions, surface.faces, grid[near])[0])
    # Far points and exact zeros would put new corners on top of grid points.
    distance = np.clip(np.sqrt(squared), step * 0.02, step)
    value[near] = np.where(inside[near], -distance, distance)
    positions, faces, _ = igl.marching_cubes(value, grid, *(int(side) for side in shape), 0.0)
    made = Surface(np.asarray(positions), np.asarray(faces, dtype=np.int64)).compact()
    return made if made.volume >= 0 else Surface(made.positions, made.faces[:, ::-1].copy())


def _winding(surface: Surface, points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(igl.fast_winding_number(surface.positions, surface.faces, points))


def _beside_a_change(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grid points with a neighbour along an axis on the other side: the only ones marching cubes looks at."""
    cross = ndimage.generate_binary_structure(3, 1)
    grown = ndimage.binary_dilation(inside, cross)
    shrunk = ndimage.binary_erosion(inside, cross, border_value=1)
    return np.asarray(grown & ~shrunk)
