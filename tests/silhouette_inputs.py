"""Cut-outs that the silhouette engine must make a sound model of: drawn, grown from noise, and photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

Alpha = NDArray[np.uint8]
SIDE = 320
EXAMPLES = Path(__file__).parents[1] / "examples"


def painted(alpha: Alpha) -> Image.Image:
    """RGBA with a picture that has smooth shading, edges and fine detail under `alpha`."""
    height, width = alpha.shape
    y, x = np.mgrid[0:height, 0:width] / float(max(alpha.shape))
    red = 128 + 90 * np.sin(9 * x + 4 * y)
    green = np.where((x * 6).astype(int) % 2 == 0, 190, 70) * (0.6 + 0.4 * y)
    blue = 128 + 60 * np.sin(40 * x) * np.cos(35 * y)
    return Image.fromarray(np.dstack([red, green, blue, alpha]).clip(0, 255).astype(np.uint8))


def drawn(draw: Callable[[ImageDraw.ImageDraw, int], None], width: int = SIDE, height: int = SIDE) -> Alpha:
    """An anti-aliased drawing: `draw` gets a canvas `4` times as large, and that factor."""
    canvas = Image.new("L", (width * 4, height * 4))
    draw(ImageDraw.Draw(canvas), 4)
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX))


def disk(radius: float, centre: tuple[float, float], shape: tuple[int, int]) -> Alpha:
    """Coverage of a disk, sampled 8 x 8 times a pixel; `centre` (x, y) and `radius` in pixels."""
    height, width = shape
    y, x = ((np.arange(n * 8) + 0.5) / 8 for n in (height, width))
    inside = (x[None] - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 < radius**2
    return np.asarray(np.rint(255 * inside.reshape(height, 8, width, 8).mean(axis=(1, 3))), dtype=np.uint8)


def polygon(points: NDArray[np.float64]) -> Alpha:
    """`points` (n, 2) in shares of the frame."""
    return drawn(
        lambda d, s: d.polygon([(float(x) * SIDE * s, float(y) * SIDE * s) for x, y in points], fill=255)
    )


def star(tips: int, inner: float, turn: float = 0.1) -> Alpha:
    angle = turn + np.arange(2 * tips) * np.pi / tips
    radius = np.where(np.arange(2 * tips) % 2 == 0, 0.47, 0.47 * inner)
    return polygon(np.stack([0.5 + radius * np.sin(angle), 0.5 - radius * np.cos(angle)], axis=1))


def text(words: str, size: int, width: int = SIDE, height: int = SIDE) -> Alpha:
    def draw(canvas: ImageDraw.ImageDraw, scale: int) -> None:
        font = ImageFont.load_default(size * scale)
        canvas.text((width * scale / 2, height * scale / 2), words, font=font, fill=255, anchor="mm")

    return drawn(draw, width, height)


def blobs(seed: int, sigma: float, level: float) -> Alpha:
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE))
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    smooth = smooth / smooth.std() - level
    return np.asarray(np.clip(128 + 127 * smooth * sigma / 2, 0, 255), dtype=np.uint8)


def rings(*radii: float) -> Alpha:
    """Disks of falling radius, drawn and cleared in turn."""
    result = np.zeros((SIDE, SIDE), np.uint8)
    for number, radius in enumerate(radii):
        layer = disk(radius, (160.3, 159.6), (SIDE, SIDE))
        result = np.maximum(result, layer) if number % 2 == 0 else np.minimum(result, 255 - layer)
    return result


def boxes(*corners: tuple[int, int, int, int], shape: tuple[int, int] = (SIDE, SIDE)) -> Alpha:
    """Hard-edged rectangles (left, top, right, bottom) in pixels."""
    result = np.zeros(shape, np.uint8)
    for left, top, right, bottom in corners:
        result[top:bottom, left:right] = 255
    return result


def spiral() -> Alpha:
    turn = np.linspace(1.5, 16, 400)
    points = [(160 + 9 * t * np.cos(t), 160 + 9 * t * np.sin(t)) for t in turn]
    return drawn(
        lambda d, s: d.line([(x * s, y * s) for x, y in points], fill=255, width=16 * s, joint="curve")
    )


def specks() -> Alpha:
    result = disk(110, (160, 160), (SIDE, SIDE)).copy()
    rng = np.random.default_rng(5)
    result[rng.integers(0, SIDE, 60), rng.integers(0, SIDE, 60)] = 255
    result[rng.integers(90, 230, 40), rng.integers(90, 230, 40)] = 0
    return result


def checkers(block: int, count: int) -> Alpha:
    pattern = np.indices((count, count)).sum(axis=0) % 2
    return np.pad(np.kron(pattern, np.full((block, block), 255)).astype(np.uint8), 20)


def heart() -> Alpha:
    t = np.linspace(0, 2 * np.pi, 300)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return polygon(np.stack([0.5 + x / 38, 0.48 - y / 38], axis=1))


def gear() -> Alpha:
    t = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    radius = 0.38 + 0.07 * np.sign(np.sin(14 * t))
    rim = polygon(np.stack([0.5 + radius * np.cos(t), 0.5 + radius * np.sin(t)], axis=1))
    return np.minimum(rim, 255 - disk(40, (160, 160), (SIDE, SIDE)))


def soft() -> Alpha:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    bell = 400 * np.exp(-((x - 150) ** 2 + 2 * (y - 170) ** 2) / 9000)
    return np.asarray(np.clip(bell, 0, 255), dtype=np.uint8)


def holes() -> Alpha:
    result = disk(140, (160, 160), (SIDE, SIDE))
    for x, y, radius in ((110, 110, 22), (210, 120, 30), (160, 220, 18), (90, 200, 9), (230, 215, 14)):
        result = np.minimum(result, 255 - disk(radius, (x, y), (SIDE, SIDE)))
    return result


def lattice() -> Alpha:
    bars = [(20 + 50 * k, 20, 36 + 50 * k, 286) for k in range(6)]
    return boxes(*bars, *[(top, left, bottom, right) for left, top, right, bottom in bars])


def drawings() -> dict[str, Alpha]:
    return {
        "disk": disk(140.3, (160.2, 159.7), (SIDE, SIDE)),
        "small disk": disk(12, (20, 20), (40, 40)),
        "large disk": disk(700, (760, 740), (1500, 1520)),
        "ellipse": drawn(lambda d, s: d.ellipse([20 * s, 110 * s, 300 * s, 210 * s], fill=255)),
        "ring": rings(140, 80),
        "thin ring": rings(140, 132),
        "ring around a disk": rings(145, 110, 60),
        "star": star(5, 0.4),
        "sharp star": star(9, 0.3),
        "square": boxes((60, 60, 260, 260)),
        "bar": polygon(np.array([[0.1, 0.35], [0.85, 0.1], [0.9, 0.25], [0.15, 0.5]])),
        "triangle": polygon(np.array([[0.1, 0.9], [0.5, 0.05], [0.95, 0.8]])),
        "letter": text("A", 300),
        "letters": text("B8", 200),
        "words": text("a photo in", 180, 880, 280),
        "one blob": blobs(1, 40, 0.2),
        "blobs": blobs(2, 14, 0.6),
        "many blobs": blobs(3, 9, 0.9),
        "two disks": np.maximum(disk(70, (85, 100), (SIDE, SIDE)), disk(50, (240, 220), (SIDE, SIDE))),
        "holes": holes(),
        "lattice": lattice(),
        "comb": boxes((20, 20, 300, 80), *[(20 + 40 * k, 80, 40 + 40 * k, 280) for k in range(7)]),
        "gear": gear(),
        "heart": heart(),
        "letter with a gap": text("C", 300),
        "spiral": spiral(),
        "soft": soft(),
        "specks and pinholes": specks(),
        "checkers": checkers(20, 12),
        "corner to corner": boxes((60, 60, 160, 160), (160, 160, 260, 260)),
        "whole frame": boxes((0, 0, 200, 150), shape=(150, 200)),
        "cut by the frame": disk(150, (20, 300), (SIDE, SIDE)),
        "cross": boxes((152, 20, 168, 300), (20, 152, 300, 168)),
        "wide": boxes((10, 10, 1210, 22), shape=(32, 1220)),
        "tall": boxes((10, 10, 19, 910), shape=(920, 30)),
        "few pixels": boxes((5, 5, 15, 13), shape=(20, 20)),
    }


def hairlines() -> dict[str, Alpha]:
    """So thin that pixels decide: these must not vanish, but need not keep their outline as well as others."""
    slant = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(slant, (20, 30), (300, 260), 255, 1)
    return {
        "small checkers": checkers(3, 30),
        "one pixel high": boxes((20, 100, 300, 101)),
        "one pixel, slanting": slant,
        "one pixel wide frame": boxes(
            (20, 20, 300, 21), (20, 299, 300, 300), (20, 20, 21, 300), (299, 20, 300, 300)
        ),
        "disk on a string": np.maximum(disk(60, (160, 90), (SIDE, SIDE)), boxes((160, 90, 161, 310))),
    }


def photographs() -> dict[str, Image.Image]:
    """Real pictures: under their own alpha channel, a threshold, or an ellipse."""
    found = {"horse": painted(np.where(data.horse(), 0, 255).astype(np.uint8))}
    for name, low in (("coins", 110), ("retina", 40)):
        picture = getattr(data, name)()
        grey = picture if picture.ndim == 2 else picture.max(axis=2)
        mask = cv2.GaussianBlur(grey, (0, 0), 3)
        found[name] = _with_alpha(picture, np.where(mask > low, 255, 0).astype(np.uint8))
    for name in ("astronaut", "chelsea", "rocket"):
        picture = getattr(data, name)()
        alpha = np.zeros(picture.shape[:2], np.uint8)
        height, width = alpha.shape
        cv2.ellipse(
            alpha, (width // 2, height // 2), (width // 3, height * 2 // 5), 20, 0, 360, 255, -1, cv2.LINE_AA
        )
        found[name] = _with_alpha(picture, alpha)
    coffee = np.asarray(Image.open(EXAMPLES / "coffee.png").convert("RGB"))
    cup = np.zeros(coffee.shape[:2], np.uint8)
    cv2.ellipse(cup, (278, 205), (202, 186), 0, 0, 360, 255, -1, cv2.LINE_AA)
    found["coffee"] = _with_alpha(coffee, cup)
    logo = Image.fromarray(data.logo()).convert("RGBA")
    found["logo"] = logo
    return found


def _with_alpha(picture: NDArray[np.uint8], alpha: Alpha) -> Image.Image:
    colours = np.dstack([picture] * 3) if picture.ndim == 2 else picture[..., :3]
    return Image.fromarray(np.dstack([colours, alpha]))
