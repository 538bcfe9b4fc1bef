"""Stages that write bytes instead of models: the order, the files and the calls of `daemon.stages`, in microseconds.

What a product holds follows from the picture's name alone, so a torn or a foreign product is known when seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from daemon import stages
from daemon.engines.base import Engine
from daemon.errors import BadJob
from daemon.reporter import Reporter
from daemon.stages import PhotoLimits
from spool import durable, layout
from spool.job import Job
from tests.crash.ledger import picture_of

during: Callable[[Job, str], None] = lambda job, stage: None  # noqa: E731
"""Called in the middle of each stage; a life puts its troubles here."""


def product(name: str, file: str) -> bytes:
    """The content of the product `file` of the picture `name`."""
    return f"{file} of {name}; ".encode() * 4


def cutout(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    progress = report.part("cutout")
    progress(0.0, "reading")
    if job.input.read_bytes() != picture_of(job.request.name):
        raise BadJob("this picture is cut off; send it again")
    during(job, "cutout")
    progress(0.5, "cutting")
    _publish(job, layout.CUTOUT_PNG)


def geometry(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    progress = report.part("geometry")
    if not job.has(layout.GEOMETRY_GLB):
        _see(job, layout.CUTOUT_PNG)
        progress(0.0, "shaping")
        during(job, "geometry")
        progress(0.5, "shaping")
        _publish(job, layout.GEOMETRY_GLB)
    if job.request.views_only:
        for view in layout.VIEWS:
            _publish(job, view)
            progress(0.9, "drawing")


def texture(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    progress = report.part("texture")
    _see(job, layout.CUTOUT_PNG)
    _see(job, layout.GEOMETRY_GLB)
    progress(0.0, "painting")
    during(job, "texture")
    if job.request.views:
        for view in layout.VIEWS:
            _publish(job, view)
    progress(0.9, "writing")
    _publish(job, layout.ANALYSIS)
    _publish(job, layout.MODEL_GLB)


WORK: Mapping[str, Callable[[Job, Engine, PhotoLimits, Reporter], None]] = {
    "cutout": cutout,
    "geometry": geometry,
    "texture": texture,
}


def _publish(job: Job, file: str) -> None:
    durable.replace(job.path / file, product(job.request.name, file))


def _see(job: Job, file: str) -> None:
    assert (job.path / file).read_bytes() == product(job.request.name, file), f"{file} is not whole"


@contextmanager
def installed() -> Iterator[None]:
    """Workers of this process do this work until the block ends."""
    real = stages.WORK
    stages.WORK = WORK
    try:
        yield
    finally:
        stages.WORK = real


def whole(job: Job, file: str) -> set[bytes]:
    """What counts as whole in a job made by this work (see `tests.crash.ledger.Whole`)."""
    if file in layout.PRODUCTS:
        return {product(job.request.name, file)}
    if file == job.request.input:
        return {picture_of(job.request.name)}
    if file == layout.CANCEL:
        return {b""}
    return {(job.path / file).read_bytes()}  # request.json and attempts.json are parsed by whoever asks
