"""Jobs and folders that belong to somebody else: passed over and told, and nothing that is behind them waits."""

from __future__ import annotations

import errno
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import retention
from daemon.almanac import Almanac
from daemon.barred import Barred
from daemon.config import Config
from daemon.inbox import Inbox
from daemon.supervisor import Supervisor
from spool import lock, recovery, rights
from spool.draft import resume_adoptions, spare
from spool.errors import InvalidRequest, SpoolUnusable
from spool.job import Job
from spool.notify import Systemd
from spool.reader import LOOKED_THROUGH
from spool.spool import Spool
from spool.status import Status, count_attempt, read_attempts
from tests.support import claim, config, left_in_tmp, picture, submit, until, without_root
from tests.test_retention import age
from tests.workbench import engine, work_off, worker

SETTLE = 0.3
LOG = logging.getLogger("test")


@pytest.fixture
def spool() -> Iterator[Spool]:
    """A spool of a user who is not root, in which a worker `w` may claim."""
    with tempfile.TemporaryDirectory() as name, without_root(Path(name)):
        made = Spool.open(Path(name) / "spool")
        made.enlist("w")
        yield made


def bar(job: Job, mode: int = 0o555) -> Path:
    """Let this user not move the job: as if root had made it, for whom 0755 is the same."""
    job.path.chmod(mode)
    return job.path


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_job_that_may_not_be_moved_is_passed_over_and_those_behind_it_run(spool: Spool, mode: int) -> None:
    barred, behind = bar(submit(spool), mode), submit(spool)
    job = spool.claim("inbox", "w")
    assert job is not None
    assert job.id == behind.id
    assert spool.claim("inbox", "w") is None
    assert barred.exists()
    assert spool.rest_left("inbox", barred.name) > 3600  # a worker with nothing else to do sleeps
    barred.chmod(0o755)
    assert claim(spool).id == barred.name


def test_where_no_job_can_be_claimed_the_worker_says_so(spool: Spool) -> None:
    submit(spool)
    (spool.root / "running" / "w").chmod(0o555)
    with pytest.raises(PermissionError):
        spool.claim("inbox", "w")


def test_people_are_told_which_job_it_is_and_what_to_do_until_it_is_done(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("daemon.barred.EVERY", 0.0)
    monkeypatch.setattr("daemon.barred.PATIENCE", 0.0)
    path, seen = bar(submit(spool)), Barred()
    for _ in range(3):
        seen.look(spool)
        (note,) = seen.notes
        assert f"`chmod -R u+rwX {path}`" in note
    assert len(caplog.records) == 1
    path.chmod(0o755)
    seen.look(spool)
    assert seen.notes == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give a job away")
def test_a_job_of_another_user_is_told_with_whose_it_is(spool: Spool) -> None:
    path, seen = submit(spool).path, Barred()
    os.seteuid(0)
    os.chown(path, 0, 0)
    os.seteuid(65534)
    seen.look(spool)
    (note,) = seen.notes
    assert "it belongs to root; `chown -R " in note
    assert str(path) in note


def test_the_supervisor_starts_beside_such_jobs_and_its_board_names_them(spool: Spool) -> None:
    waits = bar(submit(spool))
    submit(spool)
    runs = bar(claim(spool))
    supervisor = Supervisor(
        config(spool.root, ENGINE="silhouette", U2NET_HOME=str(spool.root)), Systemd({}), with_http=False
    )
    supervisor.recover()
    supervisor.tell()
    notes = json.loads((spool.root / "supervisor.json").read_text())["notes"]
    assert [path.name in "".join(notes) for path in (waits, runs)] == [True, True]


def test_of_many_the_first_are_named(spool: Spool) -> None:
    for _ in range(5):
        bar(submit(spool))
    seen = Barred()
    seen.look(spool)
    assert len(seen.notes) == 4
    assert seen.notes[-1] == "and 2 more jobs like these"


def test_recovery_leaves_what_it_may_not_move_and_goes_on(spool: Spool) -> None:
    first, second = submit(spool), submit(spool)
    barred = bar(claim(spool))
    claim(spool)
    half_taken = spare(spool.root)
    half_taken.chmod(0o555)
    assert recovery.recover(spool, "w", 3, "it died") == [(second.id, "inbox")]
    assert barred.name == first.id
    assert resume_adoptions(spool.root) == []
    seen = Barred()
    seen.look(spool)
    assert len(seen.notes) == 2


def test_upkeep_deletes_the_others(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.almanac.SETTLING", 0.0)
    old = [submit(spool, "done") for _ in range(2)]
    for job, mode in zip(old, (0o000, 0o755), strict=True):
        job.path.chmod(mode)
        age(job.path, 9)
    retention.sweep(spool, config(spool.root, PROTOSCALE_KEEP_DONE="8"), LOG, Almanac())
    assert spool.waiting("done") == [old[0].id]
    submit(spool, "done")
    retention.sweep_size(spool, 1, LOG)
    assert spool.waiting("done") == [old[0].id]


def test_readers_do_without_a_job_they_may_not_read(spool: Spool) -> None:
    hidden, other = bar(submit(spool), 0o000), submit(spool)
    assert [found.job.id for found in spool.newest(LOOKED_THROUGH)] == [other.id]
    with pytest.raises(InvalidRequest, match="may not be read by this user; `chown -R"):
        spool.find(hidden.name)


def test_a_job_whose_request_may_not_be_read_fails_with_the_reason(spool: Spool) -> None:
    job = submit(spool)
    (job.path / "request.json").chmod(0o000)
    assert spool.claim("inbox", "w") is None
    assert "may not be read by this user" in (Status.read(spool.root / "failed" / job.id).error or "")


def test_a_count_that_another_user_wrote_is_replaced(spool: Spool) -> None:
    job = submit(spool)
    (job.path / "attempts.json").chmod(0o444)
    assert count_attempt(job.path, "cutout") == {"cutout": 1}
    assert read_attempts(job.path) == {"cutout": 1}


def test_a_job_with_a_file_that_may_not_be_read_fails_and_its_worker_lives(
    tmp_path: Path, settings: Config
) -> None:
    spool = Spool.open(tmp_path / "spool")
    of = worker(spool, settings)

    def refuse(stage: str) -> None:
        (job,) = spool.root.glob("running/*/*/input.png")
        raise PermissionError(errno.EACCES, "Permission denied", str(job))

    engine(of).during = refuse
    job_id = submit(spool).id
    work_off(of)
    error = Status.read(spool.root / "failed" / job_id).error or ""
    assert "input.png belongs to another user (Permission denied); `chown -R" in error


def test_a_supervisor_says_at_once_that_the_folders_are_not_its_own(spool: Spool) -> None:
    rights.check_folders(spool.root)
    (spool.root / "running" / "w").chmod(0o555)
    with pytest.raises(SpoolUnusable, match=r"running/w, which belongs to .*chown -R"):
        rights.check_folders(spool.root)
    (spool.root / "supervisor.lock").touch(0o444)
    with pytest.raises(SpoolUnusable, match=r"supervisor.lock may not be written by this user; `chown -R"):
        lock.take(spool.root)


def dropped(spool: Spool, mode: int) -> Path:
    """A photo in a dropped folder of that mode."""
    photo = spool.root / "inbox" / "photos" / "cup.png"
    photo.parent.mkdir()
    photo.write_bytes(picture())
    photo.parent.chmod(mode)
    return photo


def test_a_dropped_folder_that_nothing_may_be_moved_out_of_is_told_with_what_is_missing(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    photo, inbox = dropped(spool, 0o555), Inbox(spool, SETTLE)
    for _ in range(2):
        assert inbox.scan() == []
        assert not inbox.settling
        assert left_in_tmp(spool.root) == []
    (told,) = [record.message for record in caplog.records]
    assert f"{rights.owner(spool.root)} may not move anything out of {photo.parent}; `" in told
    assert f"chmod g+rwx {photo.parent}`" in told
    assert "readable" not in told
    photo.parent.chmod(0o755)
    (job,) = inbox.scan()
    assert job.request.name == "cup.png"


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to own what others drop")
def test_a_sticky_folder_of_another_is_told_as_such(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    photo, inbox = dropped(spool, 0o1777), Inbox(spool, SETTLE)
    job = submit(spool)
    os.seteuid(0)
    for path in (photo.parent, photo):
        os.chown(path, 0, -1)
    os.chown(spool.root / "inbox", 0, -1)
    os.chown(job.path, 0, -1)
    job.path.chmod(0o777)
    (spool.root / "inbox").chmod(0o1777)
    os.seteuid(65534)
    until(lambda: (inbox.scan(), caplog.text)[1])
    assert inbox.scan() == []
    assert not inbox.settling
    assert (
        f"{photo.parent} has the sticky bit, so only root may move it out of there; `chmod -t" in caplog.text
    )
    assert spool.claim("inbox", "w") is None
    assert spool.rest_left("inbox", job.id) > 3600
