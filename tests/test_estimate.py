"""Estimates: learned from what lies in done/, played with what runs and waits, and never invented."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spool import estimate, history, layout, lock, pause, queue
from spool.board import IDLE, OUT, Board, Slot
from spool.estimate import Tail, outlook
from spool.forecast import Span, Times
from spool.history import Sample, medians, samples_of, spans_for
from spool.job import Job
from spool.spool import Spool
from spool.status import Status
from spool.view import look
from tests.client import client_of
from tests.support import submit

SECONDS = {"cutout": 1.0, "geometry": 20.0, "texture": 10.0}
TEXTURE = Slot("texture-0", "texture", "cuda:0", ("cutout", "texture"), IDLE, None, None, 1, 0, 0.0, None, 0)
GEOMETRY = Slot("geometry-0", "geometry", "cuda:1", ("geometry",), IDLE, None, None, 2, 0, 0.0, None, 0)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    """A spool at which somebody works on two devices; nothing is kept from one look to the next."""
    for module, name in (
        (history, "GOOD_FOR"),
        (history, "PATIENCE"),
        (estimate, "GOOD_FOR"),
        (estimate, "PATIENCE"),
    ):
        monkeypatch.setattr(module, name, 0.0)
    made = Spool.open(tmp_path / "spool")
    for slot in (TEXTURE, GEOMETRY):
        made.enlist(slot.name)
    held = lock.take(made.root)
    board(made, TEXTURE, GEOMETRY)
    yield made
    os.close(held)


def board(spool: Spool, *slots: Slot, engine: str = "sphere") -> None:
    Board(os.getpid(), "2026-01-01T00:00:00+00:00", engine, None, (), slots).write(spool.root)


def finished(spool: Spool, quality: str = "high", engine: str = "sphere", **told: Any) -> None:
    job = submit(spool, "done", quality=quality)
    Status(engine=engine, **{"timings": SECONDS, **told}).write(job.path)


def told(spool: Spool, job_id: str) -> Any:
    return look(spool, job_id)["estimate"]


def test_without_a_history_nothing_is_told(spool: Spool) -> None:
    job = submit(spool)
    assert told(spool, job.id) is None
    finished(spool, engine="another")
    assert told(spool, job.id) is None
    finished(spool)
    assert told(spool, job.id) == {"start": 0.0, "finish": 31.0}
    assert told(spool, spool.waiting("done")[0]) is None


def test_three_jobs_wait_for_one_another_as_the_policy_has_it(spool: Spool) -> None:
    finished(spool)
    jobs = [submit(spool).id for _ in range(3)]
    assert [told(spool, job) for job in jobs] == [
        {"start": 0.0, "finish": 31.0},
        {"start": 1.0, "finish": 51.0},
        {"start": 2.0, "finish": 70.0},  # 71 s, told to 5 s
    ]
    spool.prioritise(jobs[2], "high")
    assert told(spool, jobs[2]) == {"start": 0.0, "finish": 31.0}
    assert queue.told(spool, 2)["all_done"] == 70.0


def test_who_asks_for_the_model_after_the_views_is_told_of_both(spool: Spool) -> None:
    finished(spool)
    job = submit(spool, model=False)
    assert told(spool, job.id) == {"start": 0.0, "finish": 21.0}
    job.path.rename(spool.root / "held" / job.id)
    for view in layout.VIEWS:
        (spool.root / "held" / job.id / view).write_bytes(b"x")
    spool.release(job.id, model=True)
    assert told(spool, job.id) == {"start": 0.0, "finish": 31.0}


def test_what_runs_counts_with_the_time_it_has_had(spool: Spool) -> None:
    finished(spool)
    job, behind = submit(spool, "geometry"), submit(spool, "geometry")
    (job.path / layout.CUTOUT_PNG).write_bytes(b"x")
    claimed = spool.claim("geometry", "geometry-0")
    assert claimed and claimed.id == job.id
    spool.begin(claimed, "geometry")
    os.utime(claimed.path / layout.ATTEMPTS, (time.time() - 15, time.time() - 15))
    assert told(spool, job.id) == {"start": 0.0, "finish": pytest.approx(15, abs=1)}
    assert told(spool, behind.id)["start"] == pytest.approx(5, abs=1)
    # Longer than it ever took: it is expected to be over at any moment.
    os.utime(claimed.path / layout.ATTEMPTS, (time.time() - 500, time.time() - 500))
    assert told(spool, behind.id)["start"] == 0.0


def test_what_is_finished_beside_the_device_does_not_hold_it(spool: Spool) -> None:
    finished(spool, device={"geometry": 5.0}, finishing={"geometry": 3.0})
    first, second = submit(spool, "geometry"), submit(spool, "geometry")
    assert told(spool, first.id)["finish"] == 18.0  # 5 + 3, then the texture's 10
    assert told(spool, second.id) == {"start": 5.0, "finish": 28.0}
    (first.path / layout.CUTOUT_PNG).write_bytes(b"x")
    claimed = spool.claim("geometry", "geometry-0")
    assert claimed
    spool.begin(claimed, "geometry")
    os.utime(claimed.path / layout.ATTEMPTS)
    assert told(spool, second.id)["start"] == pytest.approx(5.0, abs=1)
    replace(Status.read(claimed.path), device={"geometry": 0.1}).write(claimed.path)
    assert told(spool, second.id)["start"] == 0.0


def test_a_device_has_one_job_at_a_time_whatever_else_its_worker_holds(spool: Spool) -> None:
    finished(spool, device={"geometry": 5.0}, finishing={"geometry": 3.0})
    held = [submit(spool, "geometry") for _ in range(3)]
    waits = [submit(spool, "geometry") for _ in range(2)]
    for at, job in enumerate(held):
        (job.path / layout.CUTOUT_PNG).write_bytes(b"x")
        claimed = spool.claim("geometry", "geometry-0")
        assert claimed and claimed.id == job.id
        spool.begin(claimed, "geometry")
        began = time.time() - (12, 7, 2)[at]
        os.utime(claimed.path / layout.ATTEMPTS, (began, began))
    # Two wait for the finisher, which tells of neither yet; the third has three seconds of the device before it.
    assert [told(spool, job.id)["start"] for job in waits] == [pytest.approx(at, abs=1) for at in (3, 8)]


@pytest.mark.parametrize("why", ["paused", "nobody", "out"])
def test_nobody_can_say_while_nothing_is_begun(spool: Spool, why: str) -> None:
    finished(spool)
    job = submit(spool)
    assert told(spool, job.id)
    if why == "paused":
        pause.pause(spool.root)
    elif why == "nobody":
        (spool.root / "supervisor.json").unlink()
    else:
        board(spool, replace(TEXTURE, state=OUT), GEOMETRY)
    assert told(spool, job.id) is None
    assert queue.told(spool, 9)["all_done"] is None


def test_medians_of_the_newest_and_other_qualities_scaled() -> None:
    def sample(seconds: float, quality: str = "high") -> Sample:
        times = dict.fromkeys(SECONDS, seconds)
        return Sample("e", quality, {name: Span(spent) for name, spent in times.items()}, times)

    samples = [sample(10), sample(12), sample(500)]
    assert spans_for(medians(samples), ["high"]) == {(name, "high"): Span(12) for name in SECONDS}
    assert spans_for(medians(samples[:2]), ["high"]) == {(name, "high"): Span(11) for name in SECONDS}
    old = [*[sample(10)] * history.COUNTED, *[sample(99)] * 50]
    assert medians(old)["geometry", "high"] == Span(10)
    assert spans_for(medians([]), ["high"]) is None
    known = spans_for(medians([sample(10), sample(3, "draft")]), ["draft", "balanced", "high", "ultra"])
    assert known and known["cutout", "ultra"] == Span(10) and known["geometry", "high"] == Span(10)
    assert known["geometry", "draft"].device < known["geometry", "balanced"].device < 10
    assert known["geometry", "ultra"].device > 10


def test_a_history_is_read_as_it_grows_and_survives_what_is_damaged(spool: Spool) -> None:
    assert samples_of(spool.root) == []
    finished(spool)
    damaged = submit(spool, "done")
    (damaged.path / layout.STATUS).write_text("[]")
    submit(spool, "done")  # no status at all
    until = time.monotonic() + 60
    while len(samples_of(spool.root)) != 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert [sample.spans["geometry"] for sample in samples_of(spool.root)] == [Span(20.0)]


def test_those_behind_the_jobs_that_are_played_follow_at_their_rate(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(spool)
    jobs = [submit(spool).id for _ in range(60)]
    all_played = outlook(spool.root)
    assert all_played and all_played.tail is None
    exact = {job: all_played.times[job] for job in jobs}
    monkeypatch.setattr(estimate, "WINDOW", 24)
    some = outlook(spool.root)
    assert some and some.tail and jobs[59] not in some.times
    for rank in (30, 45, 59):
        expected = told(spool, jobs[rank])
        assert expected["finish"] == pytest.approx(exact[jobs[rank]].finishes, rel=0.1)
    last = some.all_done()
    assert last and last.finish == pytest.approx(exact[jobs[59]].finishes, rel=0.1)


def test_a_tail_is_the_line_through_the_middle_half() -> None:
    tail = Tail.behind([Times(10.0 * at, 10.0 * at + 31) for at in range(100)])
    assert tail.at(200) == Times(2000.0, 2031.0)


def test_the_queue_object_is_in_order_and_bounded(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(spool)
    early = submit(spool, "geometry", tags=("oak",))
    (early.path / layout.CUTOUT_PNG).write_bytes(b"x")
    waits = [submit(spool).id for _ in range(30)]
    submit(spool, "held", views=False, model=False)
    urgent = waits[20]
    spool.prioritise(urgent, "high")
    claimed = spool.claim("geometry", "geometry-0")
    assert claimed
    spool.begin(claimed, "geometry")
    Status(stage="geometry", progress=12.5, worker="geometry-0").write(claimed.path)
    client = client_of(tmp_path / "spool")
    answer = client.get("/api/queue?first=5")
    seen = answer.json()
    assert seen["counts"] == {"cutout": 30, "geometry": 0, "texture": 0, "running": 1, "held": 1}
    assert [row["job_id"] for row in seen["waiting"]] == [urgent, *waits[:4]]
    assert [row["position"] for row in seen["waiting"]] == [1, 2, 3, 4, 5]
    assert seen["waiting"][0]["priority"] == "high" and seen["waiting"][0]["estimate"]["start"] == 0.0
    (runs,) = seen["running"]
    assert (runs["job_id"], runs["worker"], runs["stage"], runs["progress"], runs["tags"]) == (
        early.id, "geometry-0", "geometry", 12.5, ["oak"],
    )  # fmt: skip
    assert seen["all_done"] > 31 * 20 and seen["may"] == {"prioritise_high": True, "pause": True}
    assert len(client.get("/api/queue").json()["waiting"]) == 20
    assert client.get("/api/queue?first=0").json()["waiting"] == []
    assert [
        client.get(f"/api/queue?{query}").status_code for query in ("first=501", "first=x", "limit=1")
    ] == [422] * 3
    pause.pause(spool.root, reason="why")
    first, again = (client.get("/api/queue") for _ in range(2))
    assert first.json()["paused"]["reason"] == "why" and json.dumps(first.json())
    assert first.headers["etag"] == again.headers["etag"]
    known = {"if-none-match": first.headers["etag"]}
    assert client.get("/api/queue", headers=known).status_code == 304


def test_no_more_requests_are_read_than_are_told(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(spool)
    for _ in range(40):
        submit(spool)
    monkeypatch.setattr(estimate, "WINDOW", 10)
    read: list[Path] = []
    original = Job.read

    def counting(path: Path) -> Job:
        read.append(path)
        return original(path)

    monkeypatch.setattr(Job, "read", counting)
    assert len(queue.told(spool, 5)["waiting"]) == 5
    assert len(read) == 15
    queue.told(spool, 5)
    assert len(read) == 20  # what a waiting job wants is known by now
