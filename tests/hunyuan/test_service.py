"""The whole service with the real code of Hunyuan3D-2.1 in its real worker processes, and tiny weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from daemon.engines.glb import read_glb
from tests.gltf import assert_valid
from tests.service import Service
from tests.support import picture, until

pytestmark = [pytest.mark.service, pytest.mark.filterwarnings("ignore")]


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


def test_from_upload_to_model(tmp_path: Path, environ: dict[str, str], u2net_home: Path) -> None:
    with running(tmp_path / "spool", u2net_home, **environ, MODEL_IDLE_TIMEOUT="1") as service:
        # Ready before any model is loaded: a job is accepted, and its first news is that it loads.
        jobs = [upload(service, seed=seed) for seed in ("1", "1", "2")]
        told = [service.finished(job, 600) for job in jobs]
        assert [one["error"] for one in told] == [None] * 3
        assert {one["engine"] for one in told} == {"hunyuan"}
        done = [service.spool.root / "done" / job for job in jobs]
        models = [(path / "model.glb").read_bytes() for path in done]
        assert models[0] == models[1] != models[2]
        analysis = json.loads((done[0] / "analysis.json").read_text())
        assert analysis["watertight"] and analysis["faces"] <= 3000
        assert analysis["settings"]["steps"] == 4 and analysis["settings"]["seed_used"] is True
        assert analysis["versions"]["torch"]
        until(lambda: "models unloaded" in service.log.read_text(), 120)
        again = upload(service, seed="2")  # loads the model again
        assert service.finished(again, 600)["error"] is None
        assert (service.spool.root / "done" / again / "model.glb").read_bytes() == models[2]
        assert service.stop() == 0


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


def test_from_upload_to_a_textured_model(
    tmp_path: Path, paint_environ: dict[str, str], u2net_home: Path
) -> None:
    with running(tmp_path / "spool", u2net_home, **paint_environ) as service:
        job = upload(service, quality="high", seed="5")
        told = service.finished(job, 600)
        assert told["error"] is None
        done = service.spool.root / "done" / job
        analysis = json.loads((done / "analysis.json").read_text())
        assert analysis["faces"] <= 600 and analysis["components"] >= 1
        assert analysis["settings"]["max_num_view"] == 2 and analysis["settings"]["texture_size"] == 256
        textured = read_glb(done / "model.glb")
        assert textured.visual.material.baseColorTexture.size == (256, 256)
        assert textured.visual.material.metallicRoughnessTexture.size == (256, 256)
        assert textured.metadata["used"] == analysis["used"]
        assert analysis["used"]["views"] == 2
        assert (done / "view_3.png").exists()
        assert service.stop() == 0
    info = assert_valid(done / "model.glb")
    assert info["hasTextures"] and info["materialCount"] == 1
