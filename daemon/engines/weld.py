"""Vertices that share a place: a texture seam splits them, but the surface is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from trimesh import Trimesh


def weld(mesh: Trimesh) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Merge vertices whose float32 positions are equal.

    Returns how many distinct places there are, the place of every vertex (shape (vertices,)), and the faces
    in terms of places (shape (faces, 3)). float32 is what a GLB holds, so a mesh welds alike before and
    after it is written; only exact equality counts, so nothing that was apart is joined.
    """
    # Adding zero turns -0.0 into 0.0, which would otherwise differ in its bits.
    positions = np.ascontiguousarray(mesh.vertices, dtype=np.float32) + np.float32(0)
    bits = positions.view(np.uint32).astype(np.uint64)
    order = np.lexsort(((bits[:, 0] << np.uint64(32)) | bits[:, 1], bits[:, 2]))
    ordered = bits[order]
    starts = np.empty(len(order), dtype=np.int64)
    starts[:1] = 0
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(starts)
    count = int(place.max()) + 1 if len(place) else 0
    return count, place, place[mesh.faces]


def smooth_normals(mesh: Trimesh) -> NDArray[np.float32]:
    """Unit vertex normals, shape (vertices, 3), continuous over texture seams.

    Each is the area-weighted mean of the faces around its place. Where that mean vanishes (an unreferenced
    vertex, faces that cancel out) the normal is +z, because glTF allows no other length than one.
    """
    count, place, faces = weld(mesh)
    vertices, corners = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces)
    summed = np.zeros((count, 3))
    one, two = (vertices[corners[:, k]] - vertices[corners[:, 0]] for k in (1, 2))
    for axis, (b, c) in enumerate(((1, 2), (2, 0), (0, 1))):
        across = one[:, b] * two[:, c] - one[:, c] * two[:, b]
        for corner in range(3):
            summed[:, axis] += np.bincount(faces[:, corner], across, count)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    flatless = length[:, 0] <= np.finfo(np.float64).tiny
    unit = summed / np.where(flatless[:, None], 1.0, length)
    unit[flatless] = (0.0, 0.0, 1.0)
    return np.ascontiguousarray(unit[place], dtype=np.float32)
