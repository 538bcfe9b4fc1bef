"""The texture atlas: the photo on the left half for the front, its mirror image or a smooth fill on the right."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.engines.silhouette.grid import Bools
from daemon.engines.silhouette.relief import ramp
from daemon.engines.silhouette.subject import Subject

Colours = NDArray[np.float32]

GUTTER = 8  # texels of dilated colour around the object, for filtering and mip levels


def half_scale(subject: Subject, texture: int) -> float:
    """Texels per pixel: 1 where the object fits into `texture` texels, less where it does not."""
    side = max(subject.pixels.shape[:2]) + 2 * GUTTER
    return min(1.0, float(texture / side))


def atlas(subject: Subject, texture: int, mirrored: bool) -> tuple[Image.Image, float]:
    """The picture [front | back] (RGB) and its texels per pixel of `subject`; each half has a gutter."""
    scale = half_scale(subject, texture)
    pixels = subject.pixels
    gutter = round(GUTTER / scale)
    pixels = cv2.copyMakeBorder(pixels, gutter, gutter, gutter, gutter, cv2.BORDER_CONSTANT, value=0)
    if scale < 1:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        # Pillow weighs colours by their alpha, so that the background does not seep in at the outline.
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    front = dilated(pixels)
    back = front if mirrored else smooth_back(front, pixels[..., 3] >= 128)
    return Image.fromarray(np.concatenate([front, back], axis=1)), scale


def dilated(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of the RGBA `pixels`, with the object's own colours carried over and past its soft outline.

    What counts as object (alpha of a half or more) keeps its colour; what is beyond fades into the dilation.
    """
    colours = pixels[..., :3].astype(np.float32)
    alpha = pixels[..., 3].astype(np.float32) / 255
    sure = ramp(alpha, 0.2, 0.5).astype(np.float32)
    around = push_pull(colours, sure)
    mixed = around + (colours - around) * sure[..., None]
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


def push_pull(colours: Colours, weight: Colours) -> Colours:
    """Fill where `weight` is 0 from where it is not, coarse to fine.

    After S. Gortler et al., "The Lumigraph", SIGGRAPH 1996.
    """
    height, width = weight.shape
    weighted = colours * weight[..., None]
    if max(height, width) <= 2 or bool(weight.all()):
        return np.asarray(
            weighted.sum((0, 1)) / np.maximum(weight.sum(), 1e-6) + 0 * colours, dtype=np.float32
        )
    half = ((width + 1) // 2, (height + 1) // 2)
    low = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    low_colours = cv2.resize(weighted, half, interpolation=cv2.INTER_AREA) / np.maximum(low, 1e-6)[..., None]
    coarse = push_pull(low_colours, np.minimum(1, 4 * low).astype(np.float32))
    up = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(up + (colours - up) * weight[..., None], dtype=np.float32)


def smooth_back(front: NDArray[np.uint8], solid: Bools) -> NDArray[np.uint8]:
    """The rim's colours carried smoothly across: what the photo does not show is not made up."""
    depth = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    side = max(solid.shape)
    rim = (solid & (depth <= max(3.0, 0.02 * side))).astype(np.float32)
    factor = max(1, max(solid.shape) // 256)
    size = (-(-solid.shape[1] // factor), -(-solid.shape[0] // factor))
    weight = cv2.resize(rim, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(front.astype(np.float32) * rim[..., None], size, interpolation=cv2.INTER_AREA)
    filled = push_pull(small / np.maximum(weight, 1e-6)[..., None], np.minimum(1, 4 * weight))
    filled = cv2.GaussianBlur(filled, (0, 0), 0.03 * max(size))
    far = cv2.resize(filled, solid.shape[::-1], interpolation=cv2.INTER_LINEAR)
    # Along the rim the back continues the front, texel by texel, so that no seam shows.
    share = ramp(depth, 1.0, max(4.0, 0.06 * side)).astype(np.float32)[..., None]
    mixed = front + (far - front) * share
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


def is_profile(subject: Subject) -> bool:
    """Whether the outline is one that looks alike from behind: long, branched or one-sided, not cut by the frame."""
    alpha = subject.alpha
    factor = max(1, max(alpha.shape) // 256)
    size = (max(1, alpha.shape[1] // factor), max(1, alpha.shape[0] // factor))
    solid = (cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) >= 128).astype(np.uint8)
    points = cv2.findNonZero(solid)
    if points is None:
        return True
    (_, (width, height), _) = cv2.minAreaRect(points)
    long = (max(width, height) + 1) / (min(width, height) + 1) >= 1.8
    hull = np.zeros_like(solid)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    branched = float(solid.sum()) < 0.75 * float(hull.sum())
    return bool(long or branched or _lopsided(solid))


def _lopsided(solid: NDArray[np.uint8]) -> bool:
    """Whether the outline differs from its mirror image about the vertical through its centroid."""
    columns = solid.sum(axis=0, dtype=np.float64)
    centre = float((columns * np.arange(len(columns))).sum() / columns.sum())
    flipped = cv2.warpAffine(
        solid,
        np.array([[-1.0, 0, 2 * centre], [0, 1.0, 0]]),
        solid.shape[::-1],
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return float((solid & flipped).sum()) < 0.75 * float((solid | flipped).sum())
