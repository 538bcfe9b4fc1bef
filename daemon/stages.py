"""The three stages: plain functions over a job directory.

Each reads the products of the stages before it, publishes its own, and touches nothing else, so that any job
can be resumed anywhere, by anyone. Only workers import this module: it brings the mesh libraries along.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from daemon.engines import analysis, glb, views
from daemon.engines.base import JSON, Engine
from daemon.photo import open_photo
from daemon.record import KEY, made_with, order_of
from daemon.reporter import Reporter
from spool import durable, layout
from spool.job import Job

if TYPE_CHECKING:
    from trimesh import Trimesh

LONGEST_SIDE = 4096
MIN_SIDE = 16


@dataclass(frozen=True)
class PhotoLimits:
    """What size of photo is decoded at all, in pixels."""

    max_pixels: int
    max_side: int


def cutout(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    """input.* -> cutout.png. Raises BadJob for a file that is no usable picture."""
    progress = report.part("cutout")
    progress(0.0, "reading the photo")
    photo = open_photo(job.input, limits.max_pixels, limits.max_side, MIN_SIDE)
    photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    progress(0.1, "removing the background" if job.request.remove_bg else "keeping the background")
    cut = engine.cutout(photo, job.request.remove_bg, progress)
    report.note(*cut.notes)
    text = PngImagePlugin.PngInfo()
    text.add_text(KEY, json.dumps({"facts": dict(cut.facts), "notes": list(cut.notes)}))
    durable.replace(job.path / layout.CUTOUT_PNG, _png(cut.image, text))


def geometry(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    """cutout.png -> geometry.glb, and the four views where nothing but them is wanted."""
    progress = report.part("geometry")
    if not job.has(layout.GEOMETRY_GLB):
        progress(0.0, "making the shape")
        image, record = _read_cutout(job)
        mesh = engine.geometry(image, order_of(job.request), progress)
        extras = made_with(engine, job.request, _facts(record))
        durable.replace(job.path / layout.GEOMETRY_GLB, glb.write_glb(mesh, extras))
    if job.request.views_only:
        _publish_views(job, glb.read_glb(job.path / layout.GEOMETRY_GLB), report)


def texture(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    """geometry.glb and cutout.png -> the views, analysis.json and, last of all, model.glb."""
    progress = report.part("texture")
    progress(0.0, "reading the shape")
    image, record = _read_cutout(job)
    mesh = glb.read_glb(job.path / layout.GEOMETRY_GLB)
    textured = engine.texture(mesh, image, order_of(job.request), progress)
    extras = made_with(engine, job.request, _facts(record))
    if job.request.views:
        _publish_views(job, textured, report)
    finishing = report.part("finishing")
    finishing(0.6, "measuring the model")
    facts = {**analysis.analyse(textured, _faces_asked(extras)), **extras, "notes": record["notes"]}
    durable.replace_json(job.path / layout.ANALYSIS, facts)
    finishing(0.8, "writing the model")
    durable.replace(job.path / layout.MODEL_GLB, glb.write_glb(textured, extras))


WORK: Mapping[str, Callable[[Job, Engine, PhotoLimits, Reporter], None]] = {
    "cutout": cutout,
    "geometry": geometry,
    "texture": texture,
}


def _read_cutout(job: Job) -> tuple[Image.Image, dict[str, JSON]]:
    with Image.open(job.path / layout.CUTOUT_PNG) as image:
        image.load()
        record: dict[str, JSON] = json.loads(image.info[KEY])
        return image.convert("RGBA"), record


def _facts(record: Mapping[str, JSON]) -> dict[str, JSON]:
    facts = record["facts"]
    return facts if isinstance(facts, dict) else {}


def _faces_asked(extras: Mapping[str, JSON]) -> int | None:
    """An engine that is told how many faces to reach says so in its settings as `faces`."""
    settings = extras["settings"]
    asked = settings.get("faces") if isinstance(settings, dict) else None
    return asked if isinstance(asked, int) else None


def _publish_views(job: Job, mesh: Trimesh, report: Reporter) -> None:
    progress = report.part("finishing")
    progress(0.0, "drawing the views")
    for at, (name, pixels) in enumerate(zip(layout.VIEWS, views.render_views(mesh), strict=True)):
        durable.replace(job.path / name, _png(Image.fromarray(pixels)))
        progress(0.1 * (at + 1), "drawing the views")


def _png(image: Image.Image, text: PngImagePlugin.PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    # Level 1: half the time of the default for a tenth more bytes.
    image.save(buffer, "PNG", compress_level=1, pnginfo=text)
    return buffer.getvalue()
