"""The invariants that docs/spool.md numbers, one test each that names it, and more where one is not enough.

What a crash may do to them all is tried by tests/crash; these tests say in a few lines what each one means.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.inbox import Inbox
from daemon.retention import sweep_tmp
from daemon.supervisor import log as supervisor_log
from spool import durable, filesystem, lock, pause, priority, writeback
from spool.draft import ADOPTION, resume_adoptions
from spool.errors import NoSuchJob, SpoolUnusable
from spool.job import Job, Request
from spool.layout import FOLDERS, PRODUCTS
from spool.spool import Spool
from spool.status import Status, count_attempt, read_attempts, refund_attempt
from tests.crash.shim import Call, Shim
from tests.support import picture, submit, until

DOCS = Path(__file__).parents[1] / "docs" / "spool.md"


class Listener:
    """A watcher that keeps what was called, and fails the fsyncs of one path."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self._failing = failing

    def before(self, call: Call) -> None:
        if call.name in ("fsync", "rename", "write", "unlink"):
            self.calls.append(f"{call.name} {Path(call.target or call.path).name}")
        if self._failing and call.name == "fsync" and Path(call.path).name == self._failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO), call.path)

    def after(self, call: Call) -> None:
        pass


def test_every_invariant_of_the_documents_has_a_test_that_names_it() -> None:
    text = DOCS.read_text().partition("## Invariants")[2].partition("\n#")[0]
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    here = Path(__file__).read_text()
    assert [number for number in numbers if f"def test_invariant_{number}_" not in here] == []


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


def test_invariant_1_a_disk_that_refuses_to_begin_is_heard_and_one_that_cannot_is_not(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x")
        file.flush()
        writeback.begin(file.fileno())
        closed = os.dup(file.fileno())
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        writeback.begin(closed)
    ours, theirs = os.pipe()
    writeback.begin(theirs)  # a pipe has no pages to write
    os.close(ours)
    os.close(theirs)


def test_invariant_1_a_new_folder_is_on_the_disk_with_those_above_it(tmp_path: Path) -> None:
    heard = Listener()
    with Shim(tmp_path, heard).installed():
        durable.make_folder(tmp_path / "srv" / "spool" / "keys")
    assert heard.calls == [f"fsync {tmp_path.name}", "fsync srv", "fsync spool"]


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
        lambda: spool.recover("w", 3, "it died"),
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
        ("model.glb", "done", ["fsync job", "fsync done", "fsync w"]),
    ):
        heard = Listener()
        with Shim(spool.root, heard).installed():
            job = spool.claim({"geometry": "inbox", "texture": "geometry"}.get(folder, "texture"), "w")
            assert job
        (job.path / product).write_bytes(b"product")
        with Shim(spool.root, heard).installed():
            assert spool.advance(job) == folder
        calls = [call.replace(job.id, "job") for call in heard.calls]
        assert [call for call in calls if call.startswith("fsync")] == fsynced


def test_invariant_3_a_reader_of_a_product_sees_all_of_it_or_none(tmp_path: Path) -> None:
    path = tmp_path / "model.glb"
    contents = [bytes([number]) * 50_000 for number in range(4)]
    done = threading.Event()
    torn: list[int] = []

    def read() -> None:
        while not done.is_set():
            if path.exists() and (found := path.read_bytes()) not in contents:
                torn.append(len(found))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        durable.replace(path, contents[number % 4], durable=number % 10 == 0)
    done.set()
    reader.join()
    assert torn == []
    assert os.listdir(tmp_path) == ["model.glb"]


def test_invariant_3_a_product_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.glb"
    durable.replace(path, b"old")
    heard = Listener(durable.aside_of(Path("model.glb")).name)
    with Shim(tmp_path, heard).installed(), pytest.raises(OSError, match="Input/output"):
        durable.replace(path, b"new")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["model.glb"])


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
        assert spool.recover("w", 3, "it died") == [(job.id, expected)]
        assert spool.recover("w", 3, "it died") == []
        found = spool.find(job.id)
        assert found.folder == expected
        spool.fail(found.job.path, "make room for the next")


def test_invariant_5_an_attempt_is_on_the_disk_before_the_work_and_there_are_three(spool: Spool) -> None:
    submit(spool)
    for attempt in (1, 2, 3):
        job = spool.claim("inbox", "w")
        assert job
        heard = Listener()
        with Shim(spool.root, heard).installed():
            assert spool.begin(job, "cutout") == {"cutout": attempt}
        assert heard.calls == ["write attempts.json", "fsync attempts.json"]
        ((_, folder),) = spool.recover("w", 3, "it was killed by SIGKILL")
        assert folder == ("failed" if attempt == 3 else "inbox")


@pytest.mark.parametrize(
    "before", ['{"cutout": 2}', '{\n  "cutout": 9,\n  "geometry": 0,\n  "texture": 0\n}\n', None]
)
def test_invariant_5_a_record_of_another_form_is_replaced_whole(spool: Spool, before: str | None) -> None:
    """An older job's, one of two digits, and none."""
    submit(spool)
    job = spool.claim("inbox", "w")
    assert job
    file = job.path / "attempts.json"
    file.write_text(before) if before else file.unlink()
    count = read_attempts(job.path).get("cutout", 0)
    heard = Listener()
    with Shim(spool.root, heard).installed():
        assert spool.begin(job, "cutout") == {"cutout": count + 1}
    assert heard.calls[-2:] == ["rename attempts.json", f"fsync {job.id}"]
    assert read_attempts(job.path) == {"cutout": count + 1}


def test_invariant_5_who_reads_while_an_attempt_is_counted_sees_the_old_number_or_the_new(
    spool: Spool,
) -> None:
    submit(spool)
    job = spool.claim("inbox", "w")
    assert job
    seen: list[set[int]] = []
    with ThreadPoolExecutor(1) as pool:
        for number in range(1, 300):
            reader = pool.submit(lambda: {read_attempts(job.path).get("geometry", 0) for _ in range(20)})
            (count_attempt if number % 2 else refund_attempt)(job.path, "geometry")
            seen.append(reader.result())
    assert set().union(*seen) == {0, 1}


def test_invariant_6_a_refunded_attempt_does_not_count(spool: Spool) -> None:
    submit(spool)
    for _ in range(5):
        job = spool.claim("inbox", "w")
        assert job
        spool.begin(job, "cutout")
        ((job_id, folder),) = spool.recover("w", 3, "the service stopped", refund=True)
        assert folder == "inbox"
        assert read_attempts(spool.root / folder / job_id) == {}


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


def test_invariant_8_a_dropped_file_is_taken_once_whatever_is_cut_off(spool: Spool) -> None:
    """Every call of taking a file in fails once; the next looks finish it, without a new start."""
    at = 0
    while True:
        file = spool.root / "inbox" / f"{at}.png"
        file.write_bytes(picture())
        fault = _FailsAt(at)
        inbox = Inbox(spool, 0.0)
        with Shim(spool.root, fault).installed():
            inbox.scan()
        inbox.scan()
        jobs = [Job.read(spool.root / "inbox" / job_id) for job_id in spool.waiting("inbox")]
        assert [job.request.name for job in jobs] == [file.name], f"after call {at}"
        assert jobs[0].input.read_bytes() == picture()
        assert not file.exists()
        assert not list((spool.root / "tmp").glob(f"{ADOPTION}*"))
        spool.fail(jobs[0].path, "done with it")
        if not fault.failed:
            break
        at += 1
    assert at > 15


def test_invariant_8_the_folder_a_file_came_from_is_fsynced_too(spool: Spool) -> None:
    """A rename is one transaction on the usual file systems; POSIX promises nothing of the kind."""
    album = spool.root / "inbox" / "album"
    album.mkdir()
    (album / "a.png").write_bytes(picture())
    heard = Listener()
    with Shim(spool.root, heard).installed():
        (job,) = Inbox(spool, 0.0).scan()
    assert heard.calls[-4:] == [f"rename {job.id}", "fsync inbox", "fsync tmp", "fsync album"]
    # Never again: a crash in the middle of that would leave a picture without its request.
    assert heard.calls.count("write request.json") == 1


class _FailsAt:
    def __init__(self, at: int) -> None:
        self._left = at
        self.failed = False

    def before(self, call: Call) -> None:
        self._left -= 1
        if self._left == -1:
            self.failed = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), call.path)

    def after(self, call: Call) -> None:
        pass


def test_invariant_8_an_old_adoption_is_finished_and_never_swept(spool: Spool) -> None:
    request = Request.new(source="inbox", name="a.png", suffix=".png")
    draft = spool.root / "tmp" / f"{ADOPTION}{request.id}"
    draft.mkdir()
    durable.replace_json(draft / "request.json", request.as_json())
    (draft / "input.png").write_bytes(picture())
    os.utime(draft, (0, 0))
    sweep_tmp(spool, supervisor_log)
    assert [job.id for job in resume_adoptions(spool.root)] == [request.id]


@pytest.mark.parametrize("request_json", [None, b"", b'{"id": 3}'])
def test_invariant_8_the_picture_of_a_damaged_adoption_goes_back_to_the_inbox(
    spool: Spool, request_json: bytes | None
) -> None:
    draft = spool.root / "tmp" / f"{ADOPTION}x"
    draft.mkdir()
    (draft / "input.png").write_bytes(picture())
    if request_json is not None:
        (draft / "request.json").write_bytes(request_json)
    assert resume_adoptions(spool.root) == []
    assert os.listdir(spool.root / "tmp") == []
    (job,) = Inbox(spool, 0.0).scan()
    assert job.input.read_bytes() == picture()


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


# --- where a spool may lie -----------------------------------------------------------------------------


def test_a_spool_across_file_systems_is_refused(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system than the tests' folder")
    elsewhere = memory / f"protoscale-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "done").symlink_to(elsewhere)
        with pytest.raises(SpoolUnusable, match="put the whole spool on one file system"):
            Spool.open(tmp_path / "spool")
    finally:
        elsewhere.rmdir()


def test_a_spool_across_mounts_of_one_file_system_is_refused(tmp_path: Path) -> None:
    """Device numbers are equal there, and a rename fails all the same."""
    Spool.open(tmp_path / "spool")
    script = (
        f"mount --bind {tmp_path}/spool/done {tmp_path}/spool/done && exec {sys.executable} -c "
        "'import sys; from pathlib import Path; from spool.spool import Spool; Spool.open(Path(sys.argv[1]))' "
        f"{tmp_path}/spool"
    )
    trial = ["unshare", "--mount", "--map-root-user", "--user", "true"]
    if sys.platform != "linux" or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes user namespaces")
    command = [*trial[:-1], "sh", "-c", script]
    found = subprocess.run(command, cwd=DOCS.parents[1], capture_output=True, text=True, check=False)
    assert "different file systems or mounts" in found.stderr


def test_looking_whether_renames_work_leaves_nothing_behind(spool: Spool) -> None:
    before = sorted(spool.root.rglob("*"))
    Spool.open(spool.root)
    assert sorted(spool.root.rglob("*")) == before
    assert {path.name for path in spool.root.iterdir()} == {*FOLDERS, pause.FOLDER}


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


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "vfat", "fuse.sshfs", "fuseblk", "tmpfs", "overlay"])
def test_file_systems_to_warn_of(kind: str) -> None:
    assert filesystem.concern(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"])
def test_file_systems_to_trust(kind: str) -> None:
    assert not filesystem.concern(kind)


def test_two_threads_that_replace_one_file_leave_one_whole_content(tmp_path: Path) -> None:
    target = tmp_path / "request.json"
    contents = [bytes([65 + at]) * (1 + 40_000 * at) for at in range(3)]
    go = threading.Barrier(len(contents))

    def write(content: bytes) -> None:
        for _ in range(20):
            go.wait(30)
            durable.replace(target, content, durable=False)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if target.exists():
            assert target.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert target.read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


def test_what_may_be_lost_is_not_fsynced_and_all_else_is(tmp_path: Path) -> None:
    """An outpost's copy of a job (`durable.passing`): the record is on the head, written by another thread."""
    passing, heard = Listener(), Listener()
    with Shim(tmp_path, passing).installed(), durable.passing():
        durable.replace(tmp_path / "product", b"there")
    with Shim(tmp_path, heard).installed():
        durable.replace(tmp_path / "product", b"here")
    assert not [call for call in passing.calls if call.startswith("fsync")]
    assert len([call for call in heard.calls if call.startswith("fsync")]) == 2
    elsewhere: list[bool] = []
    with durable.passing():
        thread = threading.Thread(target=lambda: elsewhere.append(durable._passing.get()))
        thread.start()
        thread.join()
    assert elsewhere == [False]
