"""`open_photo` in a process of its own: what a photo does to its decoder never happens to a worker.

    python -m daemon.decoding MAX_PIXELS MAX_SIDE MIN_SIDE LONGEST < photo

prints one line of JSON, then the pixels. The child is the module itself.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from PIL import Image

from daemon.errors import BadJob
from daemon.photo import read_photo, register_decoders
from spool import confine

SECONDS = 60
FLOOR = 256 << 20
PER_PIXEL = 32
"""Bytes of memory per allowed pixel: the decoder's planes, the picture, and two copies on the way to 8-bit sRGB."""


def decode(path: Path, max_pixels: int, max_side: int, min_side: int, longest: int) -> Image.Image:
    """`open_photo`, in a confined child, with no side longer than `longest` pixels afterwards.

    Raises `BadJob` where the file is no usable picture or needs more memory or time than a photo may, `OSError`
    where it cannot be read at all.
    """
    with path.open("rb") as file:
        try:
            told = confine.call("daemon.decoding", (max_pixels, max_side, min_side, longest), file, SECONDS)
        except confine.OverLimits as error:
            raise BadJob(
                f"The picture cannot be decoded: {error}. Open it in an image program, save it again and send that."
            ) from None
    line, _, pixels = told.partition(b"\n")
    answer = json.loads(line)
    if "bad" in answer:
        raise BadJob(answer["bad"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["text"], str(path))
    return Image.frombytes(answer["mode"], tuple(answer["size"]), pixels)


def main() -> None:
    """The child: confine, decode, print."""
    max_pixels, max_side, min_side, longest = (int(argument) for argument in sys.argv[1:])
    register_decoders()
    out = sys.stdout.buffer
    try:
        # Read whole: libtiff duplicates the descriptor of a real file, and there will be none to have.
        file = io.BytesIO(sys.stdin.buffer.read())
        confine.enter(FLOOR + PER_PIXEL * max_pixels, SECONDS)
        photo = read_photo(file, max_pixels, max_side, min_side)
        photo.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        pixels = photo.tobytes()
    except BadJob as error:
        out.write(json.dumps({"bad": str(error)}).encode())
    except MemoryError:
        out.write(
            json.dumps(
                {"bad": "The picture needs more memory than a photo may. Send a smaller copy."}
            ).encode()
        )
    except OSError as error:
        out.write(json.dumps({"errno": error.errno, "text": error.strerror}).encode())
    else:
        out.write(json.dumps({"mode": photo.mode, "size": photo.size}).encode() + b"\n")
        out.write(pixels)


if __name__ == "__main__":
    main()
