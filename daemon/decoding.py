"""`open_photo` in a process of its own: what a photo does to its decoder never happens to a worker.

`python -m daemon.decoding` is the process that forks these (`spool.zygote`). The answer of a child is one line of
JSON, then the pixels.
"""

from __future__ import annotations

import atexit
import io
import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from daemon.errors import BadJob
from daemon.photo import read_photo, register_decoders
from spool import confine
from spool.zygote import Zygote, serve

SECONDS = 60
FLOOR = 256 << 20
PER_PIXEL = 32
"""Bytes of memory per allowed pixel: the decoder's planes, the picture, and two copies on the way to 8-bit sRGB."""
_LINE = 4096
"""Bytes that the line of JSON may take."""


def decode(path: Path, max_pixels: int, max_side: int, min_side: int, longest: int) -> Image.Image:
    """`open_photo`, in a confined child, with no side longer than `longest` pixels afterwards.

    Raises `BadJob` where the file is no usable picture or needs more memory or time than a photo may, `OSError`
    where it cannot be read at all.
    """
    with path.open("rb") as file:
        try:
            told = _zygote(os.getpid()).call(
                (max_pixels, max_side, min_side, longest),
                file,
                SECONDS,
                _LINE + 4 * min(max_pixels, longest**2),
            )
        except confine.OverLimits as error:
            raise BadJob(
                f"The picture cannot be decoded: {error}. Open it in an image program, save it again and send that."
            ) from None
    return _picture(told, path)


def warm() -> None:
    """Start what `decode` needs, and do not wait for it."""
    _zygote(os.getpid()).warm()


@cache
def _zygote(process: int) -> Zygote:
    """The one of this process: a fork of it must not talk over its parent's line."""
    made = Zygote("daemon.decoding")
    # A worker ends without it, in a hurry: the other process sees the end of its line.
    atexit.register(made.stop)
    return made


def _picture(told: bytes, path: Path) -> Image.Image:
    line, _, pixels = told.partition(b"\n")
    answer = json.loads(line)
    if "bad" in answer:
        raise BadJob(answer["bad"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["text"], str(path))
    return Image.frombytes(answer["mode"], tuple(answer["size"]), pixels)


def work(arguments: Sequence[int], file: BinaryIO, answer: BinaryIO) -> None:
    """The child: confine, decode, answer."""
    max_pixels, max_side, min_side, longest = arguments
    try:
        # Read whole: libtiff duplicates the descriptor of a real file, and there will be none to have.
        content = io.BytesIO(file.read())
        confine.enter(FLOOR + PER_PIXEL * max_pixels, SECONDS)
        photo = read_photo(content, max_pixels, max_side, min_side)
        photo.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        pixels = photo.tobytes()
    except BadJob as error:
        answer.write(json.dumps({"bad": str(error)}).encode())
    except MemoryError:
        answer.write(
            json.dumps(
                {"bad": "The picture needs more memory than a photo may. Send a smaller copy."}
            ).encode()
        )
    except OSError as error:
        answer.write(json.dumps({"errno": error.errno, "text": error.strerror}).encode())
    else:
        answer.write(json.dumps({"mode": photo.mode, "size": photo.size}).encode() + b"\n")
        answer.write(pixels)


if __name__ == "__main__":
    register_decoders()
    serve(work)
