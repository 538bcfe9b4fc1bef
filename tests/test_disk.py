"""A real file system that is really full: state is still written, work stops below the reserve and goes on above it.

Each test runs in a mount namespace of its own, with a small tmpfs or ext4 for the spool; it takes root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import disk
from spool import ballast
from spool.spool import Spool
from tests.support import submit

ROOT = Path(__file__).parent.parent


def on_a_small_disk(kind: str, scene: str, tmp_path: Path, megabytes: int = 16) -> None:
    """Run the function `scene` of this file on a file system of `megabytes`, mounted for that process only."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting a small file system takes root and unshare")
    mount = tmp_path / "disk"
    mount.mkdir()
    if kind == "tmpfs":
        do = f"mount -t tmpfs -o size={megabytes}m tmpfs {mount}"
    else:
        image = tmp_path / "disk.img"
        image.write_bytes(b"")
        os.truncate(image, megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        do = f"mount -o loop {image} {mount}"
    code = f"from tests.test_disk import {scene}; from pathlib import Path; {scene}(Path({str(mount)!r}))"
    script = f"{do} || exit 77; cd {ROOT} && exec {sys.executable} -c '{code.replace(chr(39), chr(34))}'"
    ended = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    if ended.returncode == 77 or "unshare failed" in ended.stderr:
        pytest.skip(f"no {kind} can be mounted here: {ended.stderr}")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def fill(folder: Path) -> Path:
    """Take every byte that is left."""
    filler = folder / "somebody elses data"
    with filler.open("ab", buffering=0) as file:
        step = 1 << 20
        while step:
            try:
                file.write(bytes(step))
                os.fsync(file.fileno())
            except OSError as error:
                assert disk.is_trouble(error)
                step //= 2
    return filler


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_state_is_written_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    on_a_small_disk(kind, "state_on_a_full_disk", tmp_path, 32)


def state_on_a_full_disk(folder: Path) -> None:
    spool = Spool.open(folder / "spool")
    spool.enlist("w")
    jobs = [submit(spool) for _ in range(4)]
    ballast.keep(spool.root)
    filler = fill(folder)
    try:
        (folder / "one more").write_bytes(bytes(8192))
    except OSError as error:
        assert disk.is_trouble(error)
    else:
        raise AssertionError("the disk is not full")
    # An attempt is counted, a failure tells its reason, a job is cancelled and another retried.
    for _ in range(3):
        job = spool.claim("inbox", "w")
        assert job
        assert spool.begin(job, "cutout")["cutout"] == 1
        spool.fail(job.path, "the disk is full " + "and this is a long reason " * 100)
        assert "long reason" in (spool.find(job.id).status.error or "")
        fill(folder)  # what was freed does not stay free
    assert spool.cancel(jobs[3].id).folder == "failed"
    assert spool.retry(jobs[0].id).folder == "inbox"
    assert 0 < ballast.left(spool.root) < ballast.SIZE
    # What is not accepted yet gets nothing: it is refused.
    fill(folder)
    before = ballast.left(spool.root)
    try:
        submit(spool)
    except OSError as error:
        assert disk.is_trouble(error)
    else:
        raise AssertionError("a job was accepted on a full disk")
    assert ballast.left(spool.root) == before
    filler.unlink()
    ballast.keep(spool.root)
    assert ballast.left(spool.root) == ballast.SIZE


def test_claims_drops_and_uploads_stop_below_the_reserve_and_go_on_above_it(tmp_path: Path) -> None:
    on_a_small_disk("tmpfs", "below_the_reserve", tmp_path, 64)


def below_the_reserve(folder: Path) -> None:
    from starlette.testclient import TestClient

    from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
    from daemon.pulse import Pulse
    from daemon.supervisor import Supervisor
    from daemon.worker import Worker
    from httpd.app import create_app
    from httpd.config import HttpConfig
    from spool.notify import Systemd
    from spool.settings import read
    from tests.support import SphereEngine, config, picture

    settings = config(folder / "spool", PROTOSCALE_RESERVE="8M")
    supervisor = Supervisor(settings, Systemd({}), with_http=False)
    spool = supervisor.spool
    post = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))
    spool.enlist(post.name)
    worker = Worker(spool, settings, post, SphereEngine(), Pulse())
    web = TestClient(
        create_app(read(HttpConfig, {"PROTOSCALE_SPOOL": str(spool.root), "PROTOSCALE_RESERVE": "8M"})),
        base_url="http://localhost",
    )
    job = submit(spool)
    (spool.root / "inbox" / "dropped.png").write_bytes(picture())
    with (folder / "somebody elses data").open("wb") as filler:
        free = os.statvfs(folder)
        os.posix_fallocate(filler.fileno(), 0, free.f_bavail * free.f_frsize - (4 << 20))
        assert not worker.step()
        supervisor.take_in()
        assert (spool.root / "inbox" / "dropped.png").exists() and job.path.exists()
        answer = web.post("/api/upload", files={"file": ("photo.png", picture())})
        assert answer.status_code == 507, answer.text
        assert "space" in answer.json()["detail"]
        os.ftruncate(filler.fileno(), 0)
    supervisor.take_in()
    assert web.post("/api/upload", files={"file": ("photo.png", picture())}).status_code == 201
    while worker.step():
        pass
    assert len(spool.waiting("done")) == 2


def test_a_service_whose_disk_fills_up_in_the_middle_finishes_when_there_is_room(tmp_path: Path) -> None:
    on_a_small_disk("tmpfs", "a_disk_that_fills_up", tmp_path, 64)


def a_disk_that_fills_up(folder: Path) -> None:
    """The reserve is a byte, so that the workers really run into the full disk, also with their results."""
    from tests.soak.run import Soak
    from tests.support import until

    soak = Soak(folder, 40, seed=3, reserve="1", mischief=0, log=folder.parent / "service.log")
    try:
        soak.submit(40)
        soak.keep_running()
        until(lambda: soak.census.look() >= 2, 120)
        fill(folder)
        until(lambda: "No space left" in soak.log_text(), 120)
        (folder / "somebody elses data").unlink()
        until(lambda: soak.census.look() == 40, 240)
        assert soak.census.reasons().total() == 0
    finally:
        soak.stop()
