"""The bar that every mesh of the engine `silhouette` clears, over drawings, noise and photographs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image
from trimesh import Trimesh, creation

from daemon.engines.base import Cutout, Order, Progress
from daemon.engines.silhouette.engine import SilhouetteEngine
from daemon.engines.silhouette.grid import outline, pieces
from daemon.engines.silhouette.presets import PRESETS
from daemon.engines.silhouette.subject import subject
from daemon.errors import BadJob, Cancelled
from tests.silhouette_inputs import disk, drawings, hairlines, painted, photographs
from tests.silhouette_render import front, overlap, psnr

# Quality: front silhouette IoU against the mask, unlit front reprojection PSNR in dB.
BAR = {"draft": (0.96, 28), "balanced": (0.98, 33), "high": (0.985, 37), "ultra": (0.99, 37)}
FEW = ("disk", "holes", "gear", "letters", "two disks", "blobs", "astronaut", "coffee", "horse")


class NoRemover:
    """The inputs here are cut out already; what the engine asks of its remover is recorded."""

    def __init__(self) -> None:
        self.unloaded = 0

    def check(self) -> None: ...

    def versions(self) -> dict[str, str]:
        return {"rembg": "none"}

    def cutout(self, photo: Image.Image, remove_bg: bool, progress: Progress) -> Cutout:
        return Cutout(photo.convert("RGBA"))

    def unload(self) -> bool:
        self.unloaded += 1
        return True


def nothing(share: float, message: str) -> None:
    assert 0 <= share <= 1 and message


@cache
def inputs() -> dict[str, Image.Image]:
    drawn = {name: painted(alpha) for name, alpha in {**drawings(), **hairlines()}.items()}
    return {**drawn, **photographs()}


def made(image: Image.Image, quality: str) -> tuple[Trimesh, Trimesh]:
    engine = SilhouetteEngine(NoRemover())
    mesh = engine.geometry(image, Order(quality, 0), nothing)
    return mesh, engine.texture(mesh, image, Order(quality, 0), nothing)


def names() -> list[str]:
    return [
        *drawings(),
        *hairlines(),
        "horse",
        "coins",
        "retina",
        "astronaut",
        "chelsea",
        "rocket",
        "coffee",
        "logo",
    ]


def test_there_are_inputs_enough() -> None:
    assert list(inputs()) == names()
    assert len(names()) >= 40


@pytest.mark.parametrize(
    ("quality", "name"),
    [(quality, name) for quality in ("draft", "balanced") for name in names()]
    + [(quality, name) for quality in ("high", "ultra") for name in FEW],
)
def test_the_bar(quality: str, name: str) -> None:
    image = inputs()[name]
    mesh, textured = made(image, quality)
    components, holes = pieces(outline(subject(image).alpha, PRESETS[quality].cells).inside)
    merged = textured.copy()
    merged.merge_vertices(merge_tex=True, merge_norm=True)
    for closed in (mesh, merged):
        assert closed.is_watertight and closed.is_winding_consistent
        assert closed.volume > 0
        assert closed.euler_number == 2 * (components - holes)
    assert np.isclose(max(mesh.extents), 1.0)
    assert np.allclose(mesh.bounds.mean(axis=0), 0, atol=1e-6)
    pixels = np.asarray(image)
    mask = pixels[..., 3] >= 128
    colours, covered = front(textured, mask.shape)
    least_overlap, least_psnr = BAR[quality]
    if name not in hairlines():
        assert overlap(covered, mask) >= least_overlap
    both = covered & mask
    assert both.any()
    assert psnr(colours, pixels[..., :3], both) >= least_psnr


@pytest.mark.parametrize("quality", ["draft", "balanced", "high"])
def test_a_disk_becomes_a_hemisphere(quality: str) -> None:
    radius = 200.0
    alpha = disk(radius, (250, 250), (500, 500))
    flat = Image.fromarray(np.dstack([np.full((500, 500, 3), 128, np.uint8), alpha]))
    mesh, _ = made(flat, quality)
    scale = mesh.metadata["silhouette"]["pixels_per_metre"]
    points = np.asarray(mesh.vertices) * scale
    error = np.abs(np.linalg.norm(points, axis=1) - radius) / radius
    assert error.mean() <= 0.001
    assert error.max() <= 0.05


def test_the_same_cutout_gives_the_same_arrays() -> None:
    image = inputs()["coffee"]
    first, second = made(image, "balanced"), made(image, "balanced")
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.vertices, other.vertices) and np.array_equal(one.faces, other.faces)
    one, other = (textured.visual.material.baseColorTexture.tobytes() for _, textured in (first, second))
    assert one == other


def test_thin_things_do_not_vanish() -> None:
    for name in hairlines():
        mesh, _ = made(inputs()[name], "draft")
        assert mesh.extents.min() > 0.002, name


@pytest.mark.parametrize(("size", "word"), [((0, 0), "empty"), ((3, 3), "too small")])
def test_what_is_too_little_is_a_bad_job_with_advice(size: tuple[int, int], word: str) -> None:
    alpha = np.zeros((200, 200), np.uint8)
    alpha[50 : 50 + size[0], 50 : 50 + size[1]] = 255
    with pytest.raises(BadJob, match=word) as caught:
        made(painted(alpha), "draft")
    assert "send" in str(caught.value)


def test_the_texture_of_another_engines_mesh_is_laid_over_its_front() -> None:
    engine = SilhouetteEngine(NoRemover())
    sphere = creation.icosphere(subdivisions=3, radius=0.5)
    textured = engine.texture(sphere, inputs()["disk"], Order("draft", 0), nothing)
    assert len(textured.faces) == len(sphere.faces)
    uv = np.asarray(textured.visual.uv)
    assert np.isfinite(uv).all() and uv.min() >= 0 and uv.max() <= 1


def test_progress_rises_and_a_cancel_gets_through() -> None:
    engine = SilhouetteEngine(NoRemover())
    seen: list[float] = []
    engine.geometry(inputs()["disk"], Order("draft", 0), lambda share, _: seen.append(share))
    assert seen == sorted(seen) and len(seen) >= 5

    def cancel(share: float, _: str) -> None:
        if share > 0.3:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        engine.geometry(inputs()["disk"], Order("draft", 0), cancel)


def test_settings_are_truthful_and_unload_reaches_the_remover() -> None:
    remover = NoRemover()
    engine = SilhouetteEngine(remover)
    assert engine.settings(Order("high", 5)) == {
        "cells": 384,
        "texture_size": 2048,
        "seed": 5,
        "seed_used": False,
    }
    assert engine.unload() and remover.unloaded == 1
    assert {"numpy", "scipy", "rembg"} <= set(engine.versions())
