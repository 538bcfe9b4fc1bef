"""What several test files share: pictures, a fast real engine, waiting with a deadline."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import trimesh
from PIL import Image, ImageDraw

from daemon.config import Config
from daemon.engines.base import JSON, Cutout, Order, Progress
from spool.draft import ADOPTION
from spool.job import Job, Request
from spool.layout import ATTEMPTS, TMP
from spool.settings import read
from spool.spool import Spool

T = TypeVar("T")


def until(what: Callable[[], T], seconds: float = 20.0) -> T:
    """Call `what` until it gives something true; fail the test when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not true within {seconds} s: {what}"
        time.sleep(0.02)


def picture(size: tuple[int, int] = (96, 80), kind: str = "PNG", mode: str = "RGBA") -> bytes:
    """An orange ellipse on nothing (or on white, for modes without alpha)."""
    image = Image.new("RGBA", size, (255, 255, 255, 0))
    ImageDraw.Draw(image).ellipse((10, 10, size[0] - 10, size[1] - 10), fill=(230, 120, 30, 255))
    if mode != "RGBA":
        flat = Image.new("RGBA", size, "white")
        flat.alpha_composite(image)
        image = flat.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@contextmanager
def without_root(folder: Path) -> Iterator[None]:
    """Root may read everything, so as root this runs as nobody, in a folder that nobody owns."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, -1)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def submit(spool: Spool, folder: str = "inbox", content: bytes | None = None, **wishes: Any) -> Job:
    """A job in `folder`, made the way every front end makes one."""
    request = Request.new(source="cli", name="photo.png", suffix=".png", **wishes)
    draft = spool.draft(request)
    draft.input.write_bytes(picture() if content is None else content)
    return draft.publish(folder)


def claim(spool: Spool, folder: str = "inbox") -> Job:
    """The first job of `folder`, claimed for the worker `w`; there must be one."""
    job = spool.claim(folder, "w")
    assert job is not None
    return job


def put(job: Job, *products: str) -> None:
    """Leave products in a job, as if their stages were done."""
    for product in products:
        (job.path / product).write_bytes(b"product")


def folders(spool: Spool, job_id: str) -> list[str]:
    """Every folder in which the job lies: one, or none."""
    return [str(path.parent.relative_to(spool.root)) for path in spool.root.rglob(job_id)]


def left_in_tmp(root: Path) -> list[Path]:
    """What lies in `tmp/` but for the draft that a supervisor has ready for the next file that is dropped."""
    return [
        path for path in (root / TMP).iterdir() if not (path.name.startswith(ADOPTION) and _is_spare(path))
    ]


def _is_spare(draft: Path) -> bool:
    return [path.name for path in draft.glob("*")] == [ATTEMPTS]


def config(root: Path, **environ: str) -> Config:
    """Settings for a spool below a test's own directory, reading nothing of the real environment."""
    return read(Config, {"PROTOSCALE_SPOOL": str(root), "PROTOSCALE_RESERVE": "1M", **environ})


class SphereEngine:
    """A whole engine that needs milliseconds: the alpha's extent becomes an ellipsoid, its mean the colour.

    `trouble` maps a stage to what is raised in it; `during` is called at each step with the stage's name.
    """

    name = "sphere"

    def __init__(self) -> None:
        self.trouble: dict[str, list[BaseException]] = {}
        self.during: Callable[[str], None] = lambda stage: None
        self.unloads = 0
        self.loaded = False

    def check(self) -> None:
        """It can always load."""

    def settings(self, order: Order) -> dict[str, JSON]:
        return {"subdivisions": 2, "seed": order.seed}

    def versions(self) -> dict[str, str]:
        return {"trimesh": str(trimesh.__version__)}

    def cutout(self, photo: Image.Image, remove_bg: bool, progress: Progress) -> Cutout:
        self._step("cutout", progress)
        return Cutout(photo.convert("RGBA"), ("a note from the cut-out",), {"alpha": "kept"})

    def geometry(self, cutout: Image.Image, order: Order, progress: Progress) -> trimesh.Trimesh:
        self._step("geometry", progress)
        mesh: trimesh.Trimesh = trimesh.creation.icosphere(subdivisions=2)
        left, top, right, bottom = cutout.getbbox(alpha_only=True) or (0, 0, 1, 1)
        mesh.vertices *= np.array([right - left, bottom - top, min(right - left, bottom - top)]) / (
            2 * cutout.width
        )
        return mesh

    def texture(
        self, mesh: trimesh.Trimesh, cutout: Image.Image, order: Order, progress: Progress
    ) -> trimesh.Trimesh:
        self._step("texture", progress)
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=cutout.convert("RGB").resize((8, 8)), metallicFactor=0.0, roughnessFactor=0.7
        )
        uv = mesh.vertices[:, :2] + 0.5
        return trimesh.Trimesh(
            mesh.vertices,
            mesh.faces,
            process=False,
            visual=trimesh.visual.TextureVisuals(uv, material=material),
        )

    def unload(self) -> bool:
        self.unloads += 1
        was, self.loaded = self.loaded, False
        return was

    def _step(self, stage: str, progress: Progress) -> None:
        self.loaded = True
        for share in (0.25, 0.5, 0.75):
            progress(share, f"{stage} at {share}")
            self.during(stage)
        if self.trouble.get(stage):
            raise self.trouble[stage].pop(0)
