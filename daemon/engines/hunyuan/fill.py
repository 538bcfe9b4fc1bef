"""Filling what no view saw: over the mesh, not over the flat map, so that colours run across seams.

Upstream does this with a native module and OpenCV's inpainting (9 s of CPU at 4096 texels, by reports).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import spsolve
from trimesh import Trimesh

from daemon.engines.hunyuan.maps import Maps
from daemon.engines.weld import weld


def filled(mesh: Trimesh, maps: Maps) -> NDArray[np.uint8]:
    """All five channels, (h, w, 5) uint8: colour, metallic, roughness. No texel is left without a value."""
    texture = np.concatenate([maps.albedo, maps.surface], axis=2)
    high, wide = texture.shape[:2]
    texels, faces, weights = maps.holes
    has = maps.painted.copy()
    if len(texels):
        colours = vertex_colours(mesh, texture, maps.painted)
        corners = colours[np.asarray(mesh.faces)[faces]]
        spots = np.einsum("nk,nkc->nc", weights, corners)
        texture.reshape(-1, 5)[texels] = np.clip(np.round(spots), 0, 255).astype(np.uint8)
        has.reshape(-1)[texels] = True
    return _spread(texture, has) if has.any() else np.full((high, wide, 5), 128, np.uint8)


def vertex_colours(
    mesh: Trimesh, texture: NDArray[np.uint8], painted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """A value for every vertex, (n, channels): its texel's where painted, else the harmonic mean of its neighbours.

    The membrane between known values: L x = 0 on the graph of welded vertices.
    """
    count, place, faces = weld(mesh)
    high, wide = painted.shape
    uv = np.asarray(mesh.visual.uv)
    column = np.clip((uv[:, 0] * (wide - 1)).round().astype(int), 0, wide - 1)
    row = np.clip(((1 - uv[:, 1]) * (high - 1)).round().astype(int), 0, high - 1)
    known = painted[row, column]
    weight = np.bincount(place[known], minlength=count).astype(np.float64)
    channels = texture.shape[2]
    values = np.zeros((count, channels))
    for at in range(channels):
        values[:, at] = np.bincount(place[known], texture[row, column, at][known], count)
    given = weight > 0
    values[given] /= weight[given, None]
    if not given.any():
        return np.full((len(place), channels), 128.0)
    start, end = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    ones = np.ones(len(start))
    graph = coo_array((ones, (start, end)), shape=(count, count))
    graph = csr_array(graph + graph.T)
    unknown = np.flatnonzero(~given)
    if len(unknown):
        # A whisper of the mean everywhere keeps pieces solvable that no view saw at all.
        mean, whisper = values[given].mean(axis=0), 1e-6
        laplacian = diags_array(graph.sum(axis=1) + whisper) - graph
        rows = csr_array(laplacian)[unknown]
        right = whisper * mean - rows[:, np.flatnonzero(given)] @ values[given]
        solved = spsolve(rows[:, unknown].tocsc(), right)
        values[unknown] = solved.reshape(len(unknown), channels)
    return values[place]


def _spread(texture: NDArray[np.uint8], has: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Each texel outside the charts takes the nearest one inside, so that filtering bleeds nothing in."""
    _, label = cv2.distanceTransformWithLabels(
        (~has).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = np.flatnonzero(has.ravel())
    of_label = np.zeros(int(label.max()) + 1, np.int64)
    of_label[label.ravel()[inside]] = inside
    spread: NDArray[np.uint8] = texture.reshape(-1, texture.shape[2])[of_label[label.ravel()]]
    return spread.reshape(texture.shape)
