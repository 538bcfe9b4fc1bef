"""A job whose next stage the same worker would do next stays in its hands; whatever else waits is asked first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from daemon.config import Config
from daemon.errors import EngineError
from daemon.finisher import Finished, Finisher
from daemon.worker import Worker
from spool import layout, pause, recovery
from spool.job import Job
from spool.spool import Spool
from spool.status import Status, read_attempts
from spool.tally import ENOUGH
from tests.crash.shim import Call, Shim
from tests.support import config, submit
from tests.workbench import ALL, engine, work_off, worker


class Moves:
    """Watches where one job directory goes."""

    def __init__(self, job: Job) -> None:
        self.folders: list[str] = []
        self._id = job.id

    def before(self, call: Call) -> None:
        pass

    def after(self, call: Call) -> None:
        if call.name == "rename" and Path(call.target).name == self._id:
            self.folders.append(Path(call.target).parent.name)


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return config(tmp_path / "spool")


@pytest.fixture
def spool(settings: Config) -> Spool:
    return Spool.open(settings.spool)


class Writes:
    """Keeps what is written into one job's status."""

    def __init__(self, job: Job) -> None:
        self.told: list[dict[str, object]] = []
        self._id = job.id

    def before(self, call: Call) -> None:
        pass

    def after(self, call: Call) -> None:
        path = Path(call.path)
        if call.name == "write" and path.parent.name == self._id and layout.STATUS in path.name:
            self.told.append(json.loads(call.content))


@pytest.fixture
def of(spool: Spool, settings: Config) -> Worker:
    return worker(spool, settings)


def moves(spool: Spool, of: Worker, job: Job) -> list[str]:
    """The folders that `job` goes through in one step."""
    watch = Moves(job)
    with Shim(spool.root, watch).installed():
        assert of.step()
    return watch.folders


def waiting_in(spool: Spool, folder: str) -> Job:
    """A job that waits for the stage of `folder`, its products whole."""
    job = submit(spool)
    other = worker(spool, config(spool.root))
    work_off(other)
    done = spool.root / layout.DONE / job.id
    (done / layout.MODEL_GLB).unlink()
    if folder == layout.GEOMETRY:
        (done / layout.GEOMETRY_GLB).unlink()
    done.rename(spool.root / "aside")
    return job


def test_alone_it_goes_from_the_inbox_to_done(spool: Spool, of: Worker) -> None:
    job = submit(spool)
    assert moves(spool, of, job) == [ALL.name, "done"]
    status = Status.read(spool.find(job.id).job.path)
    assert (
        status.timings.keys() == read_attempts(spool.find(job.id).job.path).keys() == set(layout.STAGE_NAMED)
    )
    assert (status.worker, status.progress, status.notes) == (None, 100.0, ("a note from the cut-out",))


def test_what_is_said_of_it_meanwhile_is_true(spool: Spool, of: Worker) -> None:
    job = submit(spool)
    seen: dict[str, Status] = {}

    def look(stage: str) -> None:
        seen[stage] = Status.read(spool.find(job.id).job.path)

    engine(of).during = look
    work_off(of)
    assert {(stage, status.stage, status.worker) for stage, status in seen.items()} == {
        (stage, stage, ALL.name) for stage in layout.STAGE_NAMED
    }
    assert [list(status.timings) for status in seen.values()] == [[], ["cutout"], ["cutout", "geometry"]]


def test_what_is_over_before_anybody_could_read_of_it_is_not_announced(
    spool: Spool, of: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.reporter.EVERY", 60.0)  # however slow this machine is now
    for _ in range(ENOUGH):
        of._tally.stage("geometry", 0.001)
    job = submit(spool)
    watch = Writes(job)
    with Shim(spool.root, watch).installed():
        assert of.step()
    assert [status["stage"] for status in watch.told][:2] == ["cutout", "texture"]
    assert Status.read(spool.find(job.id).job.path).timings.keys() == set(layout.STAGE_NAMED)


def test_what_it_was_to_tell_is_told_where_it_fails(spool: Spool, of: Worker) -> None:
    for _ in range(ENOUGH):
        of._tally.stage("geometry", 0.001)
    engine(of).trouble["geometry"] = [EngineError("out of memory")]
    job = submit(spool)
    assert of.step()
    status = spool.find(job.id).status
    assert (status.notes, list(status.timings)) == (("a note from the cut-out",), ["cutout"])
    assert status.message == "trying again: out of memory"


@pytest.mark.parametrize("folder", [layout.GEOMETRY, layout.TEXTURE])
def test_a_job_that_waits_further_on_goes_first(spool: Spool, of: Worker, folder: str) -> None:
    other = waiting_in(spool, folder)
    job = submit(spool)

    def arrives(stage: str) -> None:
        if stage == "cutout" and (spool.root / "aside").exists():
            (spool.root / "aside").rename(spool.root / folder / other.id)

    engine(of).during = arrives
    assert moves(spool, of, job) == [ALL.name, "geometry"]
    engine(of).during = lambda stage: None
    assert of.step()
    assert (spool.find(other.id).folder, spool.find(job.id).folder) == ("done", "geometry")


def test_what_waits_further_back_does_not(spool: Spool, of: Worker) -> None:
    job = submit(spool)

    def arrives(stage: str) -> None:
        submit(spool)

    engine(of).during = arrives
    assert moves(spool, of, job) == [ALL.name, "done"]


class FinisherAtWork:
    """One that has not ended yet what it was given."""

    outstanding, full = 1, False

    def ended(self) -> list[Finished]:
        return []


def test_jobs_at_the_finisher_are_collected_between_two_stages(spool: Spool, of: Worker) -> None:
    job = submit(spool)
    of.finisher = cast(Finisher, FinisherAtWork())
    engine(of).trouble["geometry"] = [AssertionError("it is another step's")]
    assert moves(spool, of, job) == [ALL.name, "geometry"]


def test_a_pause_lays_it_down(spool: Spool, of: Worker) -> None:
    job = submit(spool)

    def stop(stage: str) -> None:
        pause.pause(spool.root)

    engine(of).during = stop
    assert moves(spool, of, job) == [ALL.name, "geometry"]
    assert spool.find(job.id).status.timings.keys() == {"cutout"}


def test_so_does_a_worker_that_is_to_end(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_MAX_WORKER_JOBS="2")
    spool = Spool.open(settings.spool)
    job = submit(spool)
    worker(spool, settings).run()
    assert spool.find(job.id).folder == "texture"


def test_a_cancel_between_two_stages_is_heeded(
    spool: Spool, of: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(spool)
    begun = of.pulse.end
    monkeypatch.setattr(of.pulse, "end", lambda: (begun(), spool.cancel(job.id)))
    assert of.step()
    found = spool.find(job.id)
    assert (found.folder, found.status.error) == ("failed", "cancelled")
    assert read_attempts(found.job.path) == {"cutout": 1}


def test_a_worker_that_dies_between_two_stages_leaves_no_attempt_at_the_next(
    spool: Spool, of: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(spool)

    def die() -> None:
        raise SystemExit

    monkeypatch.setattr(of.pulse, "finish", die)
    with pytest.raises(SystemExit):
        of.step()
    assert recovery.recover(spool, ALL.name, 3, "it died") == [(job.id, "geometry")]
    assert read_attempts(spool.find(job.id).job.path) == {"cutout": 1}
