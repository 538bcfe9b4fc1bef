"""UV coordinates for a bare mesh, with xatlas."""

from __future__ import annotations

import numpy as np
import xatlas
from trimesh import Trimesh
from trimesh.visual.texture import TextureVisuals

from daemon.errors import EngineError

PADDING = 4
"""Texels between two charts, at the resolution the charts are packed for."""
PACKED_FOR = 2048


def unwrap(mesh: Trimesh) -> Trimesh:
    """The same surface cut into charts: vertices on seams are doubled, each has UV coordinates in 0 to 1."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32))
    packing = xatlas.PackOptions()
    packing.padding = PADDING
    packing.resolution = PACKED_FOR
    packing.bilinear = True
    atlas.generate(xatlas.ChartOptions(), packing)
    if atlas.atlas_count != 1:  # the charts did not fit into one sheet of that size
        atlas.generate(xatlas.ChartOptions(), xatlas.PackOptions())
    mapping, faces, uv = atlas[0]
    if len(faces) != len(mesh.faces):
        raise EngineError("unwrapping lost faces of the mesh")
    return Trimesh(
        np.asarray(mesh.vertices)[mapping],
        np.asarray(faces, np.int64),
        visual=TextureVisuals(uv=np.clip(uv, 0.0, 1.0)),
        metadata=dict(mesh.metadata),
        process=False,
        validate=False,
    )
