"""Exports and reports over HTTP, with the real process behind them."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trimesh
from starlette.testclient import TestClient

from httpd import exports
from spool.job import Job
from spool.spool import Spool
from tests.client import client_of
from tests.exports.models import box, finished
from tests.support import submit


@pytest.fixture
def job(client: TestClient, tmp_path: Path) -> Job:
    return finished(tmp_path / "spool", box())[1]


@pytest.mark.parametrize("product", ["model.3mf", "model.web.glb", "contact_sheet.png"])
def test_an_export_is_served(client: TestClient, job: Job, product: str) -> None:
    answer = client.get(f"/api/jobs/{job.id}/result/{product}")
    assert answer.status_code == 200, answer.text
    assert answer.content == (job.path / product).read_bytes()
    assert product in answer.headers["content-disposition"]
    again = client.get(
        f"/api/jobs/{job.id}/result/{product}", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


def test_an_export_is_told_no_secret(
    client: TestClient, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seen from within: an interpreter that writes its environment down, and makes nothing."""
    seen = tmp_path / "environ"
    spy = tmp_path / "python"
    spy.write_text(f"#!/bin/sh\nenv > {seen}\n")
    spy.chmod(0o755)
    monkeypatch.setenv("PROTOSCALE_CALLBACK_SECRET", "a secret of sixteen")
    monkeypatch.setattr(sys, "executable", str(spy))
    client.get(f"/api/jobs/{job.id}/result/model.stl")
    told = seen.read_text()
    assert "PATH=" in told and "PROTOSCALE" not in told


def test_options_are_query_parameters(client: TestClient, job: Job) -> None:
    answer = client.get(f"/api/jobs/{job.id}/result/model.stl?height_mm=40&origin=centre")
    assert answer.headers["content-type"] == "model/stl"
    mesh = trimesh.load_mesh(io.BytesIO(answer.content), file_type="stl")
    assert mesh.extents[2] == pytest.approx(40)
    assert (job.path / "model--height_mm-40--origin-centre.stl").exists()
    part = client.get(
        f"/api/jobs/{job.id}/result/model.stl?height_mm=40&origin=centre", headers={"Range": "bytes=0-9"}
    )
    assert (part.status_code, part.content) == (206, answer.content[:10])


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("result/model.stl?scale=3", 422, "unknown parameter 'scale'"),
        ("result/model.stl?height_mm=0", 422, "millimetres"),
        ("result/model.stl?height_mm=9&longest_mm=9", 422, "one of them"),
        ("result/model.fbx", 404, "model.stl"),
        (
            "result/model.glb?height_mm=80&nonsense=1",
            422,
            "takes no parameters (there are: height_mm, nonsense)",
        ),
        ("result/view_0.png?v=1", 422, "takes no parameters"),
        ("report?height_mm=x", 422, "millimetres"),
        ("report?up=z", 422, "unknown parameter 'up'"),
    ],
)
def test_what_is_not_accepted(client: TestClient, job: Job, path: str, code: int, words: str) -> None:
    answer = client.get(f"/api/jobs/{job.id}/{path}")
    assert answer.status_code == code
    assert words in answer.json()["detail"]


def test_no_export_before_there_is_a_model(client: TestClient, tmp_path: Path) -> None:
    waiting = submit(Spool(tmp_path / "spool"))
    for path in ("result/model.stl", "report"):
        answer = client.get(f"/api/jobs/{waiting.id}/{path}")
        assert (answer.status_code, "the job is pending" in answer.json()["detail"]) == (404, True)
    unknown = waiting.id[:-1] + ("0" if waiting.id[-1] != "0" else "1")
    assert client.get(f"/api/jobs/{unknown}/result/model.stl").status_code == 404


def test_the_report_at_a_height(client: TestClient, job: Job) -> None:
    told = client.get(f"/api/jobs/{job.id}/report?height_mm=50&material=abs").json()
    assert told["printable"] is True and told["of"] == "model.glb"
    assert told["size_mm"] == pytest.approx([20, 50, 10], rel=1e-4)
    assert told["material"]["grams_solid"] == pytest.approx(10 * 1.04, rel=1e-4)


def test_the_status_tells_what_was_measured(client: TestClient, job: Job) -> None:
    mesh = client.get(f"/api/jobs/{job.id}/status").json()["mesh"]
    assert (mesh["watertight"], mesh["edge_manifold"], mesh["faces"], mesh["components"]) == (
        True,
        True,
        12,
        1,
    )
    assert mesh["overhang"]["degrees"] == 45


def test_two_requests_at_once_get_the_same_bytes(client: TestClient, job: Job) -> None:
    # In one event loop, as in the server; a client outside of `with` starts one for each request.
    with client, ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: client.get(f"/api/jobs/{job.id}/result/model.3mf"), range(3)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


def test_what_fails_says_why(client: TestClient, job: Job, tmp_path: Path) -> None:
    (job.path / "model.glb").write_bytes(b"glTF" + bytes(40))
    answer = client.get(f"/api/jobs/{job.id}/result/model.stl")
    assert answer.status_code == 422 and "damaged" in answer.json()["detail"]
    small = client_of(tmp_path / "spool", PROTOSCALE_EXPORT_MEMORY="1M")
    assert small.get(f"/api/jobs/{job.id}/result/model.ply").status_code in (422, 500)
    full = client_of(tmp_path / "spool", PROTOSCALE_RESERVE="999T")
    assert full.get(f"/api/jobs/{job.id}/result/model.ply").status_code == 507


def test_too_slow_an_export_is_given_up(job: Job, tmp_path: Path) -> None:
    import fcntl
    import os

    descriptor = os.open(job.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    slow = client_of(tmp_path / "spool", PROTOSCALE_EXPORT_LIMIT="1")
    answer = slow.get(f"/api/jobs/{job.id}/result/model.stl")
    os.close(descriptor)
    assert answer.status_code == 503 and "PROTOSCALE_EXPORT_LIMIT" in answer.json()["detail"]


def test_a_long_queue_is_refused(client: TestClient, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LONGEST_QUEUE", 0)
    answer = client.get(f"/api/jobs/{job.id}/result/model.stl")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert not (job.path / "model.stl").exists()


def test_the_server_imports_no_mesh_library_and_stays_small() -> None:
    code = "import httpd.app, sys, psutil; print(psutil.Process().memory_info().rss, *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory, *modules = ran.stdout.split()
    assert not {"daemon", "numpy", "trimesh", "igl", "pxr", "PIL"} & set(modules)
    assert int(memory) < 60 << 20
