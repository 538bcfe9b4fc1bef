"""How exports are made: once, whole or not at all, within limits, by a process that anyone may kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trimesh

from daemon import export as exporting
from daemon.export import EX_REFUSED, make
from spool.export import Export
from spool.job import Job
from tests.exports.models import box, finished
from tests.support import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return finished(tmp_path / "spool", box())[1]


def command(job: Job, name: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "daemon.export", str(job.path), name, *options]


def run(job: Job, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(job, name, *options), cwd=ROOT, capture_output=True, text=True, check=False)


@contextmanager
def locked(job: Job) -> Iterator[None]:
    """Hold the lock that a maker takes."""
    descriptor = os.open(job.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def names(job: Job) -> set[str]:
    return {path.name for path in job.path.iterdir()}


def test_it_is_made_once_and_kept(job: Job) -> None:
    before = names(job)
    path = make(job.path, Export.of("model.stl", []))
    first = path.stat()
    assert make(job.path, Export.of("model.stl", [])).stat() == first
    assert names(job) - before == {"model.stl"}
    make(job.path, Export.of("model.stl", [("height_mm", "30")]))
    assert names(job) - before == {"model.stl", "model--height_mm-30.stl"}


@pytest.mark.parametrize("product", ["model.stl", "model.3mf", "model.obj.zip", "model.ply", "model.web.glb"])
def test_the_same_model_gives_the_same_bytes(job: Job, product: str) -> None:
    first = make(job.path, Export.of(product, [])).read_bytes()
    (job.path / product).unlink()
    assert make(job.path, Export.of(product, [])).read_bytes() == first


def test_of_many_processes_at_once_one_makes_it(job: Job) -> None:
    with locked(job):
        makers = [
            subprocess.Popen(command(job, "model.3mf"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        until(lambda: all(_waits(maker.pid) for maker in makers), 120)
        assert "model.3mf" not in names(job)
    assert [maker.communicate(timeout=120)[1] for maker in makers] == ["", "", ""]
    made = (job.path / "model.3mf").stat()
    assert make(job.path, Export.of("model.3mf", [])).stat().st_ino == made.st_ino
    assert not [name for name in names(job) if name.endswith(".aside")]


def _waits(pid: int) -> bool:
    """Whether a process waits for a flock."""
    return any(f" {pid} " in line and "->" in line for line in Path("/proc/locks").read_text().splitlines())


def test_threads_of_one_process_take_turns_too(job: Job) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: make(job.path, Export.of("model.ply", [])).stat().st_ino, range(4)))
    assert len(set(paths)) == 1


def test_what_a_killed_maker_left_is_swept(job: Job) -> None:
    (job.path / ".model.stl.999999.aside").write_bytes(b"half a mod")
    make(job.path, Export.of("model.stl", []))
    assert ".model.stl.999999.aside" not in names(job)


def test_only_so_many_variants_are_kept(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "KEPT_VARIANTS", 2)
    make(job.path, Export.of("model.stl", []))
    for at, height in enumerate(("10", "20", "30", "40")):
        os.utime(make(job.path, Export.of("model.stl", [("height_mm", height)])), (at, at))
    assert {name for name in names(job) if name.endswith(".stl")} == {
        "model.stl",
        "model--height_mm-30.stl",
        "model--height_mm-40.stl",
    }


def test_time_is_limited(job: Job) -> None:
    with locked(job):
        ended = run(job, "model.stl", "--seconds", "1")
    assert ended.returncode == -signal.SIGALRM
    assert "model.stl" not in names(job)


def test_memory_is_limited(tmp_path: Path) -> None:
    _, job = finished(tmp_path / "spool", trimesh.creation.icosphere(7))
    assert run(job, "model.stl", "--memory", str(64 << 20)).returncode != 0
    assert "model.stl" not in names(job)
    assert run(job, "model.stl", "--memory", str(4 << 30)).returncode == 0


def test_a_refusal_is_one_line_for_a_person(job: Job) -> None:
    ended = run(job, "model--height_mm-0.stl")
    assert ended.returncode == EX_REFUSED
    assert ended.stderr.strip().splitlines()[-1].startswith("height_mm='0' is not accepted")
    (job.path / "model.glb").write_bytes(b"glTF" + bytes(30))
    ended = run(job, "model.stl")
    assert (ended.returncode, "damaged" in ended.stderr) == (EX_REFUSED, True)
    shutil.rmtree(job.path)
    ended = run(job, "model.stl")
    assert ended.returncode not in (0, EX_REFUSED) and not job.path.exists()


def test_a_photo_is_not_decoded_by_the_process_that_makes_its_sheet(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(*_: object) -> None:
        raise AssertionError("decoded where files, network and the environment can be reached")

    monkeypatch.setattr("daemon.photo.read_photo", here)
    assert make(job.path, Export.of("contact_sheet.png", [])).exists()


def test_a_photo_that_no_decoder_takes_any_more_is_told(job: Job) -> None:
    (job.path / job.request.input).write_bytes(b"II*\0 no picture")
    ended = run(job, "contact_sheet.png")
    assert ended.returncode == EX_REFUSED and "Traceback" not in ended.stderr


def test_pictures_are_drawn_without_a_gpu(job: Job) -> None:
    from PIL import Image

    with Image.open(make(job.path, Export.of("turntable.webp", []))) as turning:
        assert (turning.format, turning.size, getattr(turning, "n_frames", 1)) == ("WEBP", (480, 480), 36)
        shares = []
        for frame in (0, 18):
            turning.seek(frame)
            pixels = np.asarray(turning.convert("RGB")).astype(int)
            shares.append(float((pixels[..., 0] > pixels[..., 2] + 60).mean()))
            # Nothing touches the border: no turn is cut.
            border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            assert np.ptp(border, axis=0).max() < 12
    # The red front is seen in the first frame only.
    assert shares[0] > 0.05 and shares[1] == 0
    with Image.open(make(job.path, Export.of("contact_sheet.png", []))) as sheet:
        assert (sheet.format, sheet.width) == ("PNG", 1600)
        assert len(sheet.convert("RGB").resize((200, 150)).getcolors(40000) or []) > 50
