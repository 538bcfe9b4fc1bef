"""What travels between the head and a device: the files a stage needs, and what it made.

A job directory on the other machine is the same as here, less what the stage does not read; it lies in a
temporary folder and is gone when the stage is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import DaemonError
from spool import durable, layout
from spool.job import Job
from spool.status import Status, read_attempts

_NEEDED = {
    "cutout": (),
    "geometry": (layout.CUTOUT_PNG, layout.GEOMETRY_GLB),
    "texture": (layout.CUTOUT_PNG, layout.GEOMETRY_GLB),
}
_ORDER = tuple(sorted(layout.PRODUCTS, key=lambda name: name == layout.MODEL_GLB))
"""The products in the order to publish them: the model last, because with it the job is finished."""


class Late(DaemonError):
    """A result of an attempt that is not the job's present one: it is dropped."""


@dataclass(frozen=True)
class AttemptId:
    """Which try of which stage of which job something belongs to."""

    job: str
    stage: str
    number: int

    @classmethod
    def of(cls, job: Job, stage: str) -> AttemptId:
        """The one that is counted now."""
        return cls(job.id, stage, read_attempts(job.path).get(stage, 0))


@dataclass(frozen=True)
class Parcel:
    """A stage to do: the files it reads, by name, and what is known of the job."""

    attempt: AttemptId
    files: tuple[tuple[str, bytes], ...]
    status: Status

    @classmethod
    def pack(cls, job: Job, stage: str, status: Status) -> Parcel:
        """Read what `stage` needs of a job that was claimed and begun."""
        first = (job.request.input,) if stage == "cutout" else ()
        names = (layout.REQUEST, *first, *(name for name in _NEEDED[stage] if job.has(name)))
        return cls(
            AttemptId.of(job, stage), tuple((name, (job.path / name).read_bytes()) for name in names), status
        )

    def unpack(self, folder: Path) -> Job:
        """Lay the files down in `folder`, an empty one, as a job directory."""
        path = folder / self.attempt.job
        path.mkdir()
        for name, content in self.files:
            (path / name).write_bytes(content)
        return Job.read(path)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(content) for _, content in self.files)


def made(job: Job, given: Iterable[str]) -> tuple[tuple[str, bytes], ...]:
    """The products in a job directory that were not `given` with it, in the order to publish them."""
    fresh = [name for name in _ORDER if name not in set(given) and job.has(name)]
    return tuple((name, (job.path / name).read_bytes()) for name in fresh)


def publish(job: Job, attempt: AttemptId, products: Iterable[tuple[str, bytes]]) -> None:
    """Put products into a claimed job's directory, each whole and on the disk, in the order given.

    Raises Late, before anything is written, where the job is at another attempt by now.
    """
    products = list(products)
    if attempt != AttemptId.of(job, attempt.stage):
        raise Late(f"job {job.id}: a result of {attempt} came late and is dropped")
    if foreign := [name for name, _ in products if name not in layout.PRODUCTS]:
        raise Late(
            f"job {job.id}: {', '.join(foreign)} is no product, and is dropped with all that came with it"
        )
    for name, content in products:
        durable.replace(job.path / name, content)
