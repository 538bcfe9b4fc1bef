"""What readers find: jobs and their files, how far a job is, and why it failed."""

from __future__ import annotations

import json
import shutil

import pytest

from spool.errors import NoSuchJob, WrongState
from spool.job import Request
from spool.spool import Spool
from spool.status import Status, progress_over_job
from spool.view import look
from tests.support import claim, picture, submit


def test_the_newest_jobs_come_first_in_pages(spool: Spool) -> None:
    made = [submit(spool, folder).id for folder in ("done", "failed", "held", "inbox", "texture")]
    claim(spool)
    first = spool.newest(2)
    assert [found.job.id for found in first] == [made[4], made[3]]
    rest = spool.newest(10, before=first[-1].job.id)
    assert [found.job.id for found in rest] == [made[2], made[1], made[0]]


def test_a_file_stays_readable_while_its_job_moves_and_goes(spool: Spool) -> None:
    job = submit(spool, "done")
    with spool.open_file(job.id, "input.png") as file:
        spool.remove(job.id)
        assert file.read() == picture()
    with pytest.raises(NoSuchJob):
        spool.open_file(job.id, "input.png")
    other = submit(spool)
    with pytest.raises(FileNotFoundError):
        spool.open_file(other.id, "model.glb")


def test_progress_rises_over_the_whole_job() -> None:
    for wishes in ({}, {"model": False}):
        request = Request.new(source="cli", name="a", suffix=".png", **wishes)
        parts = ["cutout", "geometry", *([] if wishes else ["texture"]), "finishing"]
        seen = [progress_over_job(request, part, share) for part in parts for share in (0.0, 0.5, 1.0)]
        assert seen == sorted(seen)
        assert seen[2:-1:3] == seen[3::3]  # each part goes on where the one before ended
        assert (seen[0], seen[-1]) == (0.0, 100.0)


def test_a_job_whose_reason_was_lost_says_so(spool: Spool) -> None:
    lost, cancelled = submit(spool), submit(spool)
    spool.fail(lost.path, "it broke")
    spool.cancel(cancelled.id)
    for job, word in ((lost, "the reason was lost"), (cancelled, "cancelled")):
        (spool.root / "failed" / job.id / "status.json").unlink(missing_ok=True)
        assert word in look(spool, job.id)["error"]


def test_only_ids_are_looked_for(spool: Spool) -> None:
    """Whatever else a client sends never becomes a path."""
    job = submit(spool, "held")
    assert (spool.find(job.id).folder, spool.find(job.id).worker) == ("held", None)
    for name in ("plain", "../outside"):
        shutil.copytree(job.path, spool.root / "held" / name)
        with pytest.raises(NoSuchJob):
            spool.find(name)


def test_a_torn_status_is_no_news_and_no_error(spool: Spool) -> None:
    job = submit(spool)
    for content in (b"", b"{", b"[]", b"3", json.dumps({"progress": "x"}).encode()):
        (job.path / "status.json").write_bytes(content)
        assert Status.read(job.path) == Status()


@pytest.mark.parametrize("damage", [b"", b'{"id": 3}', None])
def test_invariant_9_a_job_that_lost_its_request_says_so_and_can_be_deleted(
    spool: Spool, damage: bytes | None
) -> None:
    job = submit(spool)
    request = job.path / "request.json"
    request.write_bytes(damage) if damage is not None else request.unlink()
    assert spool.claim("inbox", "w") is None
    told = look(spool, job.id)
    assert told["status"] == "failed" and "request cannot be read" in told["error"]
    assert told["created_at"] == job.request.created[: len(told["created_at"])]
    assert [found.job.id for found in spool.newest(10)] == [job.id]
    with pytest.raises(WrongState, match="submit its photo again"):
        spool.retry(job.id)
    spool.remove(job.id)
    with pytest.raises(NoSuchJob):
        spool.find(job.id)
