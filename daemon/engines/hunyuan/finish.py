"""What is left of each step when the device is done with it: run in the worker's finisher, on the CPU.

Imports no torch: the finisher must start fast and stay small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from trimesh import Trimesh

from daemon.engines.base import Progress
from daemon.engines.hunyuan.cleanup import tidy
from daemon.engines.hunyuan.unwrap import unwrap


def finished_shape(
    points: NDArray[np.float32],
    faces: NDArray[np.int32],
    budget: int,
    textured: bool,
    progress: Progress,
) -> Trimesh:
    """A decoded surface as a mesh of at most `budget` faces; with UV coordinates where it will be `textured`."""

    def tidying(share: float, message: str) -> None:
        progress(share * (0.4 if textured else 1.0), message)

    mesh = tidy(points, faces, budget, tidying)
    mesh.metadata["decoded_faces"] = len(faces)
    if textured:
        progress(0.4, f"unwrapping {len(mesh.faces):,} faces")
        mesh = unwrap(mesh)
    progress(1.0, f"{len(mesh.faces):,} faces")
    return mesh
