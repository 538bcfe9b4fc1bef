"""One picture that shows a job at a glance: the photo, its cut-out, the model from four sides."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

VIEW_LABELS = ("front", "right", "back", "left")

WIDTH, GAP, LABEL = 1600, 24, 34
TILE = (WIDTH - 4 * GAP) // 3
PAGE, CARD, BORDER = (242, 242, 240), (255, 255, 255), (218, 218, 214)
INK, FADED = (38, 38, 40), (112, 112, 116)
CHECKS, CHECK = ((255, 255, 255), (226, 226, 226)), 16
CAPTION_SIZE, LABEL_SIZE = 24, 20

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    photo: Image.Image, cutout: Image.Image, views: Sequence[Image.Image], caption: str
) -> Image.Image:
    """An RGB picture 1600 pixels wide: photo over cut-out at the left, the four views beside them, the caption.

    `views` are front, right, back, left (transparent background allowed). Pictures are shrunk or enlarged to
    their tile, never cropped or distorted; `caption` is wrapped, its own line breaks are kept.
    Raises `ValueError` where there are not four views.
    """
    if len(views) != len(VIEW_LABELS):
        raise ValueError(f"a contact sheet shows {len(VIEW_LABELS)} views, not {len(views)}")
    font = ImageFont.load_default(CAPTION_SIZE)
    lines = _wrapped(caption, font, WIDTH - 2 * GAP)
    line_height = round(CAPTION_SIZE * 1.45)
    top = 2 * (GAP + TILE + LABEL)
    sheet = Image.new("RGB", (WIDTH, top + GAP // 2 + len(lines) * line_height + GAP), PAGE)
    front, right, back, left = views
    rows = (
        ((photo, "photo"), (front, VIEW_LABELS[0]), (right, VIEW_LABELS[1])),
        ((cutout, "cut-out"), (back, VIEW_LABELS[2]), (left, VIEW_LABELS[3])),
    )
    for row, tiles in enumerate(rows):
        for column, (image, label) in enumerate(tiles):
            corner = (GAP + column * (TILE + GAP), GAP + row * (GAP + TILE + LABEL))
            _place(sheet, image, label, corner, checked=column == 0)
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((GAP, top + GAP // 2 + number * line_height), line, INK, font)
    return sheet


def _place(
    sheet: Image.Image, image: Image.Image, label: str, corner: tuple[int, int], checked: bool
) -> None:
    """Draw one tile: the picture in the middle of a card, its label below."""
    pen = ImageDraw.Draw(sheet)
    x, y = corner
    pen.rectangle((x - 1, y - 1, x + TILE, y + TILE), fill=CARD, outline=BORDER)
    # A palette cannot be blended, anything else is shrunk before it is converted: photos can be huge.
    picture = image.convert("RGBA") if image.mode in ("1", "P") else image
    scale = TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).convert("RGBA")
    ground = _checkerboard(size) if checked else Image.new("RGBA", size, CARD)
    ground.alpha_composite(picture)
    sheet.paste(ground.convert("RGB"), (x + (TILE - size[0]) // 2, y + (TILE - size[1]) // 2))
    pen.text((x + TILE / 2, y + TILE + LABEL / 2), label, FADED, ImageFont.load_default(LABEL_SIZE), "mm")


def _checkerboard(size: tuple[int, int]) -> Image.Image:
    """What transparency looks like to people: one pixel a square, blown up."""
    squares = (-(-size[0] // CHECK), -(-size[1] // CHECK))
    board = Image.new("RGB", squares)
    board.putdata([CHECKS[(i % squares[0] + i // squares[0]) % 2] for i in range(squares[0] * squares[1])])
    large = board.resize((squares[0] * CHECK, squares[1] * CHECK), Image.Resampling.NEAREST)
    return large.crop((0, 0, *size)).convert("RGBA")


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    """Lines no wider than `width` pixels, broken at spaces; a word that is wider alone is left whole."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
