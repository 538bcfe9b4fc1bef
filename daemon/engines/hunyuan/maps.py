"""Texture maps between the device that projects them and the CPU that finishes them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Maps:
    """Texture maps as far as the views reached, and what is needed to fill the rest without a device.

    `albedo` is (h, w, 3) uint8, `surface` (h, w, 2) uint8: metallic, roughness. `painted` is (h, w) bool.
    `holes` are texels of the mesh that no view saw: their place in the flattened map, face, and weights (n, 3).
    """

    albedo: NDArray[np.uint8]
    surface: NDArray[np.uint8]
    painted: NDArray[np.bool_]
    holes: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
