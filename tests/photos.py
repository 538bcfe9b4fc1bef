"""Pictures for the tests of photos, and the two ways one may go: opened, or refused with a sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from daemon.errors import BadJob
from daemon.photo import open_photo

RED, BLUE = (255, 0, 0), (0, 0, 255)


def opened(path: Path) -> Image.Image:
    """The photo, opened with the limits that a service has by itself."""
    return open_photo(path, max_pixels=40_000_000, max_side=8192, min_side=16)


def refusal(path: Path) -> str:
    """The sentence with which the photo is refused; it must be."""
    with pytest.raises(BadJob) as caught:
        opened(path)
    return str(caught.value)


def two_halves() -> Image.Image:
    """Left red, right blue, wider than high."""
    picture = Image.new("RGB", (60, 40), RED)
    picture.paste(BLUE, (30, 0, 60, 40))
    return picture


def near(found: object, wanted: tuple[int, ...], within: int) -> bool:
    """Whether a pixel has as many channels as wanted, each at most `within` levels away."""
    assert isinstance(found, tuple)
    return len(found) == len(wanted) and all(abs(a - b) <= within for a, b in zip(found, wanted, strict=True))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of any header, as Pillow would not write it."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
