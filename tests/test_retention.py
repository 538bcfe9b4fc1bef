"""What is deleted by age, and what never is."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from daemon import retention
from spool.job import Job
from spool.spool import Spool
from tests.support import config, submit

LOG = logging.getLogger("test")


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")


def test_each_folder_has_its_own_limit(spool: Spool) -> None:
    old: dict[str, Job] = {}
    for folder in ("done", "failed", "held", "inbox", "geometry", "texture"):
        old[folder] = submit(spool, folder)
        age(old[folder].path, 8)
        submit(spool, folder)
    settings = config(spool.root, PROTOSCALE_KEEP_FAILED="5")
    retention.sweep(spool, settings, LOG)
    gone = {folder for folder, job in old.items() if not job.path.exists()}
    assert gone == {"failed", "held"}  # done jobs are kept for ever unless told otherwise
    assert all(len(spool.waiting(folder)) >= 1 for folder in old)
    retention.sweep(spool, config(spool.root, PROTOSCALE_KEEP_DONE="1"), LOG)
    assert not old["done"].path.exists()


def test_a_job_that_is_being_read_is_read_to_its_end(spool: Spool) -> None:
    job = submit(spool, "failed")
    age(job.path, 100)
    with spool.open_file(job.id, "input.png") as file:
        retention.sweep(spool, config(spool.root), LOG)
        assert not job.path.exists()
        assert len(file.read()) > 100


def test_abandoned_drafts_and_cut_off_deletions_are_swept(spool: Spool) -> None:
    young, old, gone = (spool.root / "tmp" / name for name in ("young", "old", "gone-x"))
    for path in (young, old, gone):
        path.mkdir()
        (path / "input.png").write_bytes(b"x")
    age(old, 2)
    retention.sweep_tmp(spool, LOG)
    assert [path.name for path in (spool.root / "tmp").iterdir()] == ["young"]
