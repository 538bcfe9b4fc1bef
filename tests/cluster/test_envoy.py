"""An envoy and its outpost with nothing but pickle between them: what every outcome there becomes here."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trimesh
from PIL import Image

from daemon.cluster.outpost import Outpost
from daemon.cluster.roster import Vitals
from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Berth, Post
from daemon.engines.base import Engine, Order, Progress, Unfinished
from daemon.errors import BadJob, DeviceLost, EngineError, EngineUnavailable, OutOfMemory
from daemon.pulse import Pulse
from spool import layout
from spool.job import Job
from spool.spool import Spool
from spool.status import Status, read_attempts
from tests.cluster.machines import ray_missing
from tests.support import SphereEngine, config, submit, until

if (why := ray_missing()) is not None:
    pytest.skip(why, allow_module_level=True)

from daemon.cluster.envoy import Envoy, Line, OutpostDied

POST = Post(
    "all-box2-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES), Berth("box2", "id", "protoscale_all", 0)
)


class Here(Outpost):
    """An outpost in this process."""

    engine: Any

    def _build(self, post: Post) -> Engine:
        built: Engine = self.engine
        return built


class Wire(Line):
    """Carries copies of everything, as Ray does."""

    def __init__(self, outpost: Outpost) -> None:
        self._outpost = outpost
        self.carried = 0

    def call(self, method: str, *args: Any, limit: float | None = None) -> Any:
        sent = pickle.dumps(args)
        back = pickle.dumps(getattr(self._outpost, method)(*pickle.loads(sent)))
        self.carried += len(sent) + len(back)
        return pickle.loads(back)


class Pair:
    """One device elsewhere."""

    def __init__(self, root: Path, engine: Any = None) -> None:
        self.spool = Spool.open(root)
        self.spool.enlist(POST.name)
        self.engine = engine or SphereEngine()
        self.config = config(root, PROTOSCALE_DRAIN_LIMIT="0", PROTOSCALE_STEP_LIMIT="60")
        self.outpost = _outpost(self.config, self.engine)
        self.wire = Wire(self.outpost)
        self.pulse = Pulse()
        self.envoy = Envoy(self.spool, self.config, POST, self.pulse, 1, self.wire, self.wire.call("open"))

    def work(self) -> None:
        while self.envoy.step():
            pass

    def submit(self, **wishes: Any) -> Job:
        return submit(self.spool, quality="draft", **wishes)

    def folder(self, job: Job) -> str:
        return self.spool.find(job.id).folder

    def status(self, job: Job) -> Status:
        return self.spool.find(job.id).status


def _outpost(settings: Config, engine: Any) -> Here:
    from importlib.metadata import version

    made = Here(settings, POST, version("protoscale"))
    made.engine = engine
    return made


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path / "spool")
    yield made
    made.envoy.wake.close()


def test_a_photo_becomes_a_model_with_everything_beside_it(pair: Pair) -> None:
    job = pair.submit(seed=7)
    pair.work()
    found = pair.spool.find(job.id)
    assert found.folder == layout.DONE
    assert all(found.job.has(name) for name in layout.PRODUCTS)
    assert found.status.progress == 100.0 and found.status.engine == "sphere" and found.status.error is None
    assert "a note from the cut-out" in found.status.notes
    assert set(found.status.timings) == {"cutout", "geometry", "texture"}
    assert read_attempts(found.job.path) == {"cutout": 1, "geometry": 1, "texture": 1}
    assert not list(found.job.path.glob(".*"))
    vitals = Vitals.read(pair.spool.root, POST.name)
    assert vitals and vitals.engine == "sphere" and (vitals.memory_bytes or 0) > 2**20


def test_views_alone(pair: Pair) -> None:
    job = pair.submit(views=True, model=False)
    pair.work()
    assert pair.folder(job) == layout.HELD
    assert all(pair.spool.find(job.id).job.has(view) for view in layout.VIEWS)


def test_a_bad_job_fails_with_the_reason_from_there(pair: Pair) -> None:
    pair.engine.trouble["geometry"] = [BadJob("nothing to see in this photo")]
    job = pair.submit()
    pair.work()
    assert pair.folder(job) == layout.FAILED
    assert pair.status(job).error == "nothing to see in this photo"


@pytest.mark.parametrize("kind", [EngineError, OutOfMemory])
def test_an_engine_error_is_tried_again(
    pair: Pair, kind: type[EngineError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spool.policy.FIRST_REST", 0.01)
    pair.engine.trouble["texture"] = [kind("cuda:0 of box2 wants 9 GiB, and 2 are free")]
    job = pair.submit()
    soon(pair, lambda: pair.folder(job) == layout.DONE)
    found = pair.spool.find(job.id).job.path
    assert read_attempts(found)["texture"] == 2
    assert "wants 9 GiB" in (found / layout.LOG).read_text()


def test_a_full_disk_there_is_nobodys_fault(pair: Pair) -> None:
    pair.engine.trouble["geometry"] = [OSError(28, "No space left on device")]
    job = pair.submit()
    pair.work()
    assert pair.folder(job) == layout.GEOMETRY
    assert read_attempts(pair.spool.find(job.id).job.path).get("geometry", 0) == 0


def test_a_cancelled_job_stops_there(pair: Pair) -> None:
    stopped = threading.Event()

    def during(stage: str) -> None:
        if stage == "geometry" and not stopped.is_set():
            stopped.set()
            pair.spool.cancel(job.id)
            time.sleep(0.5)  # until the envoy has looked

    pair.engine.during = during
    job = pair.submit()
    pair.work()
    assert stopped.is_set()
    assert (pair.folder(job), pair.status(job).error) == (layout.FAILED, "cancelled")
    after = pair.submit()
    pair.work()
    assert pair.folder(after) == layout.DONE


def test_a_drain_puts_the_job_back_uncharged(pair: Pair) -> None:
    def during(stage: str) -> None:
        pair.envoy.drain()
        time.sleep(0.5)

    pair.engine.during = during
    job = pair.submit()
    pair.envoy.step()
    assert pair.folder(job) == layout.INBOX
    assert read_attempts(pair.spool.find(job.id).job.path) == {}


@pytest.mark.parametrize(
    ("bug", "kind"), [(ZeroDivisionError("a bug"), OutpostDied), (DeviceLost("gone"), DeviceLost)]
)
def test_what_nobody_expected_ends_the_envoy(pair: Pair, bug: Exception, kind: type[Exception]) -> None:
    pair.engine.trouble["geometry"] = [bug]
    job = pair.submit()
    with pytest.raises(kind):
        pair.envoy.step()
    assert pair.pulse.job == job.id  # by which the supervisor knows whom to charge
    path = pair.spool.root / layout.RUNNING / POST.name / job.id
    assert kind is DeviceLost or "ZeroDivisionError: a bug" in (path / layout.LOG).read_text()


def test_an_engine_that_cannot_load_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SphereEngine()

    def check() -> None:
        raise EngineUnavailable("no weights; run `protoscale models pull`")

    monkeypatch.setattr(engine, "check", check)
    assert _outpost(config(tmp_path), engine).open().trouble == "no weights; run `protoscale models pull`"


def test_another_version_there_is_refused(tmp_path: Path) -> None:
    outpost = Here(config(tmp_path), POST, "0.0.1")
    outpost.engine = SphereEngine()
    assert "install the same everywhere" in (outpost.open().trouble or "")


def test_what_a_killed_outpost_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, of_another = tmp_path / f"protoscale-{POST.name}-x1", tmp_path / "protoscale-all-box3-cpu-x1"
    for folder in (left, of_another):
        (folder / "job").mkdir(parents=True)
    assert _outpost(config(tmp_path), SphereEngine()).open().trouble is None
    assert not left.exists() and of_another.exists()


def test_paths_are_the_machines_own_and_all_else_is_the_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U2NET_HOME", "/models/there")
    monkeypatch.setenv("PROTOSCALE_MAX_PIXELS", "1024")
    outpost = _outpost(config(tmp_path, U2NET_HOME="/models/here"), SphereEngine())
    assert outpost.open().trouble is None
    assert str(outpost._config.u2net_home) == "/models/there"
    assert outpost._config.max_pixels == 40_000_000


# --- finishing beside the next job ---------------------------------------------------------------------


class LeavingEngine(SphereEngine):
    """Leaves the end of each geometry and texture to a finisher, which waits for a file."""

    name = "leaving"

    def __init__(self, gate: Path) -> None:
        super().__init__()
        self._gate = gate

    def geometry(self, cutout: Image.Image, order: Order, progress: Progress) -> Any:
        return Unfinished(gated, (str(self._gate), super().geometry(cutout, order, progress)), ("left",))

    def texture(self, mesh: trimesh.Trimesh, cutout: Image.Image, order: Order, progress: Progress) -> Any:
        return Unfinished(gated, (str(self._gate), super().texture(mesh, cutout, order, progress)))


def gated(gate: str, mesh: trimesh.Trimesh, progress: Progress) -> trimesh.Trimesh:
    """Finish once the gate is there."""
    while not Path(gate).exists():
        progress(0.5, "waiting at the gate")
        time.sleep(0.05)
    return mesh


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path / "spool", LeavingEngine(tmp_path / "gate"))
    yield made
    made.outpost.drop()
    made.envoy.wake.close()


def soon(pair: Pair, what: Callable[[], bool]) -> None:
    """Let the envoy take turns until something is so."""

    def turned() -> bool:
        if not pair.envoy.step():
            time.sleep(0.05)
        return what()

    until(turned, 120)


def left(pair: Pair) -> int:
    """How many jobs are being finished there."""
    assert pair.envoy.finisher
    return pair.envoy.finisher.outstanding


def test_the_device_takes_the_next_job_while_one_is_finished_there(leaving: Pair, tmp_path: Path) -> None:
    jobs = [leaving.submit(), leaving.submit()]

    soon(
        leaving, lambda: left(leaving) == 2
    )  # neither is finished, and the device has done the geometry of both
    assert {leaving.folder(job) for job in jobs} == {layout.RUNNING}
    soon(leaving, lambda: "gate" in leaving.status(jobs[0]).message)
    (tmp_path / "gate").touch()
    soon(leaving, lambda: {leaving.folder(job) for job in jobs} == {layout.DONE})
    for job in jobs:
        found = leaving.spool.find(job.id)
        assert all(found.job.has(name) for name in layout.PRODUCTS)
        assert read_attempts(found.job.path) == {"cutout": 1, "geometry": 1, "texture": 1}
        assert "left" in found.status.notes
    assert not leaving.outpost._annex._kept


def test_a_job_is_cancelled_while_it_is_finished_there(leaving: Pair) -> None:
    job = leaving.submit()
    soon(leaving, lambda: left(leaving) == 1)
    leaving.spool.cancel(job.id)
    soon(leaving, lambda: leaving.folder(job) == layout.FAILED)
    assert leaving.status(job).error == "cancelled"


def test_a_drain_puts_back_what_is_being_finished_there(leaving: Pair) -> None:
    job = leaving.submit()
    soon(leaving, lambda: left(leaving) == 1)
    leaving.envoy.drain()
    leaving.envoy.wind_up()
    assert leaving.folder(job) == layout.GEOMETRY
    assert read_attempts(leaving.spool.find(job.id).job.path).get("geometry", 0) == 0
