"""The contact sheet: every picture in its place, whole, on the right ground, with the caption under it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from daemon.contact_sheet import CARD, CHECKS, GAP, LABEL, PAGE, TILE, WIDTH, contact_sheet

COLOURS = ((200, 30, 30), (30, 180, 60), (40, 60, 210), (220, 200, 40))
ROW = GAP + TILE + LABEL


def view(colour: tuple[int, int, int]) -> Image.Image:
    """A square of colour in the middle of a transparent frame."""
    image = Image.new("RGBA", (512, 512), (0, 0, 0, 0))
    image.paste((*colour, 255), (128, 128, 384, 384))
    return image


VIEWS = [view(colour) for colour in COLOURS]
PHOTO = Image.new("RGB", (640, 400), (120, 80, 160))


def cutout() -> Image.Image:
    image = Image.new("RGBA", PHOTO.size, (0, 0, 0, 0))
    image.paste((120, 80, 160, 255), (200, 100, 400, 300))
    return image


def middle(column: int, row: int) -> tuple[int, int]:
    return GAP + column * (TILE + GAP) + TILE // 2, GAP + row * ROW + TILE // 2


def test_every_picture_is_in_its_place() -> None:
    sheet = contact_sheet(PHOTO, cutout(), VIEWS, "coffee")
    assert sheet.mode == "RGB" and sheet.width == WIDTH
    places = ((1, 0), (2, 0), (1, 1), (2, 1))
    for colour, place in zip(COLOURS, places, strict=True):
        x, y = middle(*place)
        assert sheet.getpixel((x, y)) == colour
        assert sheet.getpixel((x - TILE // 2 + 5, y)) == CARD
    assert sheet.getpixel(middle(0, 0)) == sheet.getpixel(middle(0, 1)) == (120, 80, 160)


def test_the_cut_out_lies_on_a_checkerboard() -> None:
    sheet = contact_sheet(PHOTO, cutout(), VIEWS, "coffee")
    x, y = middle(0, 1)
    strip = np.asarray(sheet)[y, x - TILE // 2 : x - TILE // 2 + 100]
    assert {tuple(int(c) for c in pixel) for pixel in strip} == set(CHECKS)


@pytest.mark.parametrize("size", [(3000, 200), (200, 3000), (1, 1), (7, 5)])
def test_pictures_keep_their_shape_and_stay_whole(size: tuple[int, int]) -> None:
    sheet = np.asarray(contact_sheet(Image.new("RGB", size, (255, 0, 255)), cutout(), VIEWS, ""))
    rows, columns = np.nonzero((sheet == (255, 0, 255)).all(axis=2))
    wide, tall = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert max(wide, tall) == TILE
    assert min(wide, tall) == max(1, round(TILE * min(size) / max(size)))
    assert columns.min() >= GAP and columns.max() < GAP + TILE and rows.max() < GAP + TILE


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA"])
def test_photos_of_other_modes(mode: str) -> None:
    sheet = contact_sheet(Image.new("RGB", (50, 50), (255, 255, 255)).convert(mode), cutout(), VIEWS, "x")
    assert sheet.getpixel(middle(0, 0)) == (255, 255, 255)


def ink(sheet: Image.Image) -> NDArray[np.bool_]:
    """Where something is written below the tiles."""
    written: NDArray[np.bool_] = np.any(np.asarray(sheet)[2 * ROW :] != PAGE, axis=2)
    return written


def test_the_caption_is_written_wrapped_and_inside() -> None:
    none = contact_sheet(PHOTO, cutout(), VIEWS, "")
    one = contact_sheet(PHOTO, cutout(), VIEWS, "coffee.png, silhouette, 150,342 faces, watertight")
    two = contact_sheet(PHOTO, cutout(), VIEWS, "coffee.png\nsilhouette, größe 3 µm")
    long = contact_sheet(PHOTO, cutout(), VIEWS, "many words " * 60)
    assert not ink(none).any()
    assert none.height < one.height < two.height < long.height
    for sheet in (one, two, long):
        written = ink(sheet)
        assert written.any()
        assert not written[:, :GAP].any() and not written[:, WIDTH - GAP :].any()
        assert not written[-GAP // 2 :].any()


def test_each_tile_is_labelled() -> None:
    sheet = np.asarray(contact_sheet(PHOTO, cutout(), VIEWS, "x"))
    labels = []
    for row in range(2):
        for column in range(3):
            x, y = GAP + column * (TILE + GAP), GAP + row * ROW + TILE + 2
            labels.append((sheet[y : y + LABEL, x : x + TILE] != PAGE).any(axis=2))
    assert all(label.any() for label in labels)
    assert len({label.tobytes() for label in labels}) == 6


def test_the_same_bytes_every_time() -> None:
    files = []
    for _ in range(2):
        files.append(io.BytesIO())
        contact_sheet(PHOTO, cutout(), VIEWS, "same").save(files[-1], "PNG")
    assert files[0].getvalue() == files[1].getvalue()


def test_four_views_it_must_be() -> None:
    with pytest.raises(ValueError, match="4 views, not 3"):
        contact_sheet(PHOTO, cutout(), VIEWS[:3], "x")
