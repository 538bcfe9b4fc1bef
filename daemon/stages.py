"""The three stages: plain functions over a job directory.

Each reads the products of the stages before it, publishes its own, and touches nothing else, so that any job
can be resumed anywhere, by anyone. Only workers import this module: it brings the mesh libraries along.

The bytes of a product are on the disk when it is published, its name before the job rests: a power cut
between the two costs the stage once more.

An engine may leave what needs no device to `finish`, which then runs in another process (`daemon.finisher`)
while the device takes the next job: the stage returns it as a `Rest`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from daemon.decoding import decode
from daemon.engines import analysis, glb, views
from daemon.engines.base import JSON, MODEL_SHARE, Engine, Progress, Unfinished
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


@dataclass(frozen=True)
class Rest:
    """What is left of a stage when its model step is over. Can be pickled where `made` is `Unfinished`."""

    stage: str
    made: Trimesh | Unfinished
    extras: Mapping[str, JSON]
    notes: JSON = None


def cutout(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    """input.* -> cutout.png. Raises BadJob for a file that is no usable picture."""
    progress = report.part("cutout")
    progress(0.0, "reading the photo")
    photo = decode(job.input, limits.max_pixels, limits.max_side, MIN_SIDE, LONGEST_SIDE)
    progress(0.1, "removing the background" if job.request.remove_bg else "keeping the background")
    cut = engine.cutout(photo, job.request.remove_bg, progress)
    report.note(*cut.notes)
    text = PngImagePlugin.PngInfo()
    text.add_text(KEY, json.dumps({"facts": dict(cut.facts), "notes": list(cut.notes)}))
    durable.replace(job.path / layout.CUTOUT_PNG, _png(cut.image, text), named=False)


def geometry(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> Rest | None:
    """cutout.png -> geometry.glb, and the four views where nothing but them is wanted."""
    progress = report.part("geometry")
    if job.has(layout.GEOMETRY_GLB):
        _publish_views_if_alone(job, report)
        return None
    progress(0.0, "making the shape")
    image, record = _read_cutout(job)
    made = engine.geometry(image, order_of(job.request), progress)
    notes = _noted(made, report)
    extras = {**made_with(engine, job.request, _facts(record)), **({"notes": notes} if notes else {})}
    return _later(job, Rest("geometry", made, extras), report)


def texture(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> Rest | None:
    """geometry.glb and cutout.png -> the views, analysis.json and, last of all, model.glb."""
    progress = report.part("texture")
    progress(0.0, "reading the shape")
    image, record = _read_cutout(job)
    mesh = glb.read_glb(job.path / layout.GEOMETRY_GLB)
    made = engine.texture(mesh, image, order_of(job.request), progress)
    extras = made_with(engine, job.request, _facts(record))
    shaped = glb.read_extras(job.path / layout.GEOMETRY_GLB)
    notes: JSON = [*_list(record["notes"]), *_list(shaped.get("notes")), *_noted(made, report)]
    return _later(job, Rest("texture", made, extras, notes), report)


def finish(job: Job, rest: Rest, report: Reporter) -> None:
    """The rest of a stage, on the CPU: publish its products."""
    mesh = rest.made
    if isinstance(mesh, Unfinished):
        mesh = mesh(_from(MODEL_SHARE, report.part(rest.stage)))
    if rest.stage == "geometry":
        durable.replace(job.path / layout.GEOMETRY_GLB, glb.write_glb(mesh, rest.extras), named=False)
        _publish_views_if_alone(job, report)
    else:
        _publish_model(job, mesh, rest, report)


def _publish_model(job: Job, textured: Trimesh, rest: Rest, report: Reporter) -> None:
    if job.request.views:
        _publish_views(job, textured, report)
    finishing = report.part("finishing")
    finishing(0.6, "measuring the model")
    facts = {**analysis.analyse(textured, _faces_asked(rest.extras)), **rest.extras, "notes": rest.notes}
    if "used" in textured.metadata:  # what an engine can only tell when it is done
        facts["used"] = textured.metadata["used"]
    durable.replace_json(job.path / layout.ANALYSIS, facts, named=False)
    finishing(0.8, "writing the model")
    durable.replace(job.path / layout.MODEL_GLB, glb.write_glb(textured, rest.extras), named=False)


WORK: Mapping[str, Callable[[Job, Engine, PhotoLimits, Reporter], Rest | None]] = {
    "cutout": cutout,
    "geometry": geometry,
    "texture": texture,
}


def _later(job: Job, rest: Rest, report: Reporter) -> Rest | None:
    """Leave what can be left; finish the rest of the others here and now."""
    if isinstance(rest.made, Unfinished):
        return rest
    finish(job, rest, report)
    return None


def _noted(made: Trimesh | Unfinished, report: Reporter) -> list[JSON]:
    """What an engine has to say about a step, told in the status too."""
    notes = made.notes if isinstance(made, Unfinished) else ()
    report.note(*notes)
    return list(notes)


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []


def _from(start: float, progress: Progress) -> Progress:
    return lambda share, message: progress(start + (1 - start) * share, message)


def _publish_views_if_alone(job: Job, report: Reporter) -> None:
    if job.request.views_only:
        _publish_views(job, glb.read_glb(job.path / layout.GEOMETRY_GLB), report)


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
        durable.replace(job.path / name, _png(Image.fromarray(pixels)), named=False)
        progress(0.1 * (at + 1), "drawing the views")


def _png(image: Image.Image, text: PngImagePlugin.PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    # Level 1: half the time of the default for a tenth more bytes.
    image.save(buffer, "PNG", compress_level=1, pnginfo=text)
    return buffer.getvalue()
