"""What is deleted by age and by size, and what never is."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from daemon import almanac, retention
from daemon.almanac import Almanac
from daemon.lease import being_read
from spool.job import Job
from spool.spool import Spool
from tests.support import config, submit

LOG = logging.getLogger("test")
YEAR = 365 * 86400.0


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Almanac:
    """An almanac of a service that has been running for long enough."""
    monkeypatch.setattr(almanac, "SETTLING", 0.0)
    return Almanac()


def test_each_folder_has_its_own_limit(spool: Spool, settled: Almanac) -> None:
    old: dict[str, Job] = {}
    for folder in ("done", "failed", "held", "inbox", "geometry", "texture"):
        old[folder] = submit(spool, folder)
        age(old[folder].path, 8)
        submit(spool, folder)
    settings = config(spool.root, PROTOSCALE_KEEP_FAILED="5")
    retention.sweep(spool, settings, LOG, settled)
    gone = {folder for folder, job in old.items() if not job.path.exists()}
    assert gone == {"failed", "held"}  # done jobs are kept for ever unless told otherwise
    assert all(len(spool.waiting(folder)) >= 1 for folder in old)
    retention.sweep(spool, config(spool.root, PROTOSCALE_KEEP_DONE="1"), LOG, settled)
    assert not old["done"].path.exists()


def test_the_oldest_go_first_when_there_is_too_much(spool: Spool, settled: Almanac) -> None:
    jobs = [submit(spool, folder) for folder in ("done", "failed", "done", "failed")]
    waiting = submit(spool, "texture")
    for job in jobs:
        (job.path / "model.glb").write_bytes(bytes(200_000))
    retention.sweep(spool, config(spool.root, PROTOSCALE_KEEP_SIZE="500K"), LOG, settled)
    assert [job.path.exists() for job in jobs] == [False, False, True, True]
    assert waiting.path.exists()


def test_a_job_that_somebody_reads_stays_until_the_next_sweep(spool: Spool, settled: Almanac) -> None:
    job = submit(spool, "failed")
    age(job.path, 100)
    settings = config(spool.root, PROTOSCALE_KEEP_SIZE="1")
    with spool.open_file(job.id, "input.png") as file:
        if being_read(job.input) is None:
            pytest.skip("this file system has no leases")
        retention.sweep(spool, settings, LOG, settled)
        assert job.path.exists()
        assert len(file.read()) > 100
    retention.sweep(spool, settings, LOG, settled)
    assert not job.path.exists()


def test_a_file_opened_in_the_last_instant_is_read_to_its_end(
    spool: Spool, settled: Almanac, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(spool, "failed")
    age(job.path, 100)
    monkeypatch.setattr(retention, "being_read", lambda file: None)  # as where the kernel does not tell
    with spool.open_file(job.id, "input.png") as file:
        retention.sweep(spool, config(spool.root), LOG, settled)
        assert not job.path.exists()
        assert len(file.read()) > 100


@pytest.mark.parametrize("jump", [86400.0, YEAR, -86400.0, -YEAR])
def test_a_wall_clock_that_jumps_deletes_nothing(
    spool: Spool, settled: Almanac, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(spool, folder) for folder in ("done", "failed", "held")]
    (spool.root / "tmp" / "draft").mkdir()  # an upload in progress
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    settings = config(spool.root, PROTOSCALE_KEEP_DONE="0.5", PROTOSCALE_KEEP_FAILED="0.5")
    retention.sweep(spool, settings, LOG, settled)
    assert all(job.path.exists() for job in jobs)
    assert (spool.root / "tmp" / "draft").exists()


def test_a_clock_that_was_wrong_at_start_and_is_set_deletes_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(spool, "held")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + YEAR)
    begun = Almanac()
    retention.sweep(spool, config(spool.root), LOG, begun)
    assert job.path.exists()  # too early to judge
    monkeypatch.setattr(time, "time", real)
    monkeypatch.setattr(almanac, "SETTLING", 0.0)
    retention.sweep(spool, config(spool.root), LOG, begun)
    assert job.path.exists()  # the right clock is the younger one


def test_abandoned_drafts_and_cut_off_deletions_are_swept(spool: Spool, settled: Almanac) -> None:
    young, old, gone = (spool.root / "tmp" / name for name in ("young", "old", "gone-x"))
    for path in (young, old, gone):
        path.mkdir()
        (path / "input.png").write_bytes(b"x")
    age(old, 2)
    retention.sweep_tmp(spool, LOG)
    assert {path.name for path in (spool.root / "tmp").iterdir()} == {"young", "old"}  # at start
    retention.sweep_tmp(spool, LOG, settled)
    assert [path.name for path in (spool.root / "tmp").iterdir()] == ["young"]


def test_a_draft_that_is_published_during_the_sweep_is_no_accident(
    spool: Spool, settled: Almanac, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spool.root / "tmp" / "draft").mkdir()
    listed = list((spool.root / "tmp").iterdir())
    (spool.root / "tmp" / "draft").rename(spool.root / "held" / "published")
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(listed))
    retention.sweep_tmp(spool, LOG, settled)
