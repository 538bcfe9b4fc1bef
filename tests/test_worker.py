"""What becomes of an attempt: each outcome in the worker's table, with a real engine and real directories."""

from __future__ import annotations

import errno
import json
import time
import traceback
from pathlib import Path

import pytest

from daemon import joblog
from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.engines.glb import read_extras, read_glb
from daemon.errors import BadJob, DeviceLost, EngineError
from daemon.pulse import Pulse
from daemon.worker import Worker
from spool import layout, pause, policy
from spool.job import Job
from spool.spool import Spool
from spool.status import Status, read_attempts
from spool.tally import Tally
from spool.view import look
from tests.support import SphereEngine, config, picture, submit

ALL = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))


def worker(spool: Spool, settings: Config, post: Post = ALL) -> Worker:
    spool.enlist(post.name)
    return Worker(spool, settings, post, SphereEngine(), Pulse())


def engine(of: Worker) -> SphereEngine:
    assert isinstance(of.engine, SphereEngine)
    return of.engine


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "FIRST_REST", 0.05)
    monkeypatch.setattr("daemon.outcome.DISK_PAUSE", 0.05)
    monkeypatch.setattr("daemon.outcome.LONGEST_DISK_PAUSE", 0.1)


def work_off(of: Worker) -> int:
    """Work until nothing waits, through rests and pauses; how many jobs were claimed."""
    steps = 0
    while True:
        # Looked at before the step: a rest that ends between the two is worth another step.
        resting = of.outcomes.waits_for_disk or any(
            of.spool.rest_left(stage.folder, job)
            for stage in layout.STAGES
            for job in of.spool.waiting(stage.folder)
        )
        if of.step():
            steps += 1
        elif resting:
            time.sleep(0.01)
        else:
            return steps


def test_a_photo_becomes_a_model_with_everything_beside_it(spool: Spool, settings: Config) -> None:
    job_id = submit(spool, seed=7).id
    assert work_off(worker(spool, settings)) == 1  # nothing else waits: it stays in hand
    path = spool.root / "done" / job_id
    assert all((path / product).exists() for product in layout.PRODUCTS)
    analysis = json.loads((path / "analysis.json").read_text())
    assert analysis["watertight"] is True
    assert analysis["seed"] == 7
    assert analysis["engine"] == "sphere"
    extras = read_extras(path / "model.glb")
    assert extras["settings"] == {"subdivisions": 2, "seed": 7}
    assert extras["cutout"] == {"alpha": "kept"}
    assert len(read_glb(path / "model.glb").faces) == analysis["faces"]
    status = Status.read(path)
    assert status.progress == 100.0
    assert set(status.timings) == {"cutout", "geometry", "texture"}
    assert "a note from the cut-out" in status.notes
    assert [entry.name for entry in path.iterdir() if entry.name.startswith(".")] == []


def test_the_two_step_flow_keeps_the_mesh(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    job_id = submit(spool, "held", views=False, model=False).id
    spool.release(job_id, model=False)
    work_off(of)
    found = spool.find(job_id)
    assert found.folder == "held"
    assert found.job.has("view_3.png") and not found.job.has("model.glb")
    assert look(spool, job_id)["status"] == "completed"
    mesh = (found.job.path / "geometry.glb").read_bytes()
    spool.release(job_id, model=True)
    assert look(spool, job_id)["progress"] < 100
    work_off(of)
    found = spool.find(job_id)
    assert found.folder == "done"
    assert (found.job.path / "geometry.glb").read_bytes() == mesh
    assert read_attempts(found.job.path)["geometry"] == 1


def test_the_same_photo_and_settings_give_the_same_bytes(spool: Spool, settings: Config) -> None:
    first, second = submit(spool).id, submit(spool).id
    work_off(worker(spool, settings))
    for product in layout.PRODUCTS:
        one, other = ((spool.root / "done" / job_id / product).read_bytes() for job_id in (first, second))
        assert one == other, product


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


def test_attempts_are_on_disk_before_the_work(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    job_id = submit(spool).id
    seen: list[int] = []
    engine(of).during = lambda stage: seen.append(
        read_attempts(spool.root / "running" / ALL.name / job_id).get(stage, 0)
    )
    work_off(of)
    assert seen == [1] * 9


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


def test_no_work_is_begun_below_the_disk_reserve(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_RESERVE="900000T")
    spool = Spool.open(settings.spool)
    job_id = submit(spool).id
    assert work_off(worker(spool, settings)) == 0
    assert spool.find(job_id).folder == "inbox"


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
    assert spool.recover(ALL.name, 3, "died") == [(job_id, "inbox")]
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


def test_a_job_whose_product_is_there_already_is_not_made_again(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    job = submit(spool)
    work_off(of)
    done = spool.root / "done" / job.id
    before = (done / "cutout.png").stat().st_mtime_ns
    (done / "model.glb").unlink()
    done.rename(spool.root / "inbox" / job.id)  # wherever it lies, it is resumed
    work_off(of)
    assert (done / "model.glb").exists()
    assert (done / "cutout.png").stat().st_mtime_ns == before


def test_idle_models_are_unloaded_once(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", MODEL_IDLE_TIMEOUT="0.1", PROTOSCALE_SCAN_EVERY="0.1")
    spool = Spool.open(settings.spool)
    of = worker(spool, settings)
    of.rest()
    assert engine(of).unloads == 0  # nothing was loaded yet
    submit(spool)
    work_off(of)
    for _ in range(4):
        of.rest()
    assert engine(of).unloads == 1


def test_the_texture_worker_feeds_geometry_first(spool: Spool, settings: Config) -> None:
    post = Post("texture-cpu", "cpu", TEXTURE_STAGES)
    of = worker(spool, settings, post)
    ready = submit(spool)
    work_off(worker(spool, settings))
    fresh, other = submit(spool), submit(spool)
    texturing = spool.root / "done" / ready.id
    (texturing / "model.glb").unlink()
    texturing.rename(spool.root / "texture" / ready.id)
    assert of.step()  # geometry has nothing: background removal goes first
    assert spool.find(fresh.id).folder == "geometry"
    assert of.step()  # geometry has one job per worker: now what is nearest to its end
    assert spool.find(ready.id).folder == "done"
    assert spool.find(other.id).folder == "inbox"


def test_geometry_workers_that_joined_are_fed_and_no_more(
    spool: Spool, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = worker(spool, settings, Post("texture-cpu", "cpu", TEXTURE_STAGES))
    monkeypatch.setattr(of._pace, "workers_for", lambda stage, at_least: at_least + 2)
    ready = submit(spool)
    work_off(worker(spool, settings))
    others = [submit(spool) for _ in range(4)]
    texturing = spool.root / "done" / ready.id
    (texturing / "model.glb").unlink()
    texturing.rename(spool.root / "texture" / ready.id)
    assert all(of.step() for _ in range(3))
    assert [spool.find(job.id).folder for job in others] == ["geometry"] * 3 + ["inbox"]
    assert of.step()  # each of the three has a job
    assert spool.find(ready.id).folder == "done"


def test_a_paused_worker_tells_what_it_counted_before_it_sleeps(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    submit(spool)
    assert of.step()  # the second count and the third are owed: one was just written
    pause.pause(spool.root)
    assert not of.step()
    of.wake.ring()
    of.rest()
    assert set(Tally(spool.root, of.post.name).stages) == {"cutout", "geometry", "texture"}


def test_what_an_engine_does_is_beaten_to_the_supervisor(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    beats: list[bool] = []
    engine(of).during = lambda stage: beats.append(of.pulse.is_busy)
    submit(spool)
    work_off(of)
    assert all(beats) and not of.pulse.is_busy
    assert of.pulse.jobs == 3


def test_a_worker_that_outgrew_its_memory_ends_between_jobs(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_MAX_WORKER_MEMORY="1M")
    spool = Spool.open(settings.spool)
    job_id = submit(spool).id
    worker(spool, settings).run()
    assert spool.find(job_id).folder == "geometry"
    assert not worker(spool, config(spool.root)).outgrown()


def test_a_worker_that_did_its_number_of_stages_ends_between_jobs(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_MAX_WORKER_JOBS="2")
    spool = Spool.open(settings.spool)
    job_id = submit(spool).id
    worker(spool, settings).run()
    assert spool.find(job_id).folder == "texture"


def test_a_device_that_is_lost_ends_the_worker_and_counts(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    engine(of).trouble["cutout"] = [DeviceLost("cuda:1 does not work any more in this process")]
    job_id = submit(spool).id
    with pytest.raises(DeviceLost):
        work_off(of)
    assert spool.recover(ALL.name, 3, "died") == [(job_id, "inbox")]
    assert read_attempts(spool.root / "inbox" / job_id) == {"cutout": 1}
    assert work_off(of) == 1
