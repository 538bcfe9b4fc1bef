"""The invariants that docs/spool.md numbers: each has a test that names it, and more where one is not enough.

Those of one part of the spool are tested with it: of files (3) in test_durable, attempts (5, 6) in test_attempts, and
dropped files (8) in test_adoption.

What a crash may do to them all is tried by tests/crash; these tests say in a few lines what each one means.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spool import durable, lock, pause, priority, recovery
from spool.errors import NoSuchJob, SpoolUnusable
from spool.job import Job, Request
from spool.layout import PRODUCTS
from spool.spool import Spool
from spool.status import Status
from tests.crash.shim import Shim
from tests.listener import Listener
from tests.support import picture, submit, until

DOCS = Path(__file__).parents[1] / "docs" / "spool.md"


def test_every_invariant_of_the_documents_has_a_test_that_names_it() -> None:
    text = DOCS.read_text().partition("## Invariants")[2].partition("\n#")[0]
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [number for number in numbers if f"\ndef test_invariant_{number}_" not in tests] == []


def test_invariant_1_a_submit_is_on_the_disk_before_it_is_acknowledged(spool: Spool) -> None:
    heard = Listener()
    with Shim(spool.root, heard).installed():
        job = submit(spool)
    # The bytes, the names in the draft, the move, and both folders it touches, in this order.
    assert heard.calls.index("fsync input.png") < heard.calls.index(f"fsync {job.id}")
    assert heard.calls.index("fsync request.json") < heard.calls.index(f"fsync {job.id}")
    assert heard.calls[-3:] == [f"rename {job.id}", "fsync inbox", "fsync tmp"]


@pytest.mark.parametrize("failing", ["input.png", "the request", "inbox", "tmp", "the draft"])
def test_invariant_1_a_failed_fsync_is_not_tried_again_and_not_acknowledged(
    spool: Spool, failing: str
) -> None:
    request = Request.new(source="cli", name="a.png", suffix=".png")
    draft = spool.draft(request)
    draft.input.write_bytes(picture())
    names = {"the draft": request.id, "the request": "request.json"}
    heard = Listener(names.get(failing, failing))
    with Shim(spool.root, heard).installed(), pytest.raises(OSError, match="Input/output"):
        draft.publish("inbox")
    calls = [call for call in heard.calls if not call.startswith("unlink")]  # what was written aside goes
    assert calls[-1].startswith("fsync")
    assert calls.count(calls[-1]) == 1


def test_invariant_1_the_folders_of_the_spool_are_on_the_disk_at_every_start(spool: Spool) -> None:
    """Also at the second: who made them may have died before the fsync."""
    for worker in ("w", "new"):
        heard = Listener()
        with Shim(spool.root, heard).installed():
            Spool.open(spool.root).enlist(worker)
        assert [call for call in heard.calls if call.startswith("fsync")] == ["fsync spool", "fsync running"]


def test_invariant_2_every_move_is_one_rename_and_leaves_one_place(spool: Spool) -> None:
    job_id = submit(spool, "held", views=False, model=False).id
    for move in (
        lambda: spool.release(job_id, model=True),
        lambda: spool.claim("inbox", "w"),
        lambda: recovery.recover(spool, "w", 3, "it died"),
        lambda: spool.cancel(job_id),
        lambda: spool.retry(job_id),
    ):
        heard = Listener()
        with Shim(spool.root, heard).installed():
            move()
        assert heard.calls.count(f"rename {job_id}") == 1
        assert len(list(spool.root.rglob(job_id))) == 1


def test_invariant_2_moves_that_somebody_is_told_of_are_fsynced_and_others_not(spool: Spool) -> None:
    submit(spool)
    for product, folder, fsynced in (
        ("cutout.png", "geometry", []),
        ("geometry.glb", "texture", []),
        ("model.glb", "done", ["fsync status.json", "fsync job", "fsync done", "fsync w"]),
    ):
        heard = Listener()
        with Shim(spool.root, heard).installed():
            job = spool.claim({"geometry": "inbox", "texture": "geometry"}.get(folder, "texture"), "w")
            assert job
        (job.path / product).write_bytes(b"product")
        Status(message="news").write(job.path, last=folder == "done")
        with Shim(spool.root, heard).installed():
            assert spool.advance(job) == folder
        calls = [call.replace(job.id, "job") for call in heard.calls]
        assert [call for call in calls if call.startswith("fsync")] == fsynced


def test_news_are_replaced_whole_and_not_fsynced(spool: Spool) -> None:
    """They are written five times a second; a disk that spins could not follow."""
    job = submit(spool)
    heard = Listener()
    with Shim(spool.root, heard).installed():
        Status(message="cutting").write(job.path)
    assert [call.partition(" ")[0] for call in heard.calls] == ["write", "rename"]


def test_invariant_4_products_and_request_alone_decide_and_recovering_twice_is_recovering_once(
    spool: Spool,
) -> None:
    for count in range(len(PRODUCTS) + 1):
        job = submit(spool)
        for product in PRODUCTS[:count]:
            (job.path / product).write_bytes(b"product")
        # What the news say must not matter.
        Status(stage="texture", progress=99.0).write(job.path)
        expected = Job.read(job.path).next_folder()
        assert spool.claim("inbox", "w")
        assert recovery.recover(spool, "w", 3, "it died") == [(job.id, expected)]
        assert recovery.recover(spool, "w", 3, "it died") == []
        found = spool.find(job.id)
        assert found.folder == expected
        spool.fail(found.job.path, "make room for the next")


def test_invariant_7_one_supervisor_and_the_kernel_gives_the_lock_back(spool: Spool) -> None:
    code = (
        "import sys; from pathlib import Path; from spool import lock; lock.take(Path(sys.argv[1])); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(spool.root)], stdin=subprocess.PIPE, cwd=DOCS.parents[1]
    )
    with other:
        try:
            until(lambda: lock.is_held(spool.root), 60)
            with pytest.raises(SpoolUnusable, match="another supervisor"):
                lock.take(spool.root, patience=0.1)
        finally:
            other.kill()
    os.close(lock.take(spool.root, patience=60.0))
    assert not lock.is_held(spool.root)


def test_invariant_7_a_supervisor_waits_for_one_that_is_just_dying(spool: Spool) -> None:
    dying = lock.take(spool.root)
    end = threading.Timer(0.2, os.close, [dying])
    end.start()
    os.close(lock.take(spool.root, patience=60.0))
    end.join()


def test_invariant_9_the_reason_is_on_the_disk_before_the_job_is_in_failed(spool: Spool) -> None:
    job = submit(spool)
    heard = Listener()
    with Shim(spool.root, heard).installed():
        spool.fail(job.path, "the picture is empty")
    assert heard.calls.index("rename status.json") < heard.calls.index(f"rename {job.id}")
    assert f"fsync {durable.aside_of(Path('status.json')).name}" in heard.calls
    assert spool.find(job.id).status.error == "the picture is empty"


def test_invariant_9_a_retry_keeps_the_reason_until_the_job_has_left_failed(spool: Spool) -> None:
    job = submit(spool)
    spool.begin(job, "cutout")
    spool.fail(job.path, "the picture is empty")
    heard = Listener()
    with Shim(spool.root, heard).installed():
        spool.retry(job.id)
    left = heard.calls.index(f"rename {job.id}")
    assert heard.calls.index(f"fsync {durable.aside_of(Path('status.json')).name}") < left
    # The attempts are gone from the disk too by then, or the job would fail at its first.
    assert heard.calls.index("unlink attempts.json") < heard.calls.index(f"fsync {job.id}", left - 1) < left


def test_invariant_10_a_job_is_found_while_it_moves(spool: Spool) -> None:
    """A reader asks without pause while jobs go through every folder, one after the other."""
    jobs = [submit(spool, "held", views=False, model=False).id for _ in range(60)]
    moving = [jobs[0]]
    done = threading.Event()
    asked: set[str] = set()
    missed: list[str] = []

    def ask() -> None:
        while not done.is_set():
            try:
                asked.add(spool.find(moving[0]).folder)
            except NoSuchJob:
                missed.append(moving[0])

    reader = threading.Thread(target=ask)
    reader.start()
    for moving[0] in jobs:
        spool.release(moving[0], model=True)
        for folder, product in (
            ("inbox", "cutout.png"),
            ("geometry", "geometry.glb"),
            ("texture", "model.glb"),
        ):
            job = spool.claim(folder, "w")
            assert job
            (job.path / product).write_bytes(b"product")
            spool.advance(job)
    done.set()
    reader.join()
    assert asked
    assert missed == []


def test_invariant_11_a_priority_is_on_the_disk_before_its_job_appears(spool: Spool) -> None:
    draft = spool.draft(Request.new(source="cli", name="a.png", suffix=".png"))
    draft.input.write_bytes(picture())
    heard = Listener()
    with Shim(spool.root, heard).installed():
        job = draft.publish("inbox", priority.HIGH)
        assert heard.calls.index("fsync priority") < heard.calls.index(f"rename {job.id}")
        for wanted in (priority.LOW, priority.NORMAL, priority.LOW):
            spool.prioritise(job.id, wanted)
            assert heard.calls[-1] == "fsync priority"


def test_invariant_11_a_pause_and_its_end_are_on_the_disk_when_told(spool: Spool) -> None:
    heard = Listener()
    with Shim(spool.root, heard).installed():
        pause.pause(spool.root)
        assert heard.calls[-2:] == ["rename paused.json", "fsync queue"]
        pause.resume(spool.root)
        assert heard.calls[-2:] == ["rename .resumed", "fsync queue"]
