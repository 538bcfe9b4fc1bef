"""What becomes of an attempt: each outcome in the table of `daemon.outcome`, with real directories."""

from __future__ import annotations

import errno
import json
import time
import traceback
from pathlib import Path

import pytest

from daemon import joblog
from daemon.config import Config
from daemon.errors import BadJob, DeviceLost, EngineError
from spool import policy, recovery
from spool.job import Job
from spool.spool import Spool
from spool.status import read_attempts
from spool.view import look
from tests.support import config, picture, submit
from tests.workbench import ALL, engine, work_off, worker

pytestmark = pytest.mark.usefixtures("short_rests")


def test_a_bad_job_fails_at_once_with_the_reason(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).trouble["geometry"] = [BadJob("there is no surface in this")]
    job_id = submit(spool).id
    work_off(of)
    told = look(spool, job_id)
    assert (told["status"], told["error"], told["attempts"]["geometry"]) == (
        "failed",
        "there is no surface in this",
        1,
    )


def test_a_file_that_is_no_picture_fails_with_a_reason(spool: Spool, settings: Config) -> None:
    job_id = submit(spool, content=picture()[:200]).id
    work_off(worker(spool, settings))
    told = look(spool, job_id)
    assert told["status"] == "failed"
    assert told["stage"] == "cutout"
    assert len(told["error"]) > 20
    assert (spool.root / "failed" / job_id / "input.png").read_bytes() == picture()[:200]


def test_an_engine_error_is_tried_again_up_to_the_limit(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).trouble["texture"] = [EngineError("hiccup"), EngineError("hiccup")]
    fine = submit(spool).id
    work_off(of)
    assert look(spool, fine)["status"] == "completed"
    assert look(spool, fine)["attempts"] == {"cutout": 1, "geometry": 1, "texture": 3}
    engine(of).trouble["texture"] = [EngineError("out of memory on cuda:0")] * 9
    broken = submit(spool).id
    work_off(of)
    told = look(spool, broken)
    assert told["status"] == "failed"
    assert "3 times" in told["error"] and "out of memory on cuda:0" in told["error"]
    assert "out of memory" in (spool.root / "failed" / broken / "job.log").read_text()


def test_a_job_rests_between_its_attempts_and_others_go_on(
    spool: Spool, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "FIRST_REST", 1000.0)
    monkeypatch.setattr(policy, "LONGEST_REST", 1000.0)
    of = worker(spool, settings)
    engine(of).trouble["cutout"] = [EngineError("hiccup")]
    first, second = submit(spool), submit(spool)
    while of.step():
        pass
    assert spool.find(first.id).folder == "inbox"
    assert spool.find(second.id).folder == "done"
    real = time.time
    for jump in (86400.0, -86400.0, 365 * 86400.0, -365 * 86400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert 900 < spool.rest_left("inbox", first.id) <= 1000
    # Another boot has another monotonic clock: the rest is over.
    record = json.loads((first.path / "trouble.json").read_text())
    (first.path / "trouble.json").write_text(json.dumps({**record, "boot": "another"}))
    assert of.step()


def test_a_running_job_is_cancelled_at_its_next_step(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    job_id = submit(spool).id
    steps: list[str] = []

    def cancel_in_geometry(stage: str) -> None:
        steps.append(stage)
        if stage == "geometry":
            spool.cancel(job_id)

    engine(of).during = cancel_in_geometry
    work_off(of)
    told = look(spool, job_id)
    assert (told["status"], told["error"]) == ("failed", "cancelled")
    assert steps.count("geometry") == 1
    engine(of).during = lambda stage: None
    spool.retry(job_id)
    work_off(of)
    assert look(spool, job_id)["status"] == "completed"


def test_a_cancelled_job_is_not_begun(spool: Spool, settings: Config) -> None:
    job = submit(spool)
    (job.path / "cancel").touch()
    work_off(worker(spool, settings))
    assert look(spool, job.id)["error"] == "cancelled"
    assert read_attempts(spool.root / "failed" / job.id) == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_disk_trouble_is_not_charged_to_the_job(spool: Spool, settings: Config, number: int) -> None:
    of = worker(spool, settings)
    engine(of).trouble["geometry"] = [OSError(number, "disk trouble")] * 5
    job_id = submit(spool).id
    work_off(of)
    assert look(spool, job_id)["status"] == "completed"
    assert look(spool, job_id)["attempts"]["geometry"] == 1


def test_an_attempt_that_could_not_be_counted_is_not_given_back(
    spool: Spool, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = worker(spool, settings)
    engine(of).trouble["cutout"] = [EngineError("hiccup")]
    job_id = submit(spool).id
    assert of.step()
    begin = spool.begin
    full = [OSError(errno.ENOSPC, "full")]

    def begin_once_full(job: Job, stage: str) -> dict[str, int]:
        if full:
            raise full.pop()
        return begin(job, stage)

    monkeypatch.setattr(spool, "begin", begin_once_full)
    work_off(of)
    assert look(spool, job_id)["attempts"]["cutout"] == 2


def test_a_bug_ends_the_worker_and_is_told_in_the_jobs_log(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).trouble["cutout"] = [ZeroDivisionError("a bug")]
    job_id = submit(spool).id
    try:
        work_off(of)
    except ZeroDivisionError:
        joblog.append_all(spool, ALL.name, traceback.format_exc())
    else:
        pytest.fail("a bug must not be swallowed")
    assert "ZeroDivisionError: a bug" in (spool.root / "running" / ALL.name / job_id / "job.log").read_text()
    assert recovery.recover(spool, ALL.name, 3, "died") == [(job_id, "inbox")]
    assert work_off(of) == 1


def test_a_drain_puts_a_slow_stage_back_uncharged(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_DRAIN_LIMIT="0")
    spool = Spool.open(settings.spool)
    of = worker(spool, settings)
    engine(of).during = lambda stage: of.drain() if stage == "geometry" else None
    job_id = submit(spool).id
    of.run()
    found = spool.find(job_id)
    assert found.folder == "geometry"
    assert read_attempts(found.job.path) == {"cutout": 1}


def test_a_drain_within_the_limit_finishes_the_stage(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).during = lambda stage: of.drain() if stage == "geometry" else None
    job_id = submit(spool).id
    of.run()
    assert spool.find(job_id).folder == "texture"


def test_who_retires_finishes_the_stage_however_long_it_takes(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_DRAIN_LIMIT="0")
    spool = Spool.open(settings.spool)
    of = worker(spool, settings)
    engine(of).during = lambda stage: of.retire() if stage == "geometry" else None
    job_id, behind = submit(spool).id, submit(spool).id
    of.run()
    assert spool.find(job_id).folder == "texture"  # a fresh one goes on
    assert spool.find(behind).folder in ("inbox", "geometry")


def test_progress_never_falls_and_ends_at_100(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    job_id = submit(spool).id
    seen: list[float] = []
    engine(of).during = lambda stage: seen.append(look(spool, job_id)["progress"])
    engine(of).trouble["geometry"] = [EngineError("once more")]
    work_off(of)
    seen.append(look(spool, job_id)["progress"])
    assert seen == sorted(seen)
    assert seen[-1] == 100.0
    assert len(seen) == 13


def test_a_device_that_is_lost_ends_the_worker_and_counts(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).trouble["cutout"] = [DeviceLost("cuda:1 does not work any more in this process")]
    job_id = submit(spool).id
    with pytest.raises(DeviceLost):
        work_off(of)
    assert recovery.recover(spool, ALL.name, 3, "died") == [(job_id, "inbox")]
    assert read_attempts(spool.root / "inbox" / job_id) == {"cutout": 1}
    assert work_off(of) == 1
