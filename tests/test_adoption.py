"""A dropped file becomes a job: once, whole, and whatever is cut off on the way."""

from __future__ import annotations

import errno
import os

import pytest

from daemon.inbox import Inbox
from daemon.retention import sweep_tmp
from daemon.supervisor import log as supervisor_log
from spool import durable
from spool.draft import ADOPTION, resume_adoptions
from spool.job import Job, Request
from spool.spool import Spool
from tests.crash.shim import Call, Shim
from tests.listener import Listener
from tests.support import picture


@pytest.mark.parametrize("has_spare", [False, True])
def test_invariant_8_a_dropped_file_is_taken_once_whatever_is_cut_off(spool: Spool, has_spare: bool) -> None:
    """Every call of taking a file in fails once; the next looks finish it, without a new start."""
    at = 0
    while True:
        inbox = with_spare(spool) if has_spare else Inbox(spool, 0.0)
        file = spool.root / "inbox" / f"{at}.png"
        file.write_bytes(picture())
        fault = _FailsAt(at)
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
    assert at > 12


def with_spare(spool: Spool) -> Inbox:
    """An inbox that took a file in before, and has a draft ready for the next."""
    inbox = Inbox(spool, 0.0)
    (spool.root / "inbox" / "before.png").write_bytes(picture())
    (job,) = inbox.scan()
    spool.fail(job.path, "done with it")
    assert inbox.scan() == []
    inbox.prepare()
    return inbox


def test_invariant_8_a_spare_draft_is_on_the_disk_before_a_file_may_move_into_it(spool: Spool) -> None:
    heard = Listener()
    with Shim(spool.root, heard).installed():
        inbox = with_spare(spool)
    (ready,) = (spool.root / "tmp").iterdir()
    assert heard.calls[-4:] == [
        "write attempts.json",
        "fsync attempts.json",
        f"fsync {ready.name}",
        "fsync tmp",
    ]
    inbox.prepare()
    assert list((spool.root / "tmp").iterdir()) == [ready]  # one is enough
    inbox.close()
    assert list((spool.root / "tmp").iterdir()) == []


def test_invariant_8_a_file_waits_for_the_next_look_where_somebody_removed_the_spare_draft(
    spool: Spool,
) -> None:
    inbox = with_spare(spool)
    (ready,) = (spool.root / "tmp").iterdir()
    (ready / "attempts.json").unlink()
    ready.rmdir()
    (spool.root / "inbox" / "a.png").write_bytes(picture())
    assert inbox.scan() == []
    (job,) = inbox.scan()
    assert (job.request.name, job.input.read_bytes()) == ("a.png", picture())


def test_a_spare_draft_that_cannot_be_made_leaves_nothing_and_holds_up_nobody(spool: Spool) -> None:
    inbox = with_spare(spool)
    at = 0
    while True:
        (spool.root / "inbox" / f"{at}.png").write_bytes(picture())
        assert len(inbox.scan()) == 1
        fault = _FailsAt(at)
        with Shim(spool.root, fault).installed():
            inbox.prepare()
        if not fault.failed:
            break
        assert list((spool.root / "tmp").iterdir()) == []
        at += 1
    assert at > 4


def test_an_idle_inbox_that_took_nothing_has_no_spare_draft(spool: Spool) -> None:
    inbox = Inbox(spool, 0.0)
    assert inbox.scan() == []
    inbox.prepare()
    assert list((spool.root / "tmp").iterdir()) == []


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
