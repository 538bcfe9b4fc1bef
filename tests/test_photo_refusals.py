"""Files that become no photo: each is refused with the sentence that says why."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.errors import BadJob
from daemon.photo import open_photo
from tests.photos import opened, png, refusal, two_halves


def test_floating_point_tiff_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40), 0.5, np.float32)).save(tmp_path / "float.tif")
    assert "8 or 16 bits" in refusal(tmp_path / "float.tif")


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
