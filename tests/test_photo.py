"""Every kind of file that people send as a photo: what comes out of it, or the sentence that says why not."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from daemon.errors import BadJob
from daemon.photo import open_photo

RED, BLUE = (255, 0, 0), (0, 0, 255)


def opened(path: Path) -> Image.Image:
    return open_photo(path, max_pixels=40_000_000, max_side=8192, min_side=16)


def refusal(path: Path) -> str:
    with pytest.raises(BadJob) as caught:
        opened(path)
    return str(caught.value)


def two_halves() -> Image.Image:
    """Left red, right blue, wider than high."""
    picture = Image.new("RGB", (60, 40), RED)
    picture.paste(BLUE, (30, 0, 60, 40))
    return picture


def near(found: object, wanted: tuple[int, ...], within: int) -> bool:
    assert isinstance(found, tuple)
    return len(found) == len(wanted) and all(abs(a - b) <= within for a, b in zip(found, wanted, strict=True))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of any header, as Pillow would not write it."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


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


def test_floating_point_tiff_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40), 0.5, np.float32)).save(tmp_path / "float.tif")
    assert "8 or 16 bits" in refusal(tmp_path / "float.tif")


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


def test_fully_transparent_is_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "nothing.png")
    assert "transparent everywhere" in refusal(tmp_path / "nothing.png")


def test_too_large_is_refused_from_the_header_alone(tmp_path: Path) -> None:
    # The header promises 144 million pixels and no pixel follows: decoding would call it damaged.
    (tmp_path / "huge.png").write_bytes(png(12_000, 12_000, 8, 2, b""))
    said = refusal(tmp_path / "huge.png")
    assert "12000 x 12000" in said and "8192" in said and "PROTOSCALE_MAX_SIDE" in said


def test_too_many_pixels_names_the_limit_and_the_variable(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png(8000, 8000, 8, 2, b""))
    said = refusal(tmp_path / "huge.png")
    assert "8000 x 8000" in said and "64 megapixels" in said and "40 megapixels" in said
    assert "PROTOSCALE_MAX_PIXELS" in said


def test_a_raised_limit_is_not_overruled_by_pillow(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png(60_000, 60_000, 8, 2, b""))
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(BadJob, match="damaged or cut off"):  # it went past every check of the size
        open_photo(tmp_path / "huge.png", max_pixels=10**10, max_side=10**5, min_side=16)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("size", [(1, 1), (15, 4000)])
def test_too_small_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "dot.png")
    said = refusal(tmp_path / "dot.png")
    assert f"{size[0]} x {size[1]}" in said and "16 pixels" in said


@pytest.mark.parametrize(
    ("kind", "share"), [("JPEG", 0.6), ("PNG", 0.6), ("WEBP", 0.6), ("BMP", 0.6), ("GIF", 0.6)]
)
def test_a_truncated_picture_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, kind)
    content = whole.getvalue()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
    said = refusal(tmp_path / "cut")
    assert "damaged" in said and "copied completely" in said


def test_flipped_bytes_are_refused_or_decoded_but_never_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "flipped"
    outcomes = set()
    for kind in ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"):
        whole = io.BytesIO()
        two_halves().save(whole, kind)
        for _ in range(30):
            content = bytearray(whole.getvalue())
            for at in rng.integers(0, len(content), 3):
                content[at] = rng.integers(0, 256)
            path.write_bytes(content)
            try:
                outcomes.add(opened(path).mode)
            except BadJob as error:
                outcomes.add("refused")
                assert str(error).endswith(".")
    assert {"RGB", "refused"} <= outcomes


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "empty" in refusal(tmp_path / "empty.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Shopping list:\n- milk\n", "a text file"),
        (("Grüße, " * 400).encode(), "a text file"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC file is damaged"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "a video"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (bytes(range(128, 256)) * 9 + b"\0", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "PNG file is damaged or cut off"),
        (b"\xff\xd8\xff\xe0", "JPG file is damaged or cut off"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "photo.png").write_bytes(content)
    told = refusal(tmp_path / "photo.png")
    assert said in told
    assert "object at 0x" not in told


def test_a_decoder_outside_the_list_is_not_reached(tmp_path: Path) -> None:
    for kind in ("PPM", "TGA", "ICO", "JPEG2000", "PCX"):
        two_halves().save(tmp_path / "other", kind)
        assert "Send a PNG, JPEG" in refusal(tmp_path / "other")


def test_no_warning_leaks(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(12_000, 12_000, 8, 2, b""))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        refusal(path)
    assert heard == []


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "gone.png")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        opened(tmp_path / "folder")
