"""Lower settings where memory runs out, for jobs that allow it: the real engine on a device that is too small."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trimesh
from PIL import Image

from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.engines.base import Order
from daemon.engines.hunyuan import presets
from daemon.engines.hunyuan.presets import PRESETS, Preset, lower
from daemon.errors import OutOfMemory
from daemon.finisher import Finisher
from daemon.pulse import Pulse
from daemon.worker import Worker
from spool.spool import Spool
from spool.view import look
from tests.support import config as settings_for
from tests.support import picture, submit, until

if TYPE_CHECKING:
    from daemon.engines.hunyuan.engine import HunyuanEngine

pytestmark = pytest.mark.filterwarnings("ignore")

ALL = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))


def quiet(share: float, message: str) -> None:
    """Progress that nobody hears."""


class Small:
    """A device on which a step at more than so many octree cells or pixels runs out of memory."""

    def __init__(self, engine: HunyuanEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.octree, self.resolution = 24, 64
        self.tried: list[int] = []
        shape, paint = engine._shape.make, engine._paint.make

        def shaped(image: Any, seed: int, preset: Preset, progress: Any) -> Any:
            self._take(preset.octree, self.octree)
            return shape(image, seed, preset, progress)

        def painted(mesh: Any, cutout: Any, seed: int, settings: Any, progress: Any) -> Any:
            self._take(settings.resolution, self.resolution)
            return paint(mesh, cutout, seed, settings, progress)

        monkeypatch.setattr(engine._shape, "make", shaped)
        monkeypatch.setattr(engine._paint, "make", painted)
        # Ladders for the presets of the tests, which are as small as these.
        ladder = {"geometry": ((("octree", 24),), (("octree", 16),)), "texture": ((("resolution", 64),),)}
        monkeypatch.setattr(presets, "LOWER", ladder)

    def _take(self, wanted: int, most: int) -> None:
        self.tried.append(wanted)
        if wanted > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 6.00 GiB")


@pytest.fixture(scope="module")
def whole_engine(tmp_path_factory: pytest.TempPathFactory, paint_environ: dict[str, str]) -> HunyuanEngine:
    from daemon.engines.choose import hunyuan

    limits = paint_environ["PROTOSCALE_HUNYUAN_LIMITS"].replace("resolution=64", "resolution=128")
    wanted = {**paint_environ, "PROTOSCALE_HUNYUAN_LIMITS": limits}
    return hunyuan(settings_for(tmp_path_factory.mktemp("spool"), **wanted), ALL)


@pytest.fixture
def small(whole_engine: HunyuanEngine, monkeypatch: pytest.MonkeyPatch) -> Small:
    return Small(whole_engine, monkeypatch)


@pytest.fixture(scope="module")
def cutout() -> Image.Image:
    return Image.open(io.BytesIO(picture()))


def test_each_stage_goes_down_by_what_its_memory_grows_with() -> None:
    ultra = PRESETS["ultra"]
    first = lower(ultra, "geometry")
    assert first and (first.octree, first.steps, first.paint) == (384, ultra.steps, ultra.paint)
    second = lower(first, "geometry")
    assert second and second.octree == 256 and lower(second, "geometry") is None
    painted = lower(ultra, "texture")
    assert painted and painted.paint and (painted.paint.resolution, painted.octree) == (768, 512)
    assert lower(PRESETS["draft"], "geometry") is None
    assert lower(PRESETS["draft"], "texture") is None


def test_a_shape_that_does_not_fit_is_made_smaller(
    whole_engine: HunyuanEngine, small: Small, cutout: Image.Image
) -> None:
    made = whole_engine.geometry(cutout, Order("high", 1, allow_lower=True), quiet)
    assert small.tried == [32, 32, 24]  # as asked, once more after a clean-up, and lower
    assert "octree_resolution 24" in made.notes[0]
    mesh = made(quiet)
    assert mesh.metadata["used"] == {"octree_resolution": 24} and len(mesh.faces) > 100
    small.octree, small.tried = 16, []
    again = whole_engine.geometry(cutout, Order("high", 1, allow_lower=True), quiet)
    assert small.tried == [32, 32, 24, 24, 16] and "octree_resolution 16" in again.notes[0]


def test_a_texture_that_does_not_fit_is_painted_smaller(
    whole_engine: HunyuanEngine, small: Small, cutout: Image.Image
) -> None:
    from daemon.engines.hunyuan.unwrap import unwrap

    ball = unwrap(trimesh.creation.icosphere(subdivisions=2, radius=0.5))
    ball.metadata["used"] = {"octree_resolution": 24}
    made = whole_engine.texture(ball, cutout, Order("high", 1, allow_lower=True), quiet)
    assert small.tried == [128, 128, 64]
    used = made(quiet).metadata["used"]
    assert (used["resolution"], used["octree_resolution"], used["texture_size"]) == (64, 24, 256)
    assert "the texture was made with resolution 64" in made.notes[0]


def test_what_fits_or_was_not_allowed_stays_as_it_was_asked(
    whole_engine: HunyuanEngine, small: Small, cutout: Image.Image
) -> None:
    with pytest.raises(OutOfMemory, match="lower quality"):
        whole_engine.geometry(cutout, Order("high", 1), quiet)
    assert small.tried == [32, 32]
    small.octree = 8
    with pytest.raises(OutOfMemory):  # nothing on the ladder fits
        whole_engine.geometry(cutout, Order("high", 1, allow_lower=True), quiet)
    small.octree, small.tried = 32, []
    made = whole_engine.geometry(cutout, Order("high", 1, allow_lower=True), quiet)
    assert small.tried == [32] and made.notes == () and "used" not in made(quiet).metadata


def test_the_worker_tells_and_records_it(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from daemon.engines.choose import hunyuan

    config = settings_for(tmp_path / "spool", **environ, PROTOSCALE_ATTEMPTS="1")
    spool = Spool.open(config.spool)
    engine = hunyuan(config, ALL)
    Small(engine, monkeypatch)
    spool.enlist(ALL.name)
    worker = Worker(spool, config, ALL, engine, Pulse(), finisher=Finisher(ALL.name, config))
    allows = submit(spool, quality="draft", allow_lower=True)
    strict = submit(spool, quality="draft")

    def over() -> bool:
        worker.step()
        return all(look(spool, job.id)["status"] in ("completed", "failed") for job in (allows, strict))

    try:
        until(over, 600)
    finally:
        worker.wind_up()
    told = look(spool, allows.id)
    assert told["error"] is None and any("octree_resolution 24" in note for note in told["notes"])
    done = spool.root / "done" / allows.id
    analysis = json.loads((done / "analysis.json").read_text())
    assert analysis["settings"]["octree_resolution"] == 32  # what its quality means here
    assert analysis["used"] == {"octree_resolution": 24}
    assert analysis["notes"] == told["notes"]
    assert json.loads((done / "request.json").read_text())["allow_lower"] is True
    failed = look(spool, strict.id)
    assert failed["status"] == "failed" and "out of memory on cpu" in failed["error"]
