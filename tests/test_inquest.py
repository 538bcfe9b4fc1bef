"""Who is charged for a worker's death: the job, its device, or nobody. The deaths are told, the spool is real."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from daemon import joblog, service_record
from daemon.child import Crew
from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.inquest import BENCH, Ending, Inquest
from daemon.process import EX_CONFIG, EX_IOERR, EX_SOFTWARE
from daemon.service_record import Death, ServiceRecord
from daemon.status_board import board
from httpd.app import create_app
from httpd.config import HttpConfig
from spool import lock, recovery
from spool.board import Board
from spool.job import Job
from spool.settings import read
from spool.spool import Spool
from spool.status import Status, read_attempts
from spool.trouble import POISON, SPARES, Trouble
from spool.view import look
from tests.support import config, submit

KILLED = Ending(-signal.SIGKILL)


class Bench:
    """One GPU-like device with a geometry and a texture worker that never run; the test does what they would."""

    def __init__(self, root: Path) -> None:
        self.settings: Config = config(root)
        self.spool = Spool.open(root)
        self.record = ServiceRecord("cuda:1")
        posts = (
            Post("geometry-cuda1", "cuda:1", GEOMETRY_STAGES),
            Post("texture-cuda1", "cuda:1", TEXTURE_STAGES),
        )
        self.crews = [Crew(self.settings, post, 1, self.record) for post in posts]
        self.inquest = Inquest(self.settings.attempts, self.crews)
        for post in posts:
            self.spool.enlist(post.name)

    def job(self) -> Job:
        job = submit(self.spool, "geometry")
        (job.path / "cutout.png").write_bytes(b"a cut-out")
        return job

    def begin(self, job_id: str, crew: Crew | None = None) -> None:
        """A worker claims the job and begins its geometry."""
        crew = crew or self.crews[0]
        crew.pulse.reset()
        path = self.spool.root / "running" / crew.post.name / job_id
        (self.spool.root / "geometry" / job_id).rename(path)
        crew.pulse.begin(job_id, "geometry")
        self.spool.begin(Job.read(path), "geometry")

    def die(self, ending: Ending = KILLED, crew: Crew | None = None) -> None:
        self.inquest.hold(self.spool, crew or self.crews[0], ending)

    def finish_something(self) -> None:
        self.crews[1].pulse.finish()

    def attempts(self, job_id: str) -> int:
        return read_attempts(self.spool.find(job_id).job.path).get("geometry", 0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


@pytest.mark.parametrize(
    "ending", [KILLED, Ending(EX_SOFTWARE), Ending(0), Ending(-signal.SIGABRT, "no progress for 300 s")]
)
def test_a_job_that_takes_two_workers_down_is_poison(bench: Bench, ending: Ending) -> None:
    job, began = bench.job(), time.monotonic()
    bench.begin(job.id)
    bench.die(ending)
    assert bench.spool.find(job.id).folder == "geometry"
    assert bench.attempts(job.id) == 1
    assert Trouble.read(job.path).until > began
    bench.begin(job.id)
    bench.die(ending)
    told = look(bench.spool, job.id)
    assert told["status"] == "failed"
    assert "poison" in told["error"] and ending.how in told["error"] and "retry" in told["error"]
    assert bench.record.outages == 0  # one job, however often, says nothing about the device
    bench.spool.retry(job.id)
    assert Trouble.read(bench.spool.find(job.id).job.path) == Trouble()


def test_two_different_jobs_in_a_row_take_the_device_out_of_service(bench: Bench) -> None:
    first, second = bench.job(), bench.job()
    bench.begin(first.id)
    bench.die()
    bench.begin(second.id)
    bench.die()
    assert bench.record.outages == 1 and bench.record.pause == service_record.FIRST_PAUSE
    assert bench.crews[0].due == bench.crews[1].due == bench.record.due
    for job in (first, second):
        assert bench.spool.find(job.id).folder == "geometry"
        assert bench.attempts(job.id) == 0
        trouble = Trouble.read(job.path)
        assert (trouble.killed, trouble.spared) == (0, 1)
        assert trouble.until > bench.record.due  # other jobs try the device first
    assert "cuda:1 is out of service" in bench.record.notice()
    assert bench.spool.waiting(f"running/{BENCH}") == []


def test_the_pauses_grow_until_the_device_finishes_something(bench: Bench) -> None:
    pauses = []
    for _ in range(9):
        bench.begin(bench.job().id)
        bench.die()
        pauses.append(bench.record.pause)
    assert pauses == [0, 30, 60, 120, 240, 480, 960, 1800, 1800]
    bench.finish_something()
    bench.begin(bench.job().id)
    bench.die()
    assert bench.record.pause == 0


def test_a_success_between_two_deaths_clears_the_device(bench: Bench) -> None:
    first, second = bench.job(), bench.job()
    bench.begin(first.id)
    bench.die()
    bench.finish_something()
    bench.begin(second.id)
    bench.die()
    assert bench.record.outages == 0
    assert [Trouble.read(job.path).killed for job in (first, second)] == [1, 1]


def test_a_job_given_up_as_poison_comes_back_when_the_device_was_to_blame(bench: Bench) -> None:
    first, second = bench.job(), bench.job()
    for _ in range(POISON):
        bench.begin(first.id)
        bench.die()
    assert bench.spool.find(first.id).folder == "failed"
    bench.begin(second.id)
    bench.die()
    assert bench.spool.find(first.id).folder == "geometry"
    assert look(bench.spool, first.id)["error"] is None


def test_nothing_is_spared_for_ever(bench: Bench) -> None:
    """Two jobs that are both poison take the device out a few times, and then go to failed/ all the same."""
    jobs = [bench.job().id, bench.job().id]
    deaths = 0
    while any(bench.spool.find(job_id).folder != "failed" for job_id in jobs):
        for job_id in jobs:
            if bench.spool.find(job_id).folder == "geometry":
                bench.begin(job_id)
                bench.die()
                deaths += 1
        assert deaths < 30
    assert deaths >= 2 * SPARES
    assert all("poison" in (bench.spool.find(job_id).status.error or "") for job_id in jobs)


def test_the_other_job_that_a_dead_worker_held_is_not_charged(bench: Bench) -> None:
    finishing, running = bench.job(), bench.job()
    bench.begin(finishing.id)
    bench.begin(running.id)
    bench.die()
    assert (bench.attempts(finishing.id), bench.attempts(running.id)) == (0, 1)
    assert [Trouble.read(job.path).killed for job in (finishing, running)] == [0, 1]
    for _ in range(SPARES):
        other = bench.job().id
        bench.begin(finishing.id)
        bench.begin(other)
        bench.finish_something()
        bench.die()
    assert bench.attempts(finishing.id) == 1  # spared often enough: from now on it counts


@pytest.mark.parametrize(
    "ending",
    [
        Ending(-signal.SIGABRT, "it outlived the drain limit", stopping=True),
        Ending(EX_CONFIG),
        Ending(EX_IOERR),
    ],
)
def test_what_is_nobodys_fault_is_not_charged(bench: Bench, ending: Ending) -> None:
    job = bench.job()
    bench.begin(job.id)
    bench.die(ending)
    assert bench.attempts(job.id) == 0
    assert Trouble.read(job.path) == Trouble()


def test_a_crash_during_a_drain_is_charged(bench: Bench) -> None:
    job = bench.job()
    bench.begin(job.id)
    bench.die(Ending(-signal.SIGSEGV, stopping=True))
    assert bench.attempts(job.id) == 1
    assert Trouble.read(job.path).killed == 1


def test_a_service_that_was_killed_counts_the_attempt_and_blames_nobody(bench: Bench) -> None:
    job = bench.job()
    bench.begin(job.id)
    recovery.recover(bench.spool, "geometry-cuda1", 3, "the service was stopped while it ran")
    assert bench.attempts(job.id) == 1
    assert Trouble.read(job.path) == Trouble()


def test_a_full_disk_delays_the_putting_back_and_keeps_the_post_empty(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.job()
    bench.begin(job.id)
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(recovery, "recover", full)
        bench.die()
        assert bench.inquest.is_open("geometry-cuda1")
        bench.inquest.settle(bench.spool)
        assert bench.inquest.is_open("geometry-cuda1")
    bench.inquest.settle(bench.spool)
    assert not bench.inquest.is_open("geometry-cuda1")
    assert bench.spool.find(job.id).folder == "geometry"
    assert Trouble.read(job.path).killed == 1


def test_a_job_is_charged_once_though_putting_it_back_takes_two_tries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.job()
    bench.begin(job.id)
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(Spool, "advance", full)
        bench.die()
        bench.inquest.settle(bench.spool)
    bench.inquest.settle(bench.spool)
    assert bench.spool.find(job.id).folder == "geometry"
    assert (bench.attempts(job.id), Trouble.read(job.path).killed) == (1, 1)


def test_a_damaged_record_is_worth_one_death(bench: Bench) -> None:
    job = bench.job()
    (job.path / "trouble.json").write_text("{")
    bench.begin(job.id)
    bench.die()
    assert "poison" in (bench.spool.find(job.id).status.error or "")


def test_a_rest_ends_with_the_boot_it_was_measured_in(bench: Bench) -> None:
    job = bench.job()
    resting = Trouble().resting(100.0)
    resting.write(job.path)
    assert 0 < bench.spool.rest_left("geometry", job.id) <= 100
    replace(resting, boot="another boot").write(job.path)
    assert bench.spool.rest_left("geometry", job.id) == 0
    assert bench.spool.claim("geometry", "geometry-cuda1")


def test_stacks_of_an_aborted_worker_reach_the_log_of_its_job(bench: Bench) -> None:
    job = bench.job()
    bench.begin(job.id)
    joblog.stacks_file(bench.spool, "geometry-cuda1").write_text(
        'Thread 0x1 (most recent call first):\n  File "a.py"'
    )
    bench.die(Ending(-signal.SIGABRT, "no progress for 301 s in geometry (limit 300 s)"))
    log = (job.path / "job.log").read_text()
    assert "no progress for 301 s in geometry" in log and "most recent call first" in log
    assert Status.read(job.path).error is None


def test_what_a_killed_worker_had_half_written_goes(bench: Bench) -> None:
    job = bench.job()
    bench.begin(job.id)
    half = bench.spool.root / "running" / "geometry-cuda1" / job.id / ".geometry.glb.4711.aside"
    half.write_bytes(b"half")
    bench.die()
    assert not [entry.name for entry in job.path.iterdir() if entry.name.startswith(".")]


def test_a_record_knows_the_death_before() -> None:
    record = ServiceRecord("cuda:0")
    assert record.died(Death("a", "texture")) is None
    assert record.died(Death("a", "texture")) is None
    assert record.died(Death("b", "texture")) == Death("a", "texture")


def test_an_outage_is_told_on_the_board_and_by_health(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_record, "FIRST_PAUSE", 1200.0)

    def told() -> Board:
        now = board(bench.spool, bench.settings, "hunyuan", "2026-01-01", bench.crews, False)
        now.write(bench.spool.root)
        return now

    web = TestClient(
        create_app(read(HttpConfig, {"PROTOSCALE_SPOOL": str(bench.spool.root), "PROTOSCALE_RESERVE": "1"})),
        base_url="http://localhost",
    )
    held = lock.take(bench.spool.root)
    try:
        assert {slot.state for slot in told().workers} == {"restarting"}
        assert web.get("/health").json()["status"] == "ok"
        for job in (bench.job(), bench.job()):
            bench.begin(job.id)
            bench.die()
        assert {slot.state for slot in told().workers} == {"out of service"}
        health = web.get("/health").json()
        assert health["status"] == "degraded"
        assert any("cuda:1 is out of service for 1200 s" in note for note in health["notes"])
        assert {device["state"] for device in health["devices"]} == {"out of service"}
    finally:
        os.close(held)
