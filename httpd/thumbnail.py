"""A small PNG of any picture, made in a confined process: `python -m httpd.thumbnail SIDE MAX_PIXELS < picture`.

No metadata goes out: the pixels are turned the way the camera was held, and written anew.
"""

from __future__ import annotations

import io
import sys
from typing import BinaryIO

from spool import confine
from spool.picture import FORMATS

SECONDS = 20
FLOOR = 128 << 20
PER_PIXEL = 16


def draw(file: BinaryIO, side: int, max_pixels: int) -> bytes:
    """The PNG, made in a child. Raises spool.confine.OverLimits where the picture cannot be decoded."""
    return confine.call("httpd.thumbnail", (side, max_pixels), file, SECONDS)


def main() -> None:
    """The child: confine, decode, print."""
    side, max_pixels = (int(argument) for argument in sys.argv[1:])
    import pi_heif
    from PIL import AvifImagePlugin, Image, ImageOps, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    # The decoders of `FORMATS` and no others: the rest of Pillow's forty take longer to load than most pictures.
    Image.preinit()
    pi_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = max_pixels // 2  # Pillow raises at twice its limit
    # Read whole: libtiff duplicates the descriptor of a real file, and there will be none to have.
    file = io.BytesIO(sys.stdin.buffer.read())
    confine.enter(FLOOR + PER_PIXEL * max_pixels, SECONDS)
    with Image.open(file, formats=FORMATS) as image:
        image.draft("RGB", (side * 2, side * 2))
        small = ImageOps.exif_transpose(image)
        if small.mode not in ("RGB", "RGBA"):
            small = small.convert("RGBA")
        small.thumbnail((side, side))
    small.info.clear()
    small.save(sys.stdout.buffer, "PNG")


if __name__ == "__main__":
    main()
