"""Every way a job can end is counted, once, under its kind."""

from __future__ import annotations

import pytest

from daemon.config import Config
from daemon.errors import BadJob, Cancelled, EngineError
from daemon.inquest import put_back
from spool import tally
from spool.spool import Spool
from tests.support import submit
from tests.workbench import engine, work_off, worker


def failures(spool: Spool) -> dict[str, int]:
    return {kind: count for kind, count in tally.added_up(spool.root)[1].items() if count}


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ([BadJob("no")], tally.BAD_JOB),
        ([Cancelled("stop")], tally.CANCELLED),
        ([EngineError("again")] * 3, tally.ENGINE),
    ],
)
def test_a_workers_failures(spool: Spool, settings: Config, trouble: list[BaseException], kind: str) -> None:
    of = worker(spool, settings)
    engine(of).trouble["geometry"] = trouble
    submit(spool)
    work_off(of)
    assert failures(spool) == {kind: 1}
    assert tally.added_up(spool.root)[0].keys() == {"cutout"}


def test_a_retry_that_helps_is_no_failure(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).trouble["geometry"] = [EngineError("again")]
    submit(spool)
    work_off(of)
    assert failures(spool) == {}
    of.wind_up()  # which tells what it still owes: stages are written once a second at most
    stages, _ = tally.added_up(spool.root)
    assert {name: sum(spent.buckets) for name, spent in stages.items()} == {
        "cutout": 1,
        "geometry": 1,
        "texture": 1,
    }


def test_a_job_that_kills_its_workers(spool: Spool, settings: Config) -> None:
    spool.enlist("geometry-cpu")
    job_id = submit(spool).id
    for attempt in range(settings.attempts):
        job = spool.claim("inbox", "geometry-cpu")
        assert job and job.id == job_id
        spool.begin(job, "cutout")
        put_back(spool, "geometry-cpu", settings.attempts, "was killed")
        assert failures(spool) == ({} if attempt < settings.attempts - 1 else {tally.WORKER_DIED: 1})


def test_statistics_never_fail_a_job(spool: Spool) -> None:
    (spool.root / tally.TALLY).write_text("in the way")
    tally.Tally(spool.root, "w").stage("cutout", 1.0)
    assert tally.added_up(spool.root)[0] == {}
