"""Every kind of file that people send as a photo opens, the right way up and with nothing but its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.photos import BLUE, RED, near, opened, two_halves


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_every_accepted_format_opens_as_rgb(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo"
    two_halves().save(path, kind)
    photo = opened(path)
    assert (photo.mode, photo.size) == ("RGB", (60, 40))
    assert near(photo.getpixel((10, 20)), RED, 16)
    assert near(photo.getpixel((50, 20)), BLUE, 16)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_of_several_frames_the_first_counts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "animated"
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE, (0, 255, 0))]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    assert near(opened(path).getpixel((20, 20)), RED, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (40, 60))
    for box, colour in zip(
        ((0, 0, 20, 30), (20, 0, 40, 30), (0, 30, 20, 60), (20, 30, 40, 60)),
        ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
        strict=True,
    ):
        upright.paste(colour, box)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera was turned clockwise, so the file lies anticlockwise
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "phone.jpg", exif=exif, quality=95, subsampling=0)
    photo = opened(tmp_path / "phone.jpg")
    assert photo.size == (40, 60)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(upright)).mean() < 4
    assert not photo.getexif()


def test_garbled_exif_is_ignored(tmp_path: Path) -> None:
    two_halves().save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1\2")
    assert opened(tmp_path / "odd.jpg").size == (60, 40)


def test_metadata_is_dropped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "taken at home")
    two_halves().save(tmp_path / "a.png", exif=exif, pnginfo=note, dpi=(300, 300))
    photo = opened(tmp_path / "a.png")
    photo.save(tmp_path / "b.png")
    assert b"taken at home" not in (tmp_path / "b.png").read_bytes()
    assert b"Camera" not in (tmp_path / "b.png").read_bytes()
    assert photo.info == {}
