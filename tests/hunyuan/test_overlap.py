"""The device takes the next job while the CPU finishes the last one, and what becomes of a finishing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from PIL import Image
from trimesh import Trimesh

from daemon.config import Config, StepLimits
from daemon.devices import GEOMETRY_STAGES, Post
from daemon.engines.base import JSON, Cutout, Order, Progress, Unfinished
from daemon.finisher import Finisher
from daemon.pulse import Pulse
from daemon.worker import Worker
from spool import policy
from spool.job import Job
from spool.spool import Spool
from spool.status import read_attempts
from spool.view import look
from tests.support import config as settings_for
from tests.support import picture, submit, until

if TYPE_CHECKING:
    from daemon.engines.hunyuan.engine import HunyuanEngine

pytestmark = pytest.mark.filterwarnings("ignore")

POST = Post("geometry-cpu", "cpu", GEOMETRY_STAGES)


def gated(gate: str, made: Unfinished, progress: Progress) -> Trimesh:
    """Finish `made` once the file `gate` is there: runs in the finisher."""
    deadline = time.monotonic() + 600
    while not Path(gate).exists():
        assert time.monotonic() < deadline
        progress(0.1, "waiting at the gate")
        time.sleep(0.02)
    return made(progress)


def stuck(progress: Progress) -> Trimesh:
    """A step that has no steps, such as unwrapping a huge mesh."""
    time.sleep(600)
    raise AssertionError


def dying(progress: Progress) -> Trimesh:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Gated:
    """The real engine; what it leaves waits at a gate, and each model step is written down."""

    def __init__(self, engine: HunyuanEngine, gate: Path) -> None:
        self.engine = engine
        self.name = engine.name
        self.gate = gate
        self.began: list[float] = []
        self.left: Callable[[Unfinished], Unfinished] = lambda made: Unfinished(gated, (str(gate), made))
        self.during: Callable[[], None] = lambda: None

    def check(self) -> None:
        self.engine.check()

    def settings(self, order: Order) -> dict[str, JSON]:
        return self.engine.settings(order)

    def versions(self) -> dict[str, str]:
        return self.engine.versions()

    def cutout(self, photo: Image.Image, remove_bg: bool, progress: Progress) -> Cutout:
        raise AssertionError

    def geometry(self, cutout: Image.Image, order: Order, progress: Progress) -> Unfinished:
        def stepped(share: float, message: str) -> None:
            if "step 1 " in message:
                self.began.append(time.monotonic())
                self.during()
            progress(share, message)

        return self.left(self.engine.geometry(cutout, order, stepped))

    def texture(self, mesh: Trimesh, cutout: Image.Image, order: Order, progress: Progress) -> Trimesh:
        raise AssertionError

    def unload(self) -> bool:
        return self.engine.unload()


@pytest.fixture
def spool(config: Config) -> Spool:
    return Spool.open(config.spool)


@pytest.fixture
def engine(config: Config, tmp_path: Path) -> Gated:
    from daemon.engines.choose import hunyuan

    return Gated(hunyuan(config, POST), tmp_path / "gate")


@pytest.fixture
def worker(spool: Spool, config: Config, engine: Gated) -> Iterator[Worker]:
    spool.enlist(POST.name)
    finisher = Finisher(POST.name, config)
    yield Worker(spool, config, POST, engine, Pulse(), finisher=finisher)
    finisher.stop()


def ready(spool: Spool) -> Job:
    """A job that waits for geometry."""
    job = submit(spool, "geometry")
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("protoscale", json.dumps({"facts": {}, "notes": []}))
    (job.path / "cutout.png").write_bytes(picture())
    Image.open(job.path / "cutout.png").save(job.path / "cutout.png", pnginfo=text)
    return job


def finish_all(worker: Worker) -> None:
    def over() -> bool:
        worker.collect()
        assert worker.finisher
        return not worker.finisher.outstanding

    until(over, 600)


def test_the_next_model_step_starts_before_the_last_export_ends(
    worker: Worker, spool: Spool, engine: Gated
) -> None:
    first, second = ready(spool), ready(spool)
    assert worker.step()
    assert spool.find(first.id).worker == POST.name
    exported: list[bool] = []

    def second_began() -> None:
        exported.append(spool.find(first.id).job.has("geometry.glb"))
        engine.gate.touch()  # only now can the first's finishing end

    engine.during = second_began
    assert worker.step()
    assert len(engine.began) == 2 and exported == [False]
    finish_all(worker)
    for job in (first, second):
        found = spool.find(job.id)
        assert found.folder == "texture" and found.job.has("geometry.glb")
        assert found.status.timings["geometry"] > 0
    ended = [spool.root / "texture" / job.id / "geometry.glb" for job in (first, second)]
    assert ended[0].stat().st_mtime_ns <= ended[1].stat().st_mtime_ns


def test_no_more_than_a_few_are_left_to_the_finisher(worker: Worker, spool: Spool, engine: Gated) -> None:
    jobs = [ready(spool) for _ in range(policy.FINISHING + 1)]
    assert all(worker.step() for _ in range(policy.FINISHING))
    assert not worker.step()
    assert spool.find(jobs[-1].id).folder == "geometry"
    engine.gate.touch()
    finish_all(worker)
    while worker.step():
        finish_all(worker)
    assert {spool.find(job.id).folder for job in jobs} == {"texture"}


def test_a_dead_finisher_is_one_attempt_of_its_job_alone(worker: Worker, spool: Spool, engine: Gated) -> None:
    engine.left = lambda made: Unfinished(dying, ())
    job = ready(spool)
    assert worker.step()
    finish_all(worker)
    found = spool.find(job.id)
    assert found.folder == "geometry" and "died" in found.status.message
    assert read_attempts(found.job.path) == {"geometry": 1}
    engine.left = lambda made: made
    until(worker.step, 60)  # it rests a little before its second attempt
    finish_all(worker)
    assert spool.find(job.id).folder == "texture"


@pytest.mark.parametrize("deaf", [False, True])
def test_a_finishing_is_cancelled(
    worker: Worker, spool: Spool, engine: Gated, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    if deaf:
        monkeypatch.setattr("daemon.finisher.CANCEL_GRACE", 0.2)
        engine.left = lambda made: Unfinished(stuck, ())
    job = ready(spool)
    assert worker.step()
    spool.cancel(job.id)
    finish_all(worker)
    assert look(spool, job.id)["error"] == "cancelled"


def test_a_finisher_that_dies_while_idle_costs_nobody_an_attempt(
    worker: Worker, spool: Spool, engine: Gated
) -> None:
    engine.left = lambda made: made
    pid = worker.finisher.pid if worker.finisher else None
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 60)
    job = ready(spool)
    assert worker.step()
    finish_all(worker)
    found = spool.find(job.id)
    assert found.folder == "texture" and read_attempts(found.job.path) == {"geometry": 1}


def test_a_hung_finishing_is_ended(spool: Spool, config: Config, engine: Gated) -> None:
    spool.enlist(POST.name)
    finisher = Finisher(POST.name, replace(config, step_limit=StepLimits(0.5)))
    worker = Worker(spool, config, POST, engine, Pulse(), finisher=finisher)
    engine.left = lambda made: Unfinished(stuck, ())
    job = ready(spool)
    assert worker.step()
    finish_all(worker)
    finisher.stop()
    assert "got no further" in spool.find(job.id).status.message


def test_a_drain_waits_for_it(worker: Worker, spool: Spool, engine: Gated) -> None:
    job = ready(spool)
    assert worker.step()
    worker.drain()
    engine.gate.touch()
    worker.run()
    assert spool.find(job.id).folder == "texture"


def test_a_drain_that_is_over_puts_it_back_uncharged(
    tmp_path: Path, environ: dict[str, str], engine: Gated
) -> None:
    config = settings_for(tmp_path / "spool", **environ, PROTOSCALE_DRAIN_LIMIT="0")
    spool = Spool.open(config.spool)
    spool.enlist(POST.name)
    finisher = Finisher(POST.name, config)
    worker = Worker(spool, config, POST, engine, Pulse(), finisher=finisher)
    job = ready(spool)
    assert worker.step()
    worker.drain()
    worker.run()
    found = spool.find(job.id)
    assert found.folder == "geometry"
    assert read_attempts(found.job.path) == {}


def test_a_surface_without_faces_fails_the_job_from_the_finisher(
    worker: Worker, spool: Spool, engine: Gated
) -> None:
    engine.left = lambda made: Unfinished(
        made.finish, (made.parts[0], made.parts[1][:1] * 0, *made.parts[2:])
    )
    job = ready(spool)
    assert worker.step()
    finish_all(worker)
    told = look(spool, job.id)
    assert told["status"] == "failed" and "no surface" in told["error"]
