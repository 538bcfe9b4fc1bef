"""The file a person sent, as an upright 8-bit picture or as a sentence that says why not.

Sizes are read from the header before a pixel is decoded, so a few kilobytes that unpack to gigabytes are
turned away for nothing. Formats are an explicit list: Pillow's other decoders are never reached.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pi_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from daemon.errors import BadJob
from spool.picture import ACCEPTED, FORMATS, suffix_of

SUFFIXES = (".png", ".jpg", ".webp", ".avif", ".heic", ".gif", ".bmp", ".tif")

# Everything Pillow's decoders raise for bytes that are not what their header promised.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    OverflowError,
    RuntimeError,
    AssertionError,
)

# Warning filters and Pillow's own pixel limit belong to the whole process: one photo is decoded at a time.
_DECODING = threading.Lock()

_NOT_PICTURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"glTF", "a 3D model (GLB)"),
    (0, b"MZ", "a Windows program"),
    (0, b"\x7fELF", "a program"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL ", "a JPEG XL picture"),
    (4, b"jP  ", "a JPEG 2000 picture"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"ID3", "a sound file"),
    (8, b"AVI ", "a video"),
    (8, b"WAVE", "a sound file"),
)


def register_decoders() -> None:
    """Load every decoder now, where one is otherwise loaded by the first picture of its kind."""
    from PIL import (  # noqa: F401
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    Image.preinit()
    pi_heif.register_heif_opener()


def open_photo(path: Path, max_pixels: int, max_side: int, min_side: int) -> Image.Image:
    """Decode the picture at `path` to an upright RGB, or RGBA where it is partly transparent, uint8 image.

    The first frame of an animation, in sRGB, without metadata. Raises `BadJob`, with what to do, for everything
    that is no such picture or has sides shorter than `min_side` or longer than `max_side` pixels or more than
    `max_pixels` in all; `OSError` where the file cannot be read at all.
    """
    with path.open("rb") as file:
        return read_photo(file, max_pixels, max_side, min_side)


def read_photo(file: BinaryIO, max_pixels: int, max_side: int, min_side: int) -> Image.Image:
    """`open_photo` for a file that is open already."""
    with _DECODING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pi_heif.register_heif_opener()
        with _header(file) as picture:
            _check_size(picture.size, max_pixels, max_side, min_side)
            upright = _decode(picture)
    flat = _without_empty_alpha(_to_8_bit_srgb(upright))
    flat.info.clear()
    return flat


@contextmanager
def _header(file: BinaryIO) -> Iterator[Image.Image]:
    """The picture with its header read and no pixel decoded."""
    start = file.read(1000)
    if not start:
        raise BadJob("The file is empty. Was it still being copied? Send it again.")
    limit, Image.MAX_IMAGE_PIXELS = (
        Image.MAX_IMAGE_PIXELS,
        None,
    )  # `_check_size` names the size and what to do
    try:
        picture = Image.open(file, formats=FORMATS)
    except _DAMAGE as error:
        _pass_on_disk_error(error)
        suffix = suffix_of(start)
        if suffix in SUFFIXES and not _is_text(start):
            raise _damaged(suffix[1:].upper(), error) from error
        raise BadJob(_what_instead(start)) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    with picture:
        yield picture


def _pass_on_disk_error(error: Exception) -> None:
    """A failing disk is not a damaged picture: only the kernel's errors carry a number."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _check_size(size: tuple[int, int], max_pixels: int, max_side: int, min_side: int) -> None:
    width, height = size
    shown = f"The picture is {width} x {height} pixels"
    if max(size) > max_side:
        raise BadJob(
            f"{shown}, and no side may be longer than {max_side}. "
            "Send a smaller copy, or raise PROTOSCALE_MAX_SIDE (and PROTOSCALE_MAX_PIXELS)."
        )
    if width * height > max_pixels:
        raise BadJob(
            f"{shown} ({width * height / 1e6:.3g} megapixels), and the limit is {max_pixels / 1e6:.3g} megapixels. "
            "Send a smaller copy, or raise PROTOSCALE_MAX_PIXELS."
        )
    if min(size) < min_side:
        raise BadJob(
            f"{shown}, too small to see an object in. "
            f"Send a photo with at least {min_side} pixels on its shorter side."
        )


def _decode(picture: Image.Image) -> Image.Image:
    """The first frame's pixels, turned the way the camera was held."""
    kind = picture.format or "picture"
    try:
        picture.load()
    except MemoryError as error:
        raise BadJob(f"The {kind} file needs more memory than there is. Send a smaller copy.") from error
    except _DAMAGE as error:
        _pass_on_disk_error(error)
        raise _damaged(kind, error) from error
    try:
        return ImageOps.exif_transpose(picture)
    except _DAMAGE:  # a garbled note on orientation does not spoil the pixels
        return picture.copy()


def _damaged(kind: str, error: Exception) -> BadJob:
    # Pillow's own words for this name the buffer in memory and nothing that helps.
    why = "no picture begins like this" if isinstance(error, UnidentifiedImageError) else error
    return BadJob(
        f"The {kind} file is damaged or cut off ({why}). Was it copied completely? "
        "Open it in an image program, save it again and send that."
    )


def _to_8_bit_srgb(picture: Image.Image) -> Image.Image:
    """RGB or RGBA of any mode Pillow decodes to, colour-managed where a profile is embedded."""
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I"):
        picture = _to_8_bit(picture)
    elif picture.mode == "F":
        raise BadJob(
            "The picture holds floating-point values. Save it with 8 or 16 bits a channel and send that."
        )
    if picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode in ("1", "LA", "La", "PA", "RGBa", "RGBX", "YCbCr", "HSV"):
        picture = picture.convert("LA") if picture.mode == "La" else picture
        picture = picture.convert("RGBA" if "a" in picture.mode.lower() else "RGB")
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    colours = _to_srgb(picture.convert("RGB") if alpha else picture, profile)
    if alpha:
        colours.putalpha(alpha)
    return colours


def _to_8_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bit; Pillow's own conversion cuts off at 255 instead."""
    wide = picture.convert("I")
    _, brightest = wide.getextrema()
    assert isinstance(brightest, (int, float))
    top = 65535 if brightest <= 65535 else 2**31 - 1
    # As floating point: for "I" the rounding of `point` differs between Pillow's versions.
    return wide.convert("F").point(lambda value: value * (255 / top) + 0.5).convert("L")


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB; a profile that is damaged or made for another mode is passed over."""
    if profile:
        try:
            source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            managed = ImageCms.profileToProfile(picture, source, srgb, outputMode="RGB")
            if managed is not None:
                return managed
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    if picture.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.applyTransform(picture, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or picture
    return picture.convert("RGB")


def _without_empty_alpha(picture: Image.Image) -> Image.Image:
    """RGB where the alpha channel says nothing; raises where it says that there is nothing."""
    if picture.mode != "RGBA":
        return picture
    lowest, highest = picture.getchannel("A").getextrema()
    if highest == 0:
        raise BadJob(
            "The picture is transparent everywhere: there is no object in it. Send one that shows something."
        )
    return picture.convert("RGB") if lowest == 255 else picture


def _what_instead(start: bytes) -> str:
    """Why these bytes are no picture we open, as far as their beginning tells."""
    ask = f"Send a {ACCEPTED} file."
    if start[4:8] == b"ftyp":
        return f"This is not a picture but a video. {ask}"
    for offset, magic, name in _NOT_PICTURES:
        if start.startswith(magic, offset):
            return f"This is not a picture that can be read here but {name}. {ask}"
    if b"<svg" in start.lower():
        return f"This is a vector drawing (SVG). Export it as PNG and send that. {ask}"
    if _is_text(start):
        return f"This is not a picture but a text file, whatever its name says. {ask}"
    return f"This is not a picture, or its beginning is damaged. {ask}"


def _is_text(start: bytes) -> bool:
    if b"\0" in start:
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4  # only the cut itself fell inside a character
    return True
