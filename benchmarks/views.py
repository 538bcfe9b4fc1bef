"""How long views, analysis and GLB writing take: medians as a markdown table.

python benchmarks/views.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.figures import Figure, Section
from daemon.engines.analysis import analyse
from daemon.engines.glb import write_glb
from daemon.engines.views import render, render_views

ROUNDS = 9
ATLAS = (4096, 2048)


def atlas() -> Image.Image:
    """Photo-like: smooth shapes, fine detail and some noise."""
    y, x = np.mgrid[0 : ATLAS[1], 0 : ATLAS[0]].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 3, (ATLAS[1], ATLAS[0], 3))
    waves = [
        127 + 80 * np.sin(x / 300 + k) * np.cos(y / 200 - k) + 20 * np.sin(x * y / 9e4) for k in range(3)
    ]
    return Image.fromarray(np.clip(np.stack(waves, axis=2) + noise, 0, 255).astype(np.uint8))


def sphere(faces: int, texture: Image.Image) -> trimesh.Trimesh:
    around = round((faces / 4) ** 0.5) + 1  # trimesh makes four faces per crossing, less the poles
    mesh = trimesh.creation.uv_sphere(radius=0.5, count=[around, around])
    x, y, z = np.asarray(mesh.vertices).T
    uv = np.stack([np.where(z >= 0, 0.25 + x * 0.48, 0.75 - x * 0.48), 0.5 + y * 0.96], axis=1)
    material = PBRMaterial(baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=0.7)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def times(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - start))
    return taken


ROWS: dict[str, Callable[[trimesh.Trimesh], object]] = {
    "four views, 512 px": lambda mesh: render_views(mesh),
    "one view, 512 px": lambda mesh: render(mesh, 0, 512),
    "analysis": analyse,
    "GLB with 4096 x 2048 texture": lambda mesh: write_glb(mesh, {}),
}
FACES = (20_000, 150_000)


def measure(full: bool) -> Section:
    """Every row on both meshes. What is promised of the views is measured with the engine's own (`silhouette`)."""
    rounds, texture = ROUNDS if full else 3, atlas()
    figures = [
        Figure(f"{name}, {len(mesh.faces):,} faces", "ms", times(partial(work, mesh), rounds))
        for mesh in (sphere(faces, texture) for faces in FACES)
        for name, work in ROWS.items()
    ]
    return Section(
        "views",
        "Views, analysis, GLB",
        f"{rounds} rounds after one that is not counted, in this process",
        figures,
    )


def main() -> None:
    texture = atlas()
    meshes = [sphere(faces, texture) for faces in FACES]
    print("| ms, median of", ROUNDS, "|", " | ".join(f"{len(mesh.faces):,} faces" for mesh in meshes), "|")
    print("|---|" + "---:|" * len(meshes))
    for name, work in ROWS.items():
        cells = [f"{statistics.median(times(partial(work, mesh), ROUNDS)):.0f}" for mesh in meshes]
        print(f"| {name} |", " | ".join(cells), "|")
    size = len(write_glb(meshes[-1], {})) / 1e6
    print(f"\nGLB of the large mesh: {size:.1f} MB")


if __name__ == "__main__":
    main()
