"""Every row of the state table, and every move that is not in it.

What becomes of a dead worker's jobs is in test_spool_recovery.
"""

from __future__ import annotations

from typing import Any

import pytest

from spool import layout, recovery
from spool.errors import NoSuchJob, WrongState
from spool.ids import new_id
from spool.job import Job, Request
from spool.spool import Spool
from spool.status import Status, read_attempts
from tests.support import claim, folders, picture, put, submit


def test_a_draft_is_seen_by_nobody_before_it_is_published(spool: Spool) -> None:
    draft = spool.draft(Request.new(source="http", name="a.png", suffix=".png"))
    draft.input.write_bytes(picture())
    assert spool.waiting("inbox") == []
    with pytest.raises(NoSuchJob):
        spool.find(draft.request.id)
    job = draft.publish("held")
    assert folders(spool, job.id) == ["held"]
    assert Job.read(job.path).request == draft.request


def test_jobs_are_claimed_oldest_first_and_each_once(spool: Spool) -> None:
    made = [submit(spool).id for _ in range(5)]
    taken = [claim(spool).id for _ in range(5)]
    assert taken == made
    assert spool.claim("inbox", "w") is None


@pytest.mark.parametrize(
    ("wishes", "products", "folder"),
    [
        ({}, [], "inbox"),
        ({}, ["cutout.png"], "geometry"),
        ({}, ["cutout.png", "geometry.glb"], "texture"),
        ({}, ["cutout.png", "geometry.glb", "model.glb"], "done"),
        ({"model": False}, ["cutout.png", "geometry.glb"], "geometry"),
        ({"model": False}, ["cutout.png", "geometry.glb", *layout.VIEWS[:3]], "geometry"),
        ({"model": False}, ["cutout.png", "geometry.glb", *layout.VIEWS], "held"),
        ({"views": False}, ["cutout.png", "geometry.glb"], "texture"),
        ({"views": False, "model": False}, [], "held"),
    ],
)
def test_a_job_advances_to_where_its_missing_product_is_made(
    spool: Spool, wishes: dict[str, Any], products: list[str], folder: str
) -> None:
    submit(spool, **wishes)
    job = claim(spool)
    put(job, *products)
    assert spool.advance(job) == folder
    assert folders(spool, job.id) == [folder]


def test_release_asks_for_views_then_for_the_model(spool: Spool) -> None:
    job_id = submit(spool, "held", views=False, model=False).id
    assert spool.release(job_id, model=False).folder == "inbox"
    assert spool.release(job_id, model=False).folder == "inbox"  # asking again changes nothing
    with pytest.raises(WrongState, match="still makes its views"):
        spool.release(job_id, model=True)
    job = claim(spool)
    put(job, "cutout.png", "geometry.glb", *layout.VIEWS)
    Status(progress=100.0, notes=("the small model was used",), timings={"cutout": 0.5}).write(job.path)
    assert spool.advance(job) == "held"
    assert spool.release(job_id, model=False).folder == "held"
    found = spool.release(job_id, model=True)
    assert found.status.notes == ("the small model was used",)  # the kept products still come of it
    assert (found.status.timings, found.status.progress) == ({"cutout": 0.5}, 0.0)
    assert found.folder == "inbox"
    assert found.job.request.model
    assert found.job.next_folder() == "texture"
    assert spool.release(job_id, model=True).folder == "inbox"


def test_release_of_a_failed_or_unknown_job_is_refused(spool: Spool) -> None:
    job = submit(spool)
    spool.fail(job.path, "no")
    with pytest.raises(WrongState, match="retry"):
        spool.release(job.id, model=True)
    for job_id in (new_id(), "../../etc", "", "x"):
        with pytest.raises(NoSuchJob):
            spool.release(job_id, model=True)


@pytest.mark.parametrize("folder", ["inbox", "geometry", "texture", "held"])
def test_cancel_moves_a_waiting_job_to_failed_with_the_reason(spool: Spool, folder: str) -> None:
    job = submit(spool, folder)
    found = spool.cancel(job.id)
    assert found.folder == "failed"
    assert found.job.cancelled
    assert spool.cancel(job.id).folder == "failed"  # again changes nothing


def test_cancel_only_marks_a_running_job(spool: Spool) -> None:
    job_id = submit(spool).id
    job = claim(spool)
    assert spool.cancel(job_id).folder == "running"
    assert job.cancelled


def test_cancel_of_finished_jobs_is_refused(spool: Spool) -> None:
    job = submit(spool, "done")
    with pytest.raises(WrongState):
        spool.cancel(job.id)
    other = submit(spool)
    spool.fail(other.path, "broken")
    with pytest.raises(WrongState):
        spool.cancel(other.id)


def test_retry_gives_the_attempts_back_and_keeps_the_products(spool: Spool) -> None:
    job_id = submit(spool).id
    job = claim(spool)
    for _ in range(3):
        spool.begin(job, "cutout")
    put(job, "cutout.png")
    Status(engine="sphere", notes=("a note",)).write(job.path)
    spool.fail(job.path, "it broke")
    assert Status.read(spool.root / "failed" / job_id).error == "it broke"
    found = spool.retry(job_id)
    assert found.folder == "inbox"
    assert found.job.has("cutout.png")
    assert read_attempts(found.job.path) == {}
    assert found.status.error is None
    assert (found.status.engine, found.status.notes) == ("sphere", ("a note",))
    with pytest.raises(WrongState, match="did not fail"):
        spool.retry(job_id)


def test_retry_of_a_cancelled_upload_asks_for_everything(spool: Spool) -> None:
    job = submit(spool, "held", views=False, model=False)
    spool.cancel(job.id)
    found = spool.retry(job.id)
    assert found.job.request.views and found.job.request.model and not found.job.cancelled


def test_retry_asks_for_what_was_asked_for(spool: Spool) -> None:
    job = submit(spool, model=False)
    spool.fail(job.path, "it broke")
    assert spool.retry(job.id).job.request.views_only


@pytest.mark.parametrize("folder", ["done", "failed", "held"])
def test_resting_jobs_can_be_removed(spool: Spool, folder: str) -> None:
    job = submit(spool, folder)
    spool.remove(job.id)
    assert folders(spool, job.id) == []
    assert list((spool.root / "tmp").iterdir()) == []
    with pytest.raises(NoSuchJob):
        spool.remove(job.id)


@pytest.mark.parametrize("folder", ["inbox", "geometry", "texture"])
def test_waiting_and_running_jobs_are_not_removed(spool: Spool, folder: str) -> None:
    job = submit(spool, folder)
    with pytest.raises(WrongState, match="cancel it"):
        spool.remove(job.id)
    claim(spool, folder)
    with pytest.raises(WrongState, match="cancel it"):
        spool.remove(job.id)


def test_a_file_that_is_called_like_a_job_is_not_claimed(spool: Spool) -> None:
    name = new_id()
    (spool.root / "inbox" / name).write_bytes(picture())
    job = submit(spool)
    assert claim(spool).id == job.id
    assert spool.claim("inbox", "w") is None
    assert (spool.root / "inbox" / name).read_bytes() == picture()
    assert spool.rest_left("inbox", name) > 3600  # a worker with nothing else to do sleeps
    (spool.root / "running" / "w" / name).write_bytes(picture())
    assert recovery.recover(spool, "w", 3, "it died") == [(job.id, "inbox")]
