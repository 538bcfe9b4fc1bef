"""The whole service with the real code of Hunyuan3D-2.1 in its real worker processes, and tiny weights."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.engines.glb import read_glb
from daemon.engines.memory import RESERVE
from spool.view import look
from tests.gltf import assert_valid
from tests.service import Service
from tests.support import config as settings_for
from tests.support import picture, until

pytestmark = [pytest.mark.service, pytest.mark.filterwarnings("ignore")]

CARD = Path(__file__).parent / "card"
"""Makes the CPU a card of a few megabytes in every process that finds it on its path."""


@contextmanager
def running(root: Path, u2net_home: Path, **environ: str) -> Iterator[Service]:
    """A ready service. Its workers import torch and diffusers first, which a busy machine takes minutes for."""
    service = Service(root, u2net_home, **environ)
    service.start(ready=False)
    try:
        until(service.is_ready, 600)
        yield service
    finally:
        if service.process and service.process.poll() is None:
            service.process.kill()
            service.process.wait()


def upload(service: Service, **fields: str) -> str:
    answer = httpx.post(
        f"http://127.0.0.1:{service.port}/api/upload",
        files={"file": ("photo.png", picture())},
        data={"start": "true", "quality": "draft", **fields},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


@pytest.fixture(scope="module")
def shapes(
    tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str], u2net_home: Path
) -> Iterator[Service]:
    """A service without texture, whose steps and chunks are many and small, and whose weights are its own."""
    root = tmp_path_factory.mktemp("shapes")
    shutil.copytree(environ["MODEL_PATH"], root / "weights")
    own = {
        **environ,
        "MODEL_PATH": str(root / "weights"),
        "MODEL_IDLE_TIMEOUT": "1",
        "PROTOSCALE_HUNYUAN_LIMITS": "octree=48,chunks=200,faces=3000",
        "PROTOSCALE_MAX_WORKER_JOBS": "24",
    }
    with running(root / "spool", u2net_home, **own) as service:
        yield service
        assert service.stop() == 0


def model(service: Service, job: str) -> bytes:
    """The file of a job that must have come out well."""
    assert service.finished(job, 600)["error"] is None
    return (service.spool.root / "done" / job / "model.glb").read_bytes()


def unloaded_since(service: Service, words: str) -> bool:
    """Whether the geometry worker gave its models back after it logged `words`."""
    log = service.log.read_text()
    at = log.find(words)
    return at >= 0 and log.find("geometry-cpu: models unloaded", at) >= 0


def test_from_upload_to_model(shapes: Service) -> None:
    # Ready before any model is loaded: a job is accepted, and its first news is that it loads.
    jobs = [upload(shapes, seed=seed) for seed in ("1", "1", "2")]
    models = [model(shapes, job) for job in jobs]
    assert models[0] == models[1] != models[2]
    told = shapes.finished(jobs[0])
    assert told["engine"] == "hunyuan" and told["attempts"] == {"cutout": 1, "geometry": 1, "texture": 1}
    analysis = json.loads((shapes.spool.root / "done" / jobs[0] / "analysis.json").read_text())
    assert analysis["watertight"] and analysis["faces"] <= 3000
    assert analysis["settings"]["steps"] == 25 and analysis["settings"]["seed_used"] is True
    assert analysis["versions"]["torch"]


def test_an_idle_model_is_unloaded_and_loaded_again(shapes: Service) -> None:
    job = upload(shapes, seed="2")
    first = model(shapes, job)
    until(lambda: unloaded_since(shapes, f"job {job}: geometry took"), 120)
    assert model(shapes, upload(shapes, seed="2")) == first


def test_no_surface_fails_the_job_and_nothing_else(shapes: Service) -> None:
    job = upload(shapes, seed="3")
    first = model(shapes, job)
    until(lambda: unloaded_since(shapes, f"job {job}: geometry took"), 120)
    worker = shapes.pid("geometry-cpu")
    weights = Path(shapes.environ["MODEL_PATH"]) / "hunyuan3d-dit-v2-1" / "model.fp16.ckpt"
    whole = weights.read_bytes()
    _hollow(weights)
    lost = upload(shapes, seed="3")
    told = shapes.finished(lost, 600)
    assert told["status"] == "failed" and told["error"].startswith("no surface came out of this photo")
    assert told["attempts"] == {"cutout": 1, "geometry": 1}
    until(lambda: unloaded_since(shapes, f"job {lost}: no surface"), 120)
    _replace(weights, whole)
    assert model(shapes, upload(shapes, seed="3")) == first
    assert shapes.pid("geometry-cpu") == worker


def _hollow(weights: Path) -> None:
    """Change the checkpoint so that every point in space is outside."""
    import torch

    saved = torch.load(weights, weights_only=True)
    saved["vae"]["geo_decoder.output_proj.weight"].zero_()
    saved["vae"]["geo_decoder.output_proj.bias"].fill_(-1.0)
    content = io.BytesIO()
    torch.save(saved, content)
    _replace(weights, content.getvalue())


def _replace(path: Path, content: bytes) -> None:
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """A process that stands still, so that what it says of itself stays true."""
    process.suspend()
    try:
        until(lambda: process.status() == psutil.STATUS_STOPPED, 60)
        yield
    finally:
        process.resume()


def cancelled_at(service: Service, words: str) -> tuple[float, dict[str, Any]] | None:
    """How far a job was whose news began with `words` when it was cancelled, and its end.

    None where it was past them too soon.
    """
    job = upload(service, quality="ultra")

    def news() -> str:
        told = look(service.spool, job)
        return str(told["message"] if told["status"] == "processing" else told["status"])

    ends = ("completed", "failed")
    until(lambda: news().startswith((words, *ends)), 600)
    with stopped(psutil.Process(service.pid("geometry-cpu"))):
        if not news().startswith(words):
            return None
        progress = look(service.spool, job)["progress"]
        answer = httpx.post(f"http://127.0.0.1:{service.port}/api/jobs/{job}/cancel", timeout=60)
        assert answer.status_code < 300, answer.text
    return progress, service.finished(job, 600)


@pytest.mark.parametrize("words", ["shaping: step", "decoding: chunk"])
def test_a_cancel_in_the_model_step(shapes: Service, words: str) -> None:
    def got_no_further() -> bool:
        found = until(lambda: cancelled_at(shapes, words), 600)
        assert found
        progress, told = found
        assert (told["status"], told["error"], told["stage"]) == ("failed", "cancelled", "geometry")
        assert told["attempts"] == {"cutout": 1, "geometry": 1}
        assert not (shapes.spool.root / "failed" / told["job_id"] / "geometry.glb").exists()
        return bool(told["progress"] == progress)

    # It may have been stopped just when it wrote its next news, but not every time.
    assert any(got_no_further() for _ in range(5))
    assert len(model(shapes, upload(shapes))) > 10_000
    assert "worker geometry-cpu" not in shapes.log.read_text()  # as the supervisor would tell its death


def test_a_worker_that_did_its_share_is_replaced(shapes: Service) -> None:
    worker = shapes.pid("texture-cpu")
    first = model(shapes, upload(shapes, seed="4"))
    jobs = 0
    while shapes.pid("texture-cpu") == worker:  # two stages of each job are its own
        jobs += 1
        assert jobs <= 24
        assert model(shapes, upload(shapes, seed="4")) == first
    until(shapes.is_ready, 600)
    assert "texture-cpu: this worker outgrew PROTOSCALE_MAX_WORKER_JOBS" in shapes.log.read_text()
    assert model(shapes, upload(shapes, seed="4")) == first


def test_weights_that_are_not_there_stop_the_service_with_advice(
    tmp_path: Path, environ: dict[str, str], u2net_home: Path
) -> None:
    service = Service(tmp_path / "spool", u2net_home, **{**environ, "MODEL_PATH": str(tmp_path)})
    service.start(ready=False)
    process = service.process
    assert process is not None
    try:
        assert process.wait(600) == 78
    finally:
        process.kill()
    assert "protoscale models pull hunyuan" in service.log.read_text()


def test_from_upload_to_a_textured_model_on_one_card_that_holds_one_model(
    tmp_path: Path, paint_environ: dict[str, str], u2net_home: Path
) -> None:
    from daemon.engines.choose import hunyuan

    stages = (*TEXTURE_STAGES, *GEOMETRY_STAGES)
    engine = hunyuan(settings_for(tmp_path / "aside", **paint_environ), Post("all-cpu", "cpu", stages))
    environ = {
        **paint_environ,
        "GEOMETRY_DEVICE": "cpu",
        "TEXTURE_DEVICE": "cpu",
        "PYTHONPATH": os.pathsep.join([paint_environ["PYTHONPATH"], str(CARD)]),
        # Just enough for the texture model while nothing else is loaded.
        "CARD_BYTES": str(engine._paint.wants() + RESERVE),
    }
    made = []
    with running(tmp_path / "spool", u2net_home, **environ) as service:
        for _ in range(2):  # the second needs the shape model again, which the first one's texture put out
            made.append(upload(service, quality="high", seed="5"))
            assert service.finished(made[-1], 600)["error"] is None
        board = service.board()
        assert board and [slot.name for slot in board.workers] == ["all-cpu"]
        assert "all-cpu: cpu: unloading the shape model to make room" in service.log.read_text()
        assert service.stop() == 0
    done, again = (service.spool.root / "done" / job for job in made)
    analysis = json.loads((done / "analysis.json").read_text())
    assert analysis["faces"] <= 600 and analysis["components"] >= 1
    assert analysis["settings"]["max_num_view"] == 2 and analysis["settings"]["texture_size"] == 256
    textured = read_glb(done / "model.glb")
    assert textured.visual.material.baseColorTexture.size == (256, 256)
    assert textured.visual.material.metallicRoughnessTexture.size == (256, 256)
    assert textured.metadata["used"] == analysis["used"]
    assert analysis["used"]["views"] == 2
    assert (done / "view_3.png").exists()
    assert (again / "model.glb").read_bytes() == (done / "model.glb").read_bytes()
    info = assert_valid(done / "model.glb")
    assert info["hasTextures"] and info["materialCount"] == 1
