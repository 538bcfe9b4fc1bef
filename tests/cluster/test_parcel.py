"""What travels, and what of it is believed when it arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cluster import parcel
from daemon.cluster.parcel import AttemptId, Late, Parcel
from spool.job import Job
from spool.spool import Spool
from spool.status import Status
from tests.support import submit


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Claimed, begun, with everything before the texture."""
    spool = Spool.open(tmp_path / "spool")
    made = submit(spool, "texture")
    (made.path / "cutout.png").write_bytes(b"cut-out")
    (made.path / "geometry.glb").write_bytes(b"mesh")
    (made.path / "job.log").write_text("lines that stay here\n")
    spool.enlist("w")
    claimed = spool.claim("texture", "w")
    assert claimed
    spool.begin(claimed, "texture")
    return claimed


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("cutout", ["request.json", "input.png"]),
        ("geometry", ["request.json", "cutout.png", "geometry.glb"]),
        ("texture", ["request.json", "cutout.png", "geometry.glb"]),
    ],
)
def test_a_parcel_holds_what_the_stage_reads(job: Job, tmp_path: Path, stage: str, names: list[str]) -> None:
    packed = Parcel.pack(job, stage, Status())
    assert [name for name, _ in packed.files] == names
    there = packed.unpack(tmp_path)
    assert there.request == job.request
    assert sorted(path.name for path in there.path.iterdir()) == sorted(names)
    assert packed.size == sum((job.path / name).stat().st_size for name in names)


def test_the_model_comes_last(job: Job, tmp_path: Path) -> None:
    there = Parcel.pack(job, "texture", Status()).unpack(tmp_path)
    for name in ("model.glb", "view_0.png", "analysis.json", "something.else"):
        (there.path / name).write_bytes(name.encode())
    made = parcel.made(there, ["request.json", "cutout.png", "geometry.glb"])
    assert [name for name, _ in made] == ["view_0.png", "analysis.json", "model.glb"]


def test_products_are_published_for_the_present_attempt_only(job: Job) -> None:
    now = AttemptId.of(job, "texture")
    assert now.number == 1
    late = AttemptId(job.id, "texture", 0)
    with pytest.raises(Late):
        parcel.publish(job, late, [("model.glb", b"of a lost actor")])
    with pytest.raises(Late):
        parcel.publish(job, AttemptId("another", "texture", 1), [("model.glb", b"of another job")])
    assert not job.has("model.glb")
    parcel.publish(job, now, [("model.glb", b"whole")])
    assert (job.path / "model.glb").read_bytes() == b"whole"


def test_nothing_but_products_is_written(job: Job) -> None:
    for name in ("request.json", "../../../escaped", "attempts.json"):
        with pytest.raises(Late):
            parcel.publish(job, AttemptId.of(job, "texture"), [("analysis.json", b"{}"), (name, b"")])
    assert not job.has("analysis.json")


def test_a_job_that_moved_on_is_left_alone(job: Job, tmp_path: Path) -> None:
    attempt = AttemptId.of(job, "texture")
    job.path.rename(tmp_path / "elsewhere")
    with pytest.raises(Late):
        parcel.publish(job, attempt, [("model.glb", b"late")])
    assert not job.path.exists()
