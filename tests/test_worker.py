"""The worker's loop: which job it takes, what it makes of it, and when it ends; what fails is in test_outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.devices import TEXTURE_STAGES, Post
from daemon.engines.glb import read_extras, read_glb
from spool import layout, pause
from spool.spool import Spool
from spool.status import Status, read_attempts
from spool.tally import Tally
from spool.view import look
from tests.support import config, submit
from tests.workbench import ALL, engine, work_off, worker

pytestmark = pytest.mark.usefixtures("short_rests")


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


def test_attempts_are_on_disk_before_the_work(spool: Spool, settings: Config) -> None:
    of = worker(spool, settings)
    job_id = submit(spool).id
    seen: list[int] = []
    engine(of).during = lambda stage: seen.append(
        read_attempts(spool.root / "running" / ALL.name / job_id).get(stage, 0)
    )
    work_off(of)
    assert seen == [1] * 9


def test_no_work_is_begun_below_the_disk_reserve(tmp_path: Path) -> None:
    settings = config(tmp_path / "spool", PROTOSCALE_RESERVE="900000T")
    spool = Spool.open(settings.spool)
    job_id = submit(spool).id
    assert work_off(worker(spool, settings)) == 0
    assert spool.find(job_id).folder == "inbox"


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
