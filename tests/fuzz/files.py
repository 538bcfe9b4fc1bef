"""Files that no camera made, and names that no careful person gives: what an inbox gets in the end."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator

from PIL import Image

from spool.ids import new_id
from tests.support import picture

_SIZES = ((96, 80), (17, 300), (16, 16), (3, 5), (640, 480))
_MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P", "L"),
    "BMP": ("RGB", "L", "1"),
    "TIFF": ("RGB", "RGBA", "CMYK", "L", "F", "I"),
    "AVIF": ("RGB",),
}
_NOT_PICTURES = (
    b"", b"\0", b"\x89PNG", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0",
    b"MM\0*", b"%PDF-1.7\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"PK\x03\x04" + b"\0" * 60, b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    b"\0\0\0\x1cftypavif", b"\0\0\0\x18ftypheic" + b"\0" * 40, b"glTF\x02\0\0\0", b"#!/bin/sh\nreboot\n",
    b"{}", "фото".encode(), b"\xef\xbb\xbftext", b"P6\n9999 9999\n255\n", b"\x1f\x8b\x08", b"8BPS\0\x01",
    b"BM" + b"\xff" * 60, b"GIF89a" + b"\xff" * 60, b"II*\0" + b"\x08\0\0\0" + b"\xff" * 60,
)  # fmt: skip


def whole_pictures() -> list[bytes]:
    """One whole picture of every accepted format, mode and a few sizes."""
    made = []
    for kind, modes in _MODES.items():
        for mode in modes:
            for size in _SIZES:
                image = Image.linear_gradient("L").resize(size).convert("RGB")
                image = (
                    image.convert("L").convert(mode) if mode in ("I;16", "I", "F") else image.convert(mode)
                )
                buffer = io.BytesIO()
                image.save(buffer, kind)
                made.append(buffer.getvalue())
    return [*made, picture(), picture(kind="JPEG", mode="RGB")]


def bad_files(count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` files: no pictures at all, whole ones, and mostly pictures that something happened to."""
    chance = random.Random(seed)
    whole = whole_pictures()
    yield from (*_NOT_PICTURES, *whole)[:count]
    for _ in range(count - len(_NOT_PICTURES) - len(whole)):
        content = chance.choice(whole)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            content = chance.choice(_DAMAGES)(content, chance)
        yield content


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 30)) if changed else 0):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _flip_the_head(content: bytes, chance: random.Random) -> bytes:
    return _flip(content[:64], chance) + content[64:]


def _wipe(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    length = chance.randrange(len(content) + 1 - start)
    return content[:start] + chance.choice((b"\0", b"\xff")) * length + content[start + length :]


def _double(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + content[chance.randrange(at + 1) :]


def _grow(content: bytes, chance: random.Random) -> bytes:
    at = chance.choice((chance.randrange(len(content) + 1), len(content)))
    return content[:at] + chance.randbytes(chance.choice((1, 40, 5000))) + content[at:]


def _large_number(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(min(len(content), 80) + 1)
    return (
        content[:at]
        + chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\x40\0"))
        + content[at + 4 :]
    )


_DAMAGES = (_cut, _flip, _flip_the_head, _wipe, _double, _grow, _large_number)


def names(count: int, seed: int = 0) -> Iterator[str]:
    """`count` different file names, as `os.fsdecode` gives them; any byte but `/` and NUL may be in one."""
    chance = random.Random(seed)
    odd = [
        "photo.png", "photo (1).png", " photo.png", "photo.png ", "photo.png.", "PHOTO.JPG",
        "photo", "-rf", "--help.png",
        "a'b.png", 'a"b.png', "a\nb.png", "a\tb.png", "a\rb.png", "a\x1b[31mb.png", "a\\b.png",
        "..png", "...", "a..png",
        "$(reboot).png", "`id`.png", "; rm -rf ~.png", "a|b&c.png",
        "<img src=x onerror=alert(1)>.png", "%00.png", "%2e%2e%2f.png",
        "写真.png", "фото.jpg", "صورة.png", "e\u0301.png", "\u202egnp.exe", "\U0001f600.png",
        "\ufeff.png", "\u00a0.png",
        "con.png", "nul", "a:b.png", "a*b?.png", "request.json", "status.json", "cancel",
        "input.png", "tmp", "inbox",
        "x" * 255, "é" * 127, "x" * 251 + ".png", new_id(), f"{new_id()}.png",
        "0190b5a0-0000-4000-8000-000000000000",
        os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"\xff\xfe\xfd"), os.fsdecode(b"\xed\xa0\x80.png"),
        "{}.png", "%s%n.png",
        "adopt-x.png", "gone-x.png", ".hidden.png", "half.png.part", "half.crdownload", "backup.png~", "a.tmp",
    ]  # fmt: skip
    seen: set[str] = set()
    for name in odd[:count]:
        seen.add(name)
        yield name
    while len(seen) < count:
        raw = bytes(chance.choice(_BYTES) for _ in range(chance.randrange(1, 60)))
        name = os.fsdecode(raw) + chance.choice((".png", ".JPG", "", ".webp"))
        if name not in seen and name not in (".", ".."):
            seen.add(name)
            yield name


_BYTES = bytes(byte for byte in range(1, 256) if byte != ord("/"))
