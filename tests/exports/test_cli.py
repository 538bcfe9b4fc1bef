"""`protoscale export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trimesh

from daemon.cli.__main__ import main
from spool.job import Job
from spool.spool import Spool
from tests.exports.models import box, finished
from tests.support import submit


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("PROTOSCALE_SPOOL", str(tmp_path / "spool"))
    return finished(tmp_path / "spool", box())[1]


def test_a_size_and_a_file(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cup.stl"
    assert main(["export", job.id[-8:], "--format", "stl", "--height", "70", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert trimesh.load_mesh(out).extents[2] == pytest.approx(70)


def test_without_out_it_says_where_it_lies(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", job.id, "--format", "web.glb"]) == 0
    assert capsys.readouterr().out.strip() == str(job.path / "model.web.glb")


def test_an_obj_comes_with_its_textures(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    assert main(["export", job.id, "--format", "obj", "--out", str(folder)]) == 0
    assert len(capsys.readouterr().out.split()) == len(list(folder.iterdir())) == 6
    assert trimesh.load_mesh(folder / "model.obj").visual.material is not None


def test_the_report_is_json(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", job.id, "--format", "report", "--height", "50", "--material", "tpu"]) == 0
    told = json.loads(Path(capsys.readouterr().out.strip()).read_text())
    assert told["material"]["name"] == "tpu"


def test_what_cannot_be_done(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", job.id, "--format", "web.glb", "--up", "z"]) == 2
    assert "unknown parameter 'up'" in capsys.readouterr().err
    assert main(["export", "nothing", "--format", "stl"]) == 3
    waiting = submit(Spool(tmp_path / "spool"))
    assert main(["export", waiting.id, "--format", "stl"]) == 4
    assert main(["export", job.id, "--format", "stl", "--out", str(tmp_path / "no" / "a.stl")]) == 2
