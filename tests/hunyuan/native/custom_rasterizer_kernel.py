"""A CPU stand-in for the checkout's native kernel, under the name that its `custom_rasterizer` imports."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def rasterize_image(
    positions: Any, triangles: Any, depth: Any, width: int, height: int, truncation: float, use_depth: int
) -> tuple[Any, Any]:
    """Faces (h, w), 1-based, 0 for none, and barycentric coordinates (h, w, 3) of clip-space triangles.

    The nearest face at a pixel's centre wins, as in the kernel this stands for. On ties the lower index does.
    """
    clip = positions.detach().cpu().numpy().astype(np.float64)
    faces = triangles.detach().cpu().numpy()
    screen = clip[:, :3] / clip[:, 3:]
    x = (screen[:, 0] * 0.5 + 0.5) * (width - 1) + 0.5
    y = (screen[:, 1] * 0.5 + 0.5) * (height - 1) + 0.5
    z = screen[:, 2] * 0.49999 + 0.5
    nearest = np.full((height, width), np.inf)
    index = np.zeros((height, width), np.int32)
    weights = np.zeros((height, width, 3), np.float32)
    for number, (a, b, c) in enumerate(faces, start=1):
        area = (x[c] - x[a]) * (y[b] - y[a]) - (x[b] - x[a]) * (y[c] - y[a])
        if area == 0:
            continue
        left, right = max(int(min(x[a], x[b], x[c])), 0), min(int(max(x[a], x[b], x[c])) + 1, width)
        top, bottom = max(int(min(y[a], y[b], y[c])), 0), min(int(max(y[a], y[b], y[c])) + 1, height)
        if left >= right or top >= bottom:
            continue
        px, py = np.arange(left, right) + 0.5, (np.arange(top, bottom) + 0.5)[:, None]
        beta = ((x[c] - x[a]) * (py - y[a]) - (px - x[a]) * (y[c] - y[a])) / area
        gamma = ((px - x[a]) * (y[b] - y[a]) - (x[b] - x[a]) * (py - y[a])) / area
        alpha = 1 - beta - gamma
        far = alpha * z[a] + beta * z[b] + gamma * z[c]
        window = (slice(top, bottom), slice(left, right))
        wins = (alpha >= 0) & (beta >= 0) & (gamma >= 0) & (far < nearest[window])
        nearest[window][wins] = far[wins]
        index[window][wins] = number
        weights[window][wins] = np.stack([alpha, beta, gamma], axis=-1)[wins]
    return torch.from_numpy(index), torch.from_numpy(weights)
