"""What a decoded surface needs before it is a model: plain functions on arrays, for the CPU.

They stand in for the checkout's post-processors, which need pymeshlab and leave temporary files behind.
"""

from __future__ import annotations

import fast_simplification
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from trimesh import Trimesh

from daemon.engines.base import Progress
from daemon.engines.weld import weld as places
from daemon.errors import BadJob

FLOATER = 0.005
"""Pieces with a smaller share of the faces than this are noise of the decoder (upstream's FloaterRemover)."""

Points = NDArray[np.float64]
Faces = NDArray[np.int64]


def tidy(points: NDArray[np.float32], faces: NDArray[np.int32], budget: int, progress: Progress) -> Trimesh:
    """Weld, drop degenerate faces and floaters, reduce to at most `budget` faces; longest side 1 m, centred.

    Raises `BadJob` where nothing is left.
    """
    progress(0.0, "welding the surface")
    welded, kept = weld(np.asarray(points, np.float64), np.asarray(faces, np.int64))
    progress(0.2, "removing floaters")
    welded, kept = without_floaters(welded, kept)
    if len(kept) == 0:
        raise BadJob("no surface came out of this photo; try another seed, or a photo that shows it clearer")
    progress(0.3, f"reducing {len(kept):,} faces")
    welded, kept = reduced(welded, kept, budget)
    low, high = welded.min(axis=0), welded.max(axis=0)
    welded = (welded - (low + high) / 2) / max(float((high - low).max()), 1e-12)
    progress(1.0, f"{len(kept):,} faces")
    return Trimesh(welded, kept, process=False, validate=False)


def weld(points: Points, faces: Faces) -> tuple[Points, Faces]:
    """Vertices at the same place become one; faces that collapse go, and so do vertices without a face."""
    count, place, merged = places(Trimesh(points, faces, process=False, validate=False))
    spots = np.empty((count, 3))
    spots[place] = points
    return compact(spots, merged)


def compact(points: Points, faces: Faces) -> tuple[Points, Faces]:
    """Without faces that use a vertex twice, and without vertices that no face uses."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    used = np.zeros(len(points), dtype=bool)
    used[faces] = True
    return points[used], (np.cumsum(used) - 1)[faces]


def without_floaters(points: Points, faces: Faces) -> tuple[Points, Faces]:
    """Only the pieces that have their share of the faces."""
    if len(faces) == 0:
        return points, faces
    start, end = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(len(points), len(points)))
    _, piece = connected_components(graph, directed=False)
    of_face = piece[faces[:, 0]]
    count = np.bincount(of_face)
    return compact(points, faces[count[of_face] >= FLOATER * len(faces)])


def reduced(points: Points, faces: Faces, budget: int) -> tuple[Points, Faces]:
    """At most `budget` faces, by quadric edge collapse."""
    for aggression in (5, 7, 9):  # the gentlest that reaches the budget: 7 is the library's own
        if len(faces) <= budget:
            break
        fewer, kept = fast_simplification.simplify(
            points.astype(np.float32), faces.astype(np.int32), target_count=budget, agg=aggression
        )
        points, faces = weld(np.asarray(fewer, np.float64), np.asarray(kept, np.int64))
    return points, faces
