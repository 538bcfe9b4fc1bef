"""Whatever a photo says its colours with, they come out as 8 bits of sRGB, with alpha where it means something."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.photos import BLUE, RED, near, opened, png, two_halves


def test_a_palette_with_a_transparent_colour_becomes_rgba(tmp_path: Path) -> None:
    picture = Image.new("P", (40, 40), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(0, (0, 0, 20, 40))
    picture.save(tmp_path / "icon.png", transparency=0)
    photo = opened(tmp_path / "icon.png")
    assert photo.mode == "RGBA"
    assert photo.getpixel((30, 20)) == (255, 0, 0, 255)
    assert photo.getchannel("A").getpixel((5, 20)) == 0


def test_a_palette_with_several_alphas_becomes_rgba(tmp_path: Path) -> None:
    picture = Image.new("P", (40, 40), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(0, (0, 0, 20, 40))
    picture.save(tmp_path / "icon.png", transparency=bytes([64, 255]))
    photo = opened(tmp_path / "icon.png")
    assert photo.getpixel((5, 20)) == (0, 0, 0, 64)
    assert photo.getpixel((30, 20)) == (255, 0, 0, 255)


def test_cmyk_jpeg_without_a_profile_has_the_right_colours(tmp_path: Path) -> None:
    two_halves().convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    photo = opened(tmp_path / "print.jpg")
    assert photo.mode == "RGB"
    assert near(photo.getpixel((10, 20)), RED, 8)
    assert near(photo.getpixel((50, 20)), BLUE, 8)


def swapped_profile() -> bytes:
    """sRGB with the tags of the red and the blue primary exchanged: colours differ wildly when it is obeyed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    entries = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_embedded_profile_is_obeyed(tmp_path: Path, mode: str) -> None:
    picture = two_halves().convert(mode)
    if mode == "RGBA":
        picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(tmp_path / "managed.png", icc_profile=swapped_profile())
    photo = opened(tmp_path / "managed.png")
    assert near(photo.convert("RGB").getpixel((10, 20)), BLUE, 4)
    assert photo.mode == ("RGBA" if mode == "RGBA" else "RGB")
    if mode == "RGBA":
        assert near(photo.getchannel("A").getextrema(), (0, 255), 0)


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
def test_a_profile_for_another_mode_or_a_broken_one_is_passed_over(tmp_path: Path, mode: str) -> None:
    broken = b"not a profile" if mode == "RGB" else swapped_profile()
    Image.new("RGB", (40, 40), (200, 200, 200)).convert(mode).save(tmp_path / "odd.jpg", icc_profile=broken)
    assert near(opened(tmp_path / "odd.jpg").getpixel((20, 20)), (200, 200, 200), 4)


def test_lab_tiff(tmp_path: Path) -> None:
    Image.new("LAB", (40, 40), (138, 209, 198)).save(tmp_path / "lab.tif")  # the red of sRGB
    assert near(opened(tmp_path / "lab.tif").getpixel((20, 20)), RED, 12)


@pytest.mark.parametrize("value", [0, 257, 32768, 65535])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, value: int) -> None:
    levels = np.full((40, 40), value, np.uint16)
    levels[0, 0] = 65535
    Image.fromarray(levels).save(tmp_path / "scan.png")
    wanted = round(value / 257)
    assert near(opened(tmp_path / "scan.png").getpixel((20, 20)), (wanted,) * 3, 1)


def test_16_bit_grey_tiff_in_both_byte_orders(tmp_path: Path) -> None:
    levels = np.full((40, 40), 32768, np.uint16)
    Image.fromarray(levels).save(tmp_path / "little.tif")
    big = bytearray((tmp_path / "little.tif").read_bytes())
    assert big[:2] == b"II"
    assert near(opened(tmp_path / "little.tif").getpixel((20, 20)), (128,) * 3, 1)
    Image.frombytes("I;16B", (40, 40), levels.byteswap().tobytes()).save(tmp_path / "big.tif")
    assert near(opened(tmp_path / "big.tif").getpixel((20, 20)), (128,) * 3, 1)


def test_32_bit_integer_tiff(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40), 32768, np.int32)).save(tmp_path / "deep.tif")
    assert near(opened(tmp_path / "deep.tif").getpixel((20, 20)), (128,) * 3, 1)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_alpha_png(tmp_path: Path, colour: int, channels: int) -> None:
    levels = np.full((40, 40, channels), 0x8000, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    (tmp_path / "deep.png").write_bytes(png(40, 40, 16, colour, rows))
    photo = opened(tmp_path / "deep.png")
    wanted = (128, 128, 128) if channels == 3 else (128, 128, 128, 128)
    assert near(photo.getpixel((20, 20)), wanted, 1)


def test_grey_and_bilevel_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (40, 40), 77).save(tmp_path / "grey.png")
    Image.new("1", (40, 40), 1).save(tmp_path / "fax.png")
    Image.new("1", (40, 40), 1).save(tmp_path / "fax.tif", compression="group4")
    assert opened(tmp_path / "grey.png").getpixel((20, 20)) == (77, 77, 77)
    assert opened(tmp_path / "fax.png").getpixel((20, 20)) == (255, 255, 255)
    assert opened(tmp_path / "fax.tif").getpixel((20, 20)) == (255, 255, 255)


def test_grey_with_alpha_keeps_the_alpha(tmp_path: Path) -> None:
    Image.new("LA", (40, 40), (77, 100)).save(tmp_path / "grey.png")
    assert opened(tmp_path / "grey.png").getpixel((20, 20)) == (77, 77, 77, 100)


def test_an_alpha_channel_that_is_opaque_everywhere_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (1, 2, 3, 255)).save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png").mode == "RGB"
