"""Which engine runs, what a checkout is, where weights are, what presets mean: all of it without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.devices import TEXTURE_STAGES, Post
from daemon.engines import choose
from daemon.engines.hunyuan import checkout as checkouts
from daemon.engines.hunyuan.checkout import PAINT_FILES, SHAPE_FILES, Checkout, find
from daemon.engines.hunyuan.presets import PRESETS, as_json, limits, preset
from daemon.engines.hunyuan.weights import REALESRGAN, REQUIRED, SHAPE, Weights
from daemon.errors import EngineUnavailable
from spool.layout import QUALITIES
from spool.settings import WrongSetting
from tests.support import config

MakeCheckout = Callable[[str], Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeCheckout:
    """Makes a folder that looks like a checkout."""

    def made(name: str) -> Path:
        for file in (*SHAPE_FILES, *PAINT_FILES):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).touch()
        return tmp_path / name

    return made


@pytest.fixture
def no_usual_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkouts, "PLACES", (str(tmp_path / "usual"),))
    monkeypatch.setattr(find, "__defaults__", ((str(tmp_path / "usual"),),))


@pytest.mark.parametrize(
    ("engine", "named", "cards", "chosen"),
    [
        ("auto", True, ["cuda:0", "cpu"], "hunyuan"),
        ("auto", True, ["cpu"], "silhouette"),
        ("auto", False, ["cuda:0", "cpu"], "silhouette"),
        ("silhouette", True, ["cuda:0", "cpu"], "silhouette"),
        ("hunyuan", False, ["cpu"], "hunyuan"),
    ],
)
def test_which_engine_runs(
    tmp_path: Path,
    make: MakeCheckout,
    no_usual_places: None,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    named: bool,
    cards: list[str],
    chosen: str,
) -> None:
    monkeypatch.setattr("daemon.devices.present", lambda: cards)
    paths = {"HUNYUAN_PATH": str(make("code"))} if named else {}
    assert choose.chosen(config(tmp_path / "spool", ENGINE=engine, **paths)) == chosen


def test_the_usual_places_are_looked_at(tmp_path: Path, make: MakeCheckout) -> None:
    places = (str(tmp_path / "first"), str(tmp_path / "second"))
    assert find(None, places) is None
    second = make("second")
    assert find(None, places) == Checkout(second)


def test_what_is_no_checkout_is_told(tmp_path: Path, make: MakeCheckout, no_usual_places: None) -> None:
    with pytest.raises(EngineUnavailable, match="is not a folder"):
        Checkout(tmp_path / "nowhere").require(texture=False)
    whole = make("whole")
    (whole / PAINT_FILES[0]).unlink()
    Checkout(whole).require(texture=False)
    with pytest.raises(EngineUnavailable, match=r"textureGenPipeline.py is missing.*git clone"):
        Checkout(whole).require(texture=True)
    with pytest.raises(EngineUnavailable, match="HUNYUAN_PATH"):
        choose.hunyuan(config(tmp_path / "spool", ENGINE="hunyuan"), Post("t", "cpu", TEXTURE_STAGES))


def test_weights_are_found_whole_or_told(tmp_path: Path) -> None:
    half, whole = tmp_path / "half", tmp_path / "whole"
    for folder, files in ((half, REQUIRED[SHAPE][:1]), (whole, REQUIRED[SHAPE])):
        (folder / SHAPE).mkdir(parents=True)
        for name in files:
            (folder / SHAPE / name).write_bytes(b"12345678")
    weights = Weights.of(str(half), whole, None)
    assert weights.folder(SHAPE) == whole / SHAPE
    assert weights.missing(SHAPE) is None
    assert weights.size(SHAPE) == 8
    assert "lacks model.fp16.ckpt" in str(Weights.of(str(half), tmp_path / "no", None).missing(SHAPE))
    assert "is in none of" in str(Weights.of("tencent/Hunyuan3D-2.1", tmp_path / "no", None).missing(SHAPE))
    assert weights.upscaler is None
    (whole / REALESRGAN).touch()
    assert weights.upscaler == whole / REALESRGAN


def test_every_quality_has_a_preset() -> None:
    assert tuple(PRESETS) == QUALITIES
    high = preset("high")
    assert (high.steps, high.octree) == (50, 384)
    assert high.paint and (high.paint.views, high.paint.resolution, high.paint.texture) == (4, 1024, 4096)
    assert (preset("ultra").steps, preset("ultra").octree) == (100, 512)
    assert preset("draft").paint is preset("balanced").paint is None


def test_limits_lower_and_never_raise() -> None:
    limited = preset("high", limits("octree=256, resolution=512,paint_steps=99,faces=1000000"))
    assert (limited.octree, limited.faces) == (256, 40_000)
    assert limited.paint and (limited.paint.resolution, limited.paint.steps) == (512, 15)
    assert as_json(limited)["resolution"] == 512
    assert preset("high", texture=False).paint is None
    assert as_json(preset("high", texture=False))["texture"] is False


@pytest.mark.parametrize("text", ["octree", "octree=4", "speed=9", "octree=x", "resolution=700"])
def test_a_wrong_limit_stops_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(WrongSetting, match="PROTOSCALE_HUNYUAN_LIMITS"):
        config(tmp_path / "spool", PROTOSCALE_HUNYUAN_LIMITS=text)
