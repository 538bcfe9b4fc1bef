"""The part of a cut-out that holds the object, at a size the method can use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from daemon.errors import BadJob

LARGEST_SIDE = 4096  # pixels; more would cost memory and reach neither the grid nor the texture
MARGIN = 2  # pixels kept around the object, so that a soft outline keeps its fall-off


@dataclass(frozen=True)
class Subject:
    """`pixels` (H, W, 4, RGBA uint8) show the cut-out from `(left, top)`, `shrink` photo pixels to each of them."""

    pixels: NDArray[np.uint8]
    left: int
    top: int
    shrink: int

    @property
    def alpha(self) -> NDArray[np.uint8]:
        return self.pixels[..., 3]

    def from_photo(self, points: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Photo pixel coordinates (n, 2) in pixels of this part."""
        return (points - (self.left, self.top)) / self.shrink


def subject(cutout: Image) -> Subject:
    """The object of `cutout` (RGBA). Raises `BadJob` where nothing of it is opaque."""
    box = cutout.getchannel("A").point([255 if value >= 128 else 0 for value in range(256)]).getbbox()
    if box is None:
        raise BadJob(
            "the cut-out is empty: no object was found in the photo; send a photo whose object stands out from "
            "its background, or cut it out yourself and send a PNG with transparency"
        )
    left, top = max(box[0] - MARGIN, 0), max(box[1] - MARGIN, 0)
    right, bottom = min(box[2] + MARGIN, cutout.width), min(box[3] + MARGIN, cutout.height)
    shrink = -(-max(right - left, bottom - top) // LARGEST_SIDE)
    part = cutout.crop((left, top, right, bottom))
    if shrink > 1:
        part = part.reduce(shrink)
    return Subject(np.asarray(part.convert("RGBA")), left, top, shrink)
