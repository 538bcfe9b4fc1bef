"""The real processes: photos in, models out, and whatever dies comes back."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spool import layout
from spool.job import Request
from spool.view import look
from tests.service import Service, running
from tests.support import left_in_tmp, picture, submit, until

pytestmark = pytest.mark.service
COFFEE = Path(__file__).parent.parent / "examples" / "coffee.png"


@pytest.fixture
def service(tmp_path: Path, u2net_home: Path) -> Iterator[Service]:
    with running(tmp_path / "spool", u2net_home, "--no-http") as started:
        yield started


def only_done(service: Service, count: int) -> list[str]:
    """Wait until exactly `count` jobs are done, and see that nothing else is left anywhere."""
    root = service.spool.root
    until(lambda: len(service.spool.waiting("done")) == count, 90)
    until(lambda: not left_in_tmp(root))
    left = [
        path.name
        for folder in ("inbox", "geometry", "texture", "failed")
        for path in (root / folder).iterdir()
    ]
    held = [path for worker in (root / "running").iterdir() for path in worker.iterdir() if path.is_dir()]
    assert (left, held) == ([], [])
    return service.spool.waiting("done")


def test_a_dropped_photo_becomes_a_model(service: Service) -> None:
    service.drop(COFFEE.read_bytes(), "my coffee.PNG")
    (job_id,) = only_done(service, 1)
    done = service.spool.root / "done" / job_id
    analysis = json.loads((done / "analysis.json").read_text())
    assert analysis["watertight"] and analysis["engine"] == "silhouette"
    assert analysis["cutout"]["background_model"] == "u2netp"
    with Image.open(done / "view_0.png") as front:
        assert front.size == (512, 512)
        colours = np.asarray(front.convert("RGBA"), dtype=float)
    red, _, blue = colours[colours[..., 3] > 250][:, :3].mean(axis=0)
    assert red > blue + 40  # the cup and the saucer are red, not clay
    assert service.stop() == 0


def test_ten_photos_at_once(service: Service) -> None:
    for at in range(10):
        service.drop(picture(), f"{at}.png")
    only_done(service, 10)

    def told() -> dict[str, int]:
        board = service.board()
        return {slot.name: slot.jobs_done for slot in board.workers} if board else {}

    until(lambda: told().get("geometry-cpu") == 10)  # the board may tell it a moment after the folders


@pytest.mark.parametrize("worker", ["texture-cpu", "geometry-cpu"])
def test_a_killed_worker_comes_back_and_its_job_finishes_once(service: Service, worker: str) -> None:
    jobs = [submit(service.spool, quality="high").id for _ in range(3)]
    until(lambda: service.spool.waiting(f"running/{worker}"))
    first = service.pid(worker)
    service.hit(worker, signal.SIGKILL)
    assert only_done(service, 3) == jobs
    until(lambda: service.pid(worker) != first)
    assert "was killed by SIGKILL" in service.log.read_text()


def test_a_killed_supervisor_takes_its_workers_along_and_a_new_one_goes_on(service: Service) -> None:
    jobs = [submit(service.spool, quality="high").id for _ in range(2)]
    until(
        lambda: service.spool.waiting("running/texture-cpu") or service.spool.waiting("running/geometry-cpu")
    )
    service.stop(signal.SIGKILL)
    service.start()
    assert only_done(service, 2) == jobs


def frozen_at_its_shape(service: Service, job_id: str) -> bool:
    """Freeze the worker, and let it go on where the job is not in the midst of its first attempt at the geometry."""
    service.hit("geometry-cpu", signal.SIGSTOP)
    told = look(service.spool, job_id)
    if (
        told["worker"] == "geometry-cpu"
        and told["attempts"].get("geometry") == 1
        and told["message"] in ("solving the height equation", "triangulating")
    ):
        return True
    service.hit("geometry-cpu", signal.SIGCONT)
    return False


def test_a_frozen_worker_is_aborted_and_its_job_finishes(tmp_path: Path, u2net_home: Path) -> None:
    with running(
        tmp_path / "spool", u2net_home, "--no-http", PROTOSCALE_STEP_LIMIT="60,geometry=15"
    ) as service:
        job_id = submit(service.spool, quality="ultra").id
        until(lambda: frozen_at_its_shape(service, job_id), 60)
        told = service.finished(job_id, 120)
        assert (told["status"], told["attempts"]["geometry"]) == ("completed", 2)
        log = (service.spool.root / "done" / job_id / layout.LOG).read_text()
        assert "no progress for" in log and "in geometry (limit 15 s)" in log
        assert "most recent call first" in log and "engine.py" in log  # where every thread was


def test_a_photo_that_kills_every_worker_is_given_up(service: Service) -> None:
    job_id = submit(service.spool, quality="ultra").id

    def kill_whoever_makes_it() -> bool:
        if service.spool.waiting("running/geometry-cpu"):
            service.hit("geometry-cpu", signal.SIGKILL)
        return bool(service.spool.waiting("failed"))

    until(kill_whoever_makes_it, 300)
    told = service.finished(job_id)
    assert "poison: it took 2 workers down" in told["error"] and "SIGKILL" in told["error"]
    assert told["attempts"].get("geometry", 0) <= 2  # it may be hit before the attempt is counted


def test_sigterm_drains_and_the_next_start_goes_on(service: Service) -> None:
    for _ in range(4):
        submit(service.spool, quality="high")
    until(lambda: service.spool.waiting("running/geometry-cpu"))
    assert service.stop() == 0
    root = service.spool.root
    assert not any(path.is_dir() for worker in (root / "running").iterdir() for path in worker.iterdir())
    assert not (root / "supervisor.json").exists()
    service.start()
    only_done(service, 4)


def test_sighup_replaces_the_workers_and_loses_nothing(service: Service) -> None:
    before = {service.pid("texture-cpu"), service.pid("geometry-cpu")}
    jobs = [submit(service.spool).id for _ in range(3)]
    assert service.process is not None
    service.process.send_signal(signal.SIGHUP)
    assert only_done(service, 3) == jobs
    until(lambda: not before & {service.pid("texture-cpu"), service.pid("geometry-cpu")})


def test_one_supervisor_per_spool(service: Service, tmp_path: Path, u2net_home: Path) -> None:
    second = Service(service.spool.root, u2net_home, "--no-http")
    second.log = tmp_path / "second.log"
    second.start(ready=False)
    assert second.process is not None and second.process.wait(30) == 78
    assert "another supervisor" in second.log.read_text()


def test_an_engine_that_cannot_load_stops_the_service_with_the_reason(tmp_path: Path) -> None:
    service = Service(tmp_path / "spool", tmp_path / "no-models", "--no-http")
    service.start(ready=False)
    assert service.process is not None and service.process.wait(60) == 78
    assert "protoscale models pull" in service.log.read_text()


def test_odd_files_end_as_a_model_or_as_a_reason(service: Service, tmp_path: Path) -> None:
    big = Image.new("RGB", (12_000, 12_000))
    big.save(tmp_path / "big.png", compress_level=1)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    palette = Image.new("P", (64, 48), 0)
    palette.putpalette([0, 0, 0, 200, 60, 20])
    palette.paste(1, (10, 10, 50, 40))
    files = {
        "text.png": b"just text",
        "truncated.jpg": picture((300, 200), "JPEG", "RGB")[:-400],
        "one-pixel.png": _png(Image.new("RGB", (1, 1))),
        "12000.png": (tmp_path / "big.png").read_bytes(),
        "deep.png": _png(Image.new("I;16", (64, 64), 40_000)),
    }
    models = {
        "spaces and ünïcode.PNG": picture(),
        "palette.png": _png(palette, transparency=0),
        "cmyk.jpg": picture((200, 160), "JPEG", "CMYK"),
        "phone.jpg": _jpeg(rotated),
        "animated.gif": _gif(),
    }
    for name, content in {**files, **models}.items():
        service.drop(content, name)
    until(lambda: len(service.spool.waiting("done")) + len(service.spool.waiting("failed")) == 10, 90)
    ended = {
        found.job.request.name: (found.folder, found.status.error or "", found.job.input.read_bytes())
        for found in service.spool.newest(20)
    }
    assert {name for name, (folder, _, _) in ended.items() if folder == "done"} >= set(models)
    for name, content in {**files, **models}.items():
        folder, error, kept = ended[name]
        assert kept == content, name
        assert folder == "done" or len(error.split()) > 4, (name, error)
    assert "12000" in ended["12000.png"][1].replace(",", "")


def test_remove_bg_false_is_honoured(service: Service) -> None:
    request = Request.new(source="cli", name="tile.png", suffix=".png", remove_bg=False, quality="draft")
    draft = service.spool.draft(request)
    draft.input.write_bytes(_png(Image.new("RGB", (120, 90), (30, 160, 90))))
    job = draft.publish("inbox")
    assert service.finished(job.id)["status"] == "completed"
    with Image.open(service.spool.root / "done" / job.id / layout.CUTOUT_PNG) as cut:
        assert cut.getchannel("A").getextrema() == (255, 255)


def _png(image: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _jpeg(exif: Image.Exif) -> bytes:
    with Image.open(COFFEE) as photo:
        buffer = io.BytesIO()
        photo.convert("RGB").resize((300, 200)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def _gif() -> bytes:
    with Image.open(COFFEE) as photo:
        frames = [photo.convert("RGB").resize((150, 100)).rotate(angle) for angle in (0, 20)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def test_a_worker_that_outgrows_its_memory_is_replaced_without_a_pause(
    tmp_path: Path, u2net_home: Path
) -> None:
    with running(tmp_path / "spool", u2net_home, "--no-http", PROTOSCALE_MAX_WORKER_MEMORY="1M") as service:
        first = service.pid("geometry-cpu")
        for _ in range(2):
            submit(service.spool, quality="draft")
        only_done(service, 2)
        assert service.pid("geometry-cpu") != first
        assert "outgrew" in service.log.read_text()
