"""Views: each side where it belongs, not mirrored, to scale, textured, lit, smooth at the edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from trimesh.visual.material import PBRMaterial

from daemon.engines.glb import read_glb, write_glb
from daemon.engines.views import AZIMUTHS, MARGIN, frame, render, render_views
from daemon.errors import EngineError

RED, GREEN, BLUE, YELLOW = (220, 40, 40), (40, 200, 60), (50, 70, 220), (230, 210, 40)
SIDES = (RED, GREEN, BLUE, YELLOW)
MARK = (10, 10, 10)
CELL = 64


def painted(vertices: ArrayLike, faces: ArrayLike, uv: ArrayLike, image: Image.Image) -> trimesh.Trimesh:
    material = PBRMaterial(baseColorTexture=image, metallicFactor=0.0, roughnessFactor=0.7)
    visual = trimesh.visual.TextureVisuals(uv=np.asarray(uv, dtype=float), material=material)
    return trimesh.Trimesh(np.asarray(vertices), np.asarray(faces), visual=visual, process=False)


def joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    both = trimesh.util.concatenate(meshes)
    assert isinstance(both, trimesh.Trimesh)
    return trimesh.Trimesh(both.vertices, both.faces, process=False)


def four_sided_box() -> trimesh.Trimesh:
    """A unit cube: red front, green right, blue back, yellow left, each marked at its upper left corner.

    "Upper left" is as someone sees it who stands before that side, so a mirrored view shows it elsewhere.
    """
    atlas = np.zeros((CELL, 4 * CELL, 3), dtype=np.uint8)
    vertices: list[list[float]] = []
    faces, uv = [], []
    for side, colour in enumerate(SIDES):
        atlas[:, side * CELL : (side + 1) * CELL] = colour
        atlas[: CELL // 4, side * CELL : side * CELL + CELL // 2] = MARK
        angle = side * np.pi / 2
        out = np.array([np.sin(angle), 0, np.cos(angle)])
        right, up = np.array([np.cos(angle), 0, -np.sin(angle)]), np.array([0.0, 1, 0])
        first = len(vertices)
        for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
            vertices.append(list(0.5 * out + (u - 0.5) * right + (v - 0.5) * up))
            uv.append([(side + u) / 4, v])
        faces += [[first, first + 1, first + 2], [first, first + 2, first + 3]]
    return painted(vertices, faces, uv, Image.fromarray(atlas))


def opaque_box(view: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(view[..., 3] > 127)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("through_file", [False, True])
def test_each_view_shows_its_side_unmirrored_and_upright(through_file: bool, tmp_path: Path) -> None:
    mesh = four_sided_box()
    if through_file:
        (tmp_path / "m.glb").write_bytes(write_glb(mesh, {}))
        mesh = read_glb(tmp_path / "m.glb")
    for azimuth, colour in zip(AZIMUTHS, SIDES, strict=True):
        view = render(mesh, azimuth, 200, lit=False)
        x0, y0, x1, y1 = opaque_box(view)
        wide, tall = x1 - x0, y1 - y0
        assert wide == tall == round(200 * (1 - MARGIN))
        for u, v, expected in (
            (0.25, 0.125, MARK),
            (0.75, 0.125, colour),
            (0.25, 0.875, colour),
            (0.75, 0.875, colour),
        ):
            assert tuple(view[int(y0 + v * tall), int(x0 + u * wide)]) == (*expected, 255)


def test_render_views_is_front_right_back_left_lit() -> None:
    views = render_views(four_sided_box(), 96)
    assert len(views) == 4
    for view, colour in zip(views, SIDES, strict=True):
        assert view.shape == (96, 96, 4) and view.dtype == np.uint8
        red, green, blue, alpha = (int(c) for c in view[60, 48])
        assert alpha == 255
        # The light changes how bright the colour is, not which colour it is.
        shade = np.array([red, green, blue]) / np.array(colour)
        assert shade.min() > 0.5 and shade.max() <= 1 and np.ptp(shade) < 0.05


def test_between_two_sides_both_are_seen() -> None:
    view = render(four_sided_box(), 45, 200, lit=False)
    assert tuple(view[150, 60]) == (*RED, 255)
    assert tuple(view[150, 140]) == (*GREEN, 255)


def test_the_sphere_has_no_holes_and_the_area_of_its_disk() -> None:
    sphere = trimesh.creation.uv_sphere(radius=0.4, count=[150, 150])
    sphere.apply_translation([3, -2, 5])
    y, x = np.mgrid[0:256, 0:256] + 0.5
    distance = np.hypot(x - 128, y - 128)
    radius = 128 * (1 - MARGIN)
    for view in render_views(sphere, 256):
        alpha = view[..., 3]
        assert (alpha[distance < radius - 1.5] == 255).all()
        assert (alpha[distance > radius + 1.5] == 0).all()
        assert alpha.sum() / 255 == pytest.approx(np.pi * radius**2, rel=0.002)
        assert len(np.unique(alpha)) > 3


def test_rays_are_parallel_and_the_scale_is_constant() -> None:
    # Small face to the front, large one behind: perspective would draw the far one smaller than to scale.
    box = trimesh.creation.box(extents=[0.2, 0.2, 0.2])
    box.vertices[np.asarray(box.vertices)[:, 2] < 0] *= [5, 3, 5]
    size = 400
    scale = size / (2 * frame(box).half)
    width, height, depth = np.ptp(np.asarray(box.vertices), axis=0)
    for view, across in zip(render_views(box, size), (width, depth, width, depth), strict=True):
        x0, y0, x1, y1 = opaque_box(view)
        assert x1 - x0 == pytest.approx(across * scale, abs=1)
        assert y1 - y0 == pytest.approx(height * scale, abs=1)


def test_a_point_lies_where_the_frame_says() -> None:
    body = trimesh.creation.box(extents=[1, 2, 0.5])
    body.apply_translation([10, 20, 30])
    half, size = frame(body).half, 500
    spot = trimesh.creation.icosphere(radius=0.01)
    spot.apply_translation([10.3, 20.7, 30.2])
    right, up = 0.3, 0.7
    both = joined(spot, trimesh.Trimesh(body.bounds[[0, 1, 0]], [[0, 1, 2]], process=False))
    x0, y0, x1, y1 = opaque_box(render(both, 0, size))
    assert (x0 + x1) / 2 == pytest.approx((1 + right / half) * size / 2, abs=0.6)
    assert (y0 + y1) / 2 == pytest.approx((1 - up / half) * size / 2, abs=0.6)


def test_nearer_surfaces_hide_farther_ones() -> None:
    front, back = trimesh.creation.icosphere(radius=0.3), four_sided_box()
    front.apply_translation([0, 0, 0.9])
    both = joined(back, front)
    seen_from_front, seen_from_back = render(both, 0, 200), render(both, 180, 200)
    assert len(np.unique(seen_from_front[90:110, 90:110, 0])) > len(
        np.unique(seen_from_back[90:110, 90:110, 0])
    )


def test_clay_is_grey_and_lit_from_the_upper_left() -> None:
    for view in render_views(trimesh.creation.icosphere(subdivisions=5), 128):
        colours = view[view[..., 3] == 255][:, :3].astype(int)
        assert np.ptp(colours, axis=1).max() <= 8
        upper_left, lower_right = int(view[40, 40, 0]), int(view[90, 90, 0])
        assert upper_left > lower_right + 30


def square(image: Image.Image) -> trimesh.Trimesh:
    """The whole image on a square that faces the front."""
    corners = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    return painted(corners, [[0, 1, 2], [0, 2, 3]], [[0, 0], [1, 0], [1, 1], [0, 1]], image)


def seen_unlit(image: Image.Image, pixels: int) -> NDArray[np.float64]:
    """What of `image` a view shows in which it is `pixels` wide, without the rim that mixes with nothing."""
    size = round(pixels / (1 - MARGIN))
    start = (size - pixels) // 2
    inside = slice(start + 2, start + pixels - 2)
    return render(square(image), 0, size, lit=False)[inside, inside, :3].astype(np.float64)


def test_an_unlit_front_gives_the_texture_back() -> None:
    y, x = np.mgrid[0:256, 0:256] / 256
    waves = [127 + 60 * np.sin(9 * x + 4 * k) + 50 * np.cos(11 * y * (k + 1)) for k in range(3)]
    noise = np.random.default_rng(5).normal(0, 12, (256, 256, 3))
    image = Image.fromarray(np.clip(np.stack(waves, axis=2) + noise, 0, 255).astype(np.uint8))
    expected = np.asarray(image.resize((128, 128), Image.Resampling.BOX), dtype=float)[2:-2, 2:-2]
    assert 10 * np.log10(255**2 / np.mean((seen_unlit(image, 128) - expected) ** 2)) > 35


def test_a_texture_is_not_shifted() -> None:
    """A ramp of few texels shows a shift of half a texel as five grey levels."""
    ramp = np.repeat(np.arange(20, 180, 10, dtype=np.uint8)[None, :, None], 16, axis=0).repeat(3, axis=2)
    for turned in (0, 1, 2, 3):
        seen = np.rot90(seen_unlit(Image.fromarray(np.rot90(ramp, turned)), 128), -turned)
        expected = 20 + ((np.arange(2, 126) + 0.5) / 8 - 0.5) * 10
        assert np.abs(seen[..., 0] - expected)[:, 8:-8].max() < 1.5


def test_detail_finer_than_a_pixel_is_averaged() -> None:
    """Picked texels of black and white noise would sparkle; 256 of them in a pixel average to grey."""
    noise = np.random.default_rng(2).integers(0, 2, (2048, 2048), dtype=np.uint8) * 255
    assert seen_unlit(Image.fromarray(noise), 128).std() < 20


def test_coordinates_outside_of_the_texture_repeat_it() -> None:
    half = np.zeros((64, 64, 3), dtype=np.uint8)
    half[:, :32], half[:, 32:] = RED, BLUE
    corners = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    uv = [[-1, 0], [1, 0], [1, 1], [-1, 1]]
    view = render(painted(corners, [[0, 1, 2], [0, 2, 3]], uv, Image.fromarray(half)), 0, 160, lit=False)
    seen = [tuple(int(c) for c in view[80, column, :3]) for column in (20, 60, 100, 140)]
    assert seen == [RED, BLUE, RED, BLUE]


def test_the_edge_keeps_the_colour_of_the_object() -> None:
    image = Image.new("RGB", (8, 8), RED)
    sphere = trimesh.creation.icosphere(subdivisions=4)
    mesh = painted(sphere.vertices, sphere.faces, np.full((len(sphere.vertices), 2), 0.5), image)
    view = render(mesh, 0, 128, lit=False)
    edge = view[(view[..., 3] > 0) & (view[..., 3] < 255)]
    assert len(edge) > 100
    assert np.abs(edge[:, :3].astype(int) - RED).max() <= 1


@pytest.mark.parametrize("mode", ["P", "L", "RGBA"])
def test_textures_of_other_modes_are_drawn(mode: str) -> None:
    image = Image.new("RGB", (64, 64), RED)
    texture = image.quantize(4) if mode == "P" else image.convert(mode)
    assert texture.mode == mode
    expected = (*texture.convert("RGB").getpixel((5, 5)), 255)  # type: ignore[misc]
    assert tuple(render(square(texture), 0, 64, lit=False)[30, 30]) == expected


def test_the_same_pictures_every_time() -> None:
    mesh = four_sided_box()
    first, second = render_views(mesh, 64), render_views(mesh, 64)
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert np.array_equal(first[1], render(mesh, 90, 64))


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(EngineError, match="no extent"):
        render_views(trimesh.Trimesh([[1, 1, 1]] * 3, [[0, 1, 2]], process=False))
    with pytest.raises(EngineError, match="no extent"):
        render(trimesh.Trimesh(), 0, 64)
