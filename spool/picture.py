"""What a picture file looks like from outside: enough to sort files without decoding them.

Decoding is the worker's work; here the first and last bytes are read, so that a dropped text file is told
at once and a picture that is still being copied is left alone.
"""

from __future__ import annotations

import os
from pathlib import Path

HEAD = 32

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
ACCEPTED = "PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF"

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")
"""The same in Pillow's words. JPEG also opens the multi-picture JPEGs of phones (MPO)."""


def suffix_of(head: bytes) -> str | None:
    """The file suffix for a picture that starts with `head` (at least `HEAD` bytes of it), or None.

    Names are not believed: people rename files.
    """
    for magic, suffix in _MAGIC:
        if head.startswith(magic):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"avif", b"avis"):
            return ".avif"
        if head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            return ".heic"
    return None


def looks_whole(path: Path) -> bool:
    """Whether the file ends as a complete picture of its kind does.

    False also for kinds that have no end mark: the caller then waits for the size to stand still.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        head = os.pread(file.fileno(), HEAD, 0)
        tail = os.pread(file.fileno(), 12, max(0, size - 12))
    suffix = suffix_of(head)
    if suffix == ".png":
        return tail[4:8] == b"IEND"
    if suffix == ".jpg":
        return tail.endswith(b"\xff\xd9")
    if suffix == ".gif":
        return tail.endswith(b"\x3b")
    if suffix == ".webp":
        return size == int.from_bytes(head[4:8], "little") + 8
    return False
