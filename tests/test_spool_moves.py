"""Every row of the state table, and every move that is not in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from spool import layout
from spool.errors import InvalidRequest, NoSuchJob, SpoolUnusable, WrongState
from spool.ids import is_job_id, new_id
from spool.job import Job, Request
from spool.spool import Spool
from spool.status import Status, progress_over_job, read_attempts
from spool.view import look
from tests.support import picture, submit


def put(job: Job, *products: str) -> None:
    for product in products:
        (job.path / product).write_bytes(b"product")


def claim(spool: Spool, folder: str = "inbox") -> Job:
    job = spool.claim(folder, "w")
    assert job is not None
    return job


def folders(spool: Spool, job_id: str) -> list[str]:
    return [str(path.parent.relative_to(spool.root)) for path in spool.root.rglob(job_id)]


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


@pytest.mark.parametrize(
    ("products", "attempts", "cancelled", "folder"),
    [
        ([], 0, False, "inbox"),
        ([], 2, False, "inbox"),
        ([], 3, False, "failed"),
        (["cutout.png"], 3, False, "geometry"),
        (["cutout.png"], 1, True, "failed"),
        (["cutout.png", "geometry.glb", "model.glb"], 3, True, "done"),
    ],
)
def test_recovery_puts_a_dead_workers_job_where_it_belongs(
    spool: Spool, products: list[str], attempts: int, cancelled: bool, folder: str
) -> None:
    submit(spool)
    job = claim(spool)
    put(job, *products)
    for _ in range(attempts):
        spool.begin(job, "cutout")
    if cancelled:
        spool.cancel(job.id)
    assert spool.recover("w", 3, "it was killed by SIGKILL") == [(job.id, folder)]
    assert folders(spool, job.id) == [folder]
    assert not (spool.root / folder / job.id / "trouble.json").exists()  # there was none
    if folder == "failed" and not cancelled:
        assert "SIGKILL" in (Status.read(spool.root / "failed" / job.id).error or "")


@pytest.mark.parametrize("content", [None, b"", b'{"id": 3}'])
def test_recovery_gives_a_job_with_a_damaged_request_up(spool: Spool, content: bytes | None) -> None:
    damaged, whole = submit(spool).id, submit(spool).id
    claim(spool), claim(spool)
    request = spool.root / "running" / "w" / damaged / "request.json"
    request.unlink()
    if content is not None:
        request.write_bytes(content)
    assert spool.recover("w", 3, "it died") == [(damaged, "failed"), (whole, "inbox")]
    assert "request cannot be read" in (Status.read(spool.root / "failed" / damaged).error or "")


def test_a_file_that_is_called_like_a_job_is_not_claimed(spool: Spool) -> None:
    name = new_id()
    (spool.root / "inbox" / name).write_bytes(picture())
    job = submit(spool)
    assert claim(spool).id == job.id
    assert spool.claim("inbox", "w") is None
    assert (spool.root / "inbox" / name).read_bytes() == picture()
    assert spool.rest_left("inbox", name) > 3600  # a worker with nothing else to do sleeps
    (spool.root / "running" / "w" / name).write_bytes(picture())
    assert spool.recover("w", 3, "it died") == [(job.id, "inbox")]


def test_recovery_can_refund_the_attempt(spool: Spool) -> None:
    submit(spool)
    job = claim(spool)
    for _ in range(3):
        spool.begin(job, "cutout")
    assert spool.recover("w", 3, "the service stopped", refund=True) == [(job.id, "inbox")]
    assert read_attempts(spool.root / "inbox" / job.id) == {"cutout": 2}


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b'{"id": 3}'])
def test_a_job_with_a_damaged_request_fails_with_the_reason(spool: Spool, content: bytes | None) -> None:
    damaged, whole = submit(spool), submit(spool)
    request = damaged.path / "request.json"
    request.unlink()
    if content is not None:
        request.write_bytes(content)
    assert claim(spool).id == whole.id
    assert "request" in (Status.read(spool.root / "failed" / damaged.id).error or "")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 2}, "version"),
        ({"id": "0190b5a0-0000-4000-8000-000000000000"}, "UUIDv7"),
        ({"id": "../x"}, "UUIDv7"),
        ({"source": "somewhere"}, "source"),
        ({"quality": "best"}, "quality"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"seed": True}, "seed"),
        ({"views": 1}, "views"),
        ({"name": None}, "name"),
        ({"input": "photo.png"}, "input"),
        ({"input": "input./../../x"}, "input"),
        ({"wish": "more"}, "exactly"),
    ],
)
def test_a_request_is_checked_field_by_field(change: dict[str, Any], word: str) -> None:
    whole = Request.new(source="cli", name="a.png", suffix=".png").as_json()
    assert Request.parse(json.dumps(whole).encode()).as_json() == whole
    with pytest.raises(InvalidRequest, match=word):
        Request.parse(json.dumps({**whole, **change}).encode())


def test_a_request_needs_every_field_and_knows_every_wish() -> None:
    whole = Request.new(source="cli", name="a.png", suffix=".png").as_json()
    for missing in set(whole) - {"client", "callback_url", "allow_lower", "tags"}:  # these came later
        with pytest.raises(InvalidRequest, match="exactly"):
            Request.parse(json.dumps({name: whole[name] for name in whole if name != missing}).encode())
    with pytest.raises(InvalidRequest, match="unknown setting colour"):
        Request.new(source="cli", name="a.png", suffix=".png", colour="red")


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


def test_a_spool_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable, match="PROTOSCALE_SPOOL"):
        Spool.open(tmp_path / "file" / "spool")


def test_ids_are_version_7_and_sorted() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert all(is_job_id(job_id) for job_id in ids)
    assert not is_job_id("0190b5a0-0000-4000-8000-000000000000")
    assert not is_job_id("../" + ids[0])


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
