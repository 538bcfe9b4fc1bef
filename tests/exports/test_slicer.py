"""A real slicer opens what we call printable and slices it to the height that was asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh

from daemon.export import make
from spool.export import Export
from spool.job import Job
from tests.exports.models import box, finished

SLICER = shutil.which("prusa-slicer")
pytestmark = pytest.mark.skipif(
    SLICER is None, reason="PrusaSlicer is not here: apt-get install prusa-slicer"
)
HEIGHT, LAYER = 12.0, 0.3


def slicer(tmp_path: Path, *options: str) -> str:
    assert SLICER
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        [SLICER, *options], env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def info(tmp_path: Path, file: Path) -> dict[str, str]:
    """What the slicer says of a file, by its words."""
    return dict(re.findall(r"^(\w+) = +(\S+)$", slicer(tmp_path, "--info", str(file)), re.MULTILINE))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return finished(tmp_path / "spool", box())[1]


@pytest.mark.parametrize("product", ["model.3mf", "model.stl"])
def test_it_slices(job: Job, tmp_path: Path, product: str) -> None:
    file = make(job.path, Export.of(product, [("height_mm", str(HEIGHT))]))
    told = info(tmp_path, file)
    sides = [float(told[f"size_{axis}"]) for axis in "xyz"]
    np.testing.assert_allclose(sides, [0.4 * HEIGHT, 0.2 * HEIGHT, HEIGHT], rtol=1e-4)
    assert (told["manifold"], told["number_of_parts"], told["number_of_facets"]) == ("yes", "1", "12")
    assert float(told["volume"]) == pytest.approx(0.08 * HEIGHT**3, rel=1e-4)
    code = tmp_path / "model.gcode"
    slicer(tmp_path, "--export-gcode", "--layer-height", str(LAYER), "--output", str(code), str(file))
    heights = [float(z) for z in re.findall(r"^;Z:([\d.]+)$", code.read_text(), re.MULTILINE)]
    assert heights and max(heights) == pytest.approx(HEIGHT, abs=LAYER)


def test_a_repaired_model_slices_as_one_part(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(3)
    torn = trimesh.Trimesh(ball.vertices, ball.faces[:-6], process=False)
    _, job = finished(tmp_path / "spool", torn)
    broken = info(
        tmp_path, make(job.path, Export.of("model.stl", [("height_mm", "20"), ("origin", "model")]))
    )
    assert broken["manifold"] == "no"
    mended = info(
        tmp_path, make(job.path, Export.of("model.stl", [("height_mm", "20"), ("repaired", "true")]))
    )
    assert (mended["manifold"], mended["number_of_parts"]) == ("yes", "1")
    assert float(mended["volume"]) == pytest.approx(float(ball.volume) * 1000, rel=0.01)
