"""In which order waiting jobs are taken, and that a paused queue gives none out."""

from __future__ import annotations

import json
import random
import time

import pytest

from spool import line, pause, priority
from spool.errors import InvalidRequest, WrongState
from spool.ids import made_at, new_id
from spool.line import Head, count_in, first_in, line_in
from spool.priority import HIGH, LOW, NORMAL
from spool.spool import Spool
from tests.support import picture, submit

DAY = 86400.0


def born(seconds_ago: float) -> str:
    """The id of a job that came that long ago."""
    fresh = new_id()
    made = f"{int((time.time() - seconds_ago) * 1000):012x}"
    return f"{made[:8]}-{made[8:]}{fresh[13:]}"


def fill(spool: Spool, folder: str, ids: list[str]) -> None:
    for job_id in ids:
        (spool.root / folder / job_id).mkdir()


def claimed(spool: Spool) -> list[str]:
    taken = []
    while job := spool.claim("inbox", "w"):
        taken.append(job.id)
    return taken


def with_priority(spool: Spool, wanted: str) -> str:
    job = submit(spool)
    spool.prioritise(job.id, wanted)
    return job.id


def test_high_goes_before_normal_before_low_and_age_decides_within(spool: Spool) -> None:
    ids = [with_priority(spool, wanted) for wanted in (LOW, NORMAL, HIGH, LOW, NORMAL, HIGH)]
    order = [ids[at] for at in (2, 5, 1, 4, 0, 3)]
    assert list(line_in(spool.root, "inbox")) == order
    assert [line_in(spool.root, "inbox").position(job_id) for job_id in order] == [0, 1, 2, 3, 4, 5]
    assert list(Head(spool.root, "inbox")) == first_in(spool.root, "inbox", 99) == order
    assert claimed(spool) == order


def test_a_draft_is_published_with_its_priority(spool: Spool) -> None:
    usual = submit(spool)
    from spool.job import Request

    draft = spool.draft(Request.new(source="cli", name="b.png", suffix=".png"))
    draft.input.write_bytes(picture())
    urgent = draft.publish("inbox", HIGH)
    assert claimed(spool) == [urgent.id, usual.id]


def test_whoever_waits_long_enough_is_taken_before_every_high_one_that_comes(spool: Spool) -> None:
    old_low, old, young = born(2 * DAY + 60), born(DAY + 60), born(DAY - 60)
    high = born(0)
    fill(spool, "geometry", [high, young, old, old_low])
    priority.mark(spool.root, old_low, LOW)
    priority.mark(spool.root, high, HIGH)
    assert list(line_in(spool.root, "geometry")) == [old_low, old, high, young]


def test_nothing_starves_under_a_stream_of_high_jobs() -> None:
    """One job a minute leaves, one high job a minute comes: the low one leaves within two days and a minute."""
    start, low = 1_790_000_000, f"{1_790_000_000_000:012x}"
    place = priority.place(f"{low[:8]}-{low[8:]}-7000-8000-000000000000", LOW)
    for minute in range(4 * 24 * 60):
        made = f"{(start + 60 * minute) * 1000:012x}"
        if priority.place(f"{made[:8]}-{made[8:]}-7000-8000-000000000000", HIGH) > place:
            break
    assert minute == 2 * 24 * 60 + 1 or minute == 2 * 24 * 60
    assert minute > 24 * 60


def test_a_place_keeps_the_form_of_an_id_and_shifts_its_age_only() -> None:
    job_id = new_id()
    for wanted, days in ((HIGH, -1), (LOW, 1)):
        place = priority.place(job_id, wanted)
        assert made_at(place) == pytest.approx(made_at(job_id) + days * DAY)
        assert place[13:] == job_id[13:]
    assert (
        priority.place("00000000-0000-7000-8000-000000000000", HIGH) == "00000000-0000-7000-8000-000000000000"
    )


@pytest.mark.parametrize("before", priority.PRIORITIES)
@pytest.mark.parametrize("after", priority.PRIORITIES)
def test_a_priority_changes_to_any_other_and_leaves_one_mark(spool: Spool, before: str, after: str) -> None:
    job = submit(spool)
    spool.prioritise(job.id, before)
    assert priority.of(spool.root, job.id) == before
    spool.prioritise(job.id, after)
    assert priority.of(spool.root, job.id) == after
    marks = [path.name for path in (spool.root / priority.FOLDER).iterdir()]
    assert marks == ([] if after == NORMAL else [f"{job.id}.{after}"])


def test_what_is_no_priority_and_who_is_finished_is_refused(spool: Spool) -> None:
    with pytest.raises(InvalidRequest, match="'urgent' is not one of high, normal, low"):
        spool.prioritise(submit(spool).id, "urgent")
    for folder in ("done", "failed"):
        with pytest.raises(WrongState, match="finished"):
            spool.prioritise(submit(spool, folder).id, HIGH)


def test_of_two_marks_high_counts_and_a_stranger_is_no_mark(spool: Spool) -> None:
    job = submit(spool)
    folder = spool.root / priority.FOLDER
    folder.mkdir()
    for name in (f"{job.id}.low", f"{job.id}.high", "notes.high", f"{job.id}.urgent", job.id):
        (folder / name).touch()
    assert priority.marked(spool.root) == {job.id: HIGH}


def test_the_marks_of_jobs_that_are_gone_are_swept(spool: Spool) -> None:
    waiting, running, done, gone = (with_priority(spool, HIGH) for _ in range(4))
    (spool.root / "inbox" / done).rename(spool.root / "done" / done)
    (spool.root / "inbox" / running).rename(spool.root / "running" / "w" / running)
    spool.cancel(gone)
    spool.remove(gone)
    priority.sweep(spool.root)
    assert set(priority.marked(spool.root)) == {waiting, running, done}


def test_a_mark_laid_before_its_job_appears_is_not_swept(spool: Spool) -> None:
    draft = spool.draft(submit(spool).request)
    priority.mark(spool.root, draft.request.id, HIGH)
    priority.sweep(spool.root)
    assert priority.of(spool.root, draft.request.id) == HIGH


def test_a_head_of_a_long_line_gives_everything_out_once_and_in_order(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "LONG", 10)
    monkeypatch.setattr(line, "SHORT", 9)
    ids = [new_id() for _ in range(57)]
    fill(spool, "geometry", random.Random(1).sample(ids, len(ids)))
    head, taken = Head(spool.root, "geometry"), []
    while True:
        job_id = next(iter(head), None)
        if job_id is None:
            break
        taken.append(job_id)
        (spool.root / "geometry" / job_id).rmdir()
    assert taken == ids


def test_a_head_looks_once_more_before_it_says_that_nothing_waits(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others took what a reading had named: what came since is found in the same walk."""
    monkeypatch.setattr(line, "LONG", 3)
    monkeypatch.setattr(line, "SHORT", 2)
    monkeypatch.setattr(line, "PATIENCE", 1e9)
    ids = [new_id() for _ in range(3)]
    fill(spool, "geometry", ids)
    head = Head(spool.root, "geometry")
    assert next(iter(head)) == ids[0]
    for job_id in ids:
        (spool.root / "geometry" / job_id).rmdir()
    late = new_id()
    fill(spool, "geometry", [late])
    assert list(head) == [*ids[1:], late]


def test_a_short_line_is_never_stale(spool: Spool) -> None:
    head = Head(spool.root, "geometry")
    for _ in range(200):
        job_id = new_id()
        fill(spool, "geometry", [job_id])
        assert list(line_in(spool.root, "geometry")) == list(head) == [job_id]
        (spool.root / "geometry" / job_id).rmdir()


def test_jobs_are_counted_no_further_than_asked(spool: Spool) -> None:
    fill(spool, "geometry", [new_id() for _ in range(5)])
    (spool.root / "geometry" / "stranger").mkdir()
    assert [count_in(spool.root, "geometry", most) for most in (0, 1, 4, 9)] == [0, 1, 4, 5]


def test_a_pause_says_since_when_and_why_and_ends(spool: Spool) -> None:
    assert not pause.is_paused(spool.root) and pause.paused(spool.root) is None
    pause.resume(spool.root)  # nothing to resume
    made = pause.pause(spool.root, "ann", "new card")
    assert pause.pause(spool.root, "bob", "lunch") == made == pause.paused(spool.root)
    assert (made.by, made.reason) == ("ann", "new card") and made.since
    assert pause.is_paused(spool.root)
    pause.resume(spool.root)
    assert not pause.is_paused(spool.root) and pause.paused(spool.root) is None


def test_a_damaged_pause_is_a_pause(spool: Spool) -> None:
    pause.pause(spool.root)
    for content in (b"", b"[]", json.dumps({"until": 1}).encode()):
        (spool.root / pause.FOLDER / pause.FILE).write_bytes(content)
        found = pause.paused(spool.root)
        assert pause.is_paused(spool.root) and found and "cannot be read" in found.reason


def test_tags_are_kept_and_checked(spool: Spool) -> None:
    from spool.job import Job, Request

    job = submit(spool, tags=("shop", "blue chair"))
    assert Job.read(job.path).request.tags == ("shop", "blue chair")
    for wrong in (
        ("",),
        (" a",),
        ("a" * 51,),
        ("a,b",),
        ("a", "a"),
        ("a\n",),
        tuple(f"t{at}" for at in range(21)),
    ):
        with pytest.raises(InvalidRequest, match="tag"):
            Request.new(source="cli", name="a.png", suffix=".png", tags=wrong)
    with pytest.raises(InvalidRequest, match="list"):
        Request.new(source="cli", name="a.png", suffix=".png", tags="shop")


def test_a_place_in_a_long_line_may_be_told_on_and_in_a_short_one_never(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "SHORT", 2)
    monkeypatch.setattr(line, "PATIENCE", 0.0)
    ids = [new_id() for _ in range(4)]
    fill(spool, "geometry", ids)
    places = []
    for job_id in ids[:3]:
        places.append(
            [line_in(spool.root, "geometry", seconds).position(ids[3]) for seconds in (1e9, 0.0, 1e9)]
        )
        (spool.root / "geometry" / job_id).rmdir()
    # Read once; told on where that is enough, until it is short: then a reading counts for nothing that is past.
    assert places == [[3, 3, 3], [3, 2, 2], [2, 1, 1]]
    assert line_in(spool.root, "geometry", 1e9).position(ids[3]) == 0
