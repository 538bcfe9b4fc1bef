"""The real shape pipeline through the engine and the worker, with tiny weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.engines.base import Order, Unfinished
from daemon.errors import BadJob, Cancelled, EngineUnavailable
from tests.support import picture

if TYPE_CHECKING:
    from daemon.engines.hunyuan.engine import HunyuanEngine

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # the checkout's and its libraries', of which there are many

ALL = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))
ORDER = Order("draft", 1)


def quiet(share: float, message: str) -> None:
    """Progress that nobody hears."""


@pytest.fixture(scope="module")
def cutout() -> Image.Image:
    import io

    return Image.open(io.BytesIO(picture()))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> HunyuanEngine:
    from daemon.engines.choose import hunyuan
    from tests.support import config

    made = hunyuan(config(tmp_path_factory.mktemp("spool"), **environ), ALL)
    made.check()
    return made


def test_a_cutout_becomes_a_closed_mesh(engine: HunyuanEngine, cutout: Image.Image) -> None:
    heard: list[tuple[float, str]] = []
    made = engine.geometry(cutout, ORDER, lambda share, words: heard.append((share, words)))
    assert isinstance(made, Unfinished)
    mesh = made(quiet)
    assert mesh.is_watertight
    assert 500 < len(mesh.faces) <= 3000
    assert mesh.metadata["decoded_faces"] > 3000
    assert float(np.ptp(mesh.vertices, axis=0).max()) == pytest.approx(1.0)
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert sum("step" in words for _, words in heard) == 4
    assert sum("chunk" in words for _, words in heard) == 5  # 33 ** 3 points, 8000 at a time
    assert engine.settings(ORDER)["steps"] == 4
    assert engine.settings(ORDER)["dtype"] == "float32"


def test_the_seed_decides(engine: HunyuanEngine, cutout: Image.Image) -> None:
    def shape(seed: int) -> bytes:
        points, faces = engine.geometry(cutout, Order("draft", seed), quiet).parts[:2]
        return bytes(points.tobytes() + faces.tobytes())

    assert shape(1) == shape(1)
    assert shape(1) != shape(2)


@pytest.mark.parametrize("where", ["step 2", "chunk 2"])
def test_a_cancel_is_noticed_within_a_step_or_a_chunk(
    engine: HunyuanEngine, cutout: Image.Image, where: str
) -> None:
    heard: list[str] = []

    def cancel(share: float, words: str) -> None:
        heard.append(words)
        if where in words:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        engine.geometry(cutout, ORDER, cancel)
    assert where in heard[-1]
    heard.clear()
    assert len(engine.geometry(cutout, ORDER, quiet)(quiet).faces) > 500  # and the pipeline still works


def test_no_surface_is_a_bad_job(engine: HunyuanEngine, cutout: Image.Image) -> None:
    import torch

    engine.geometry(cutout, ORDER, quiet)
    decoder = engine._shape._pipeline.vae.geo_decoder
    with torch.no_grad():
        decoder.output_proj.weight.zero_()
        decoder.output_proj.bias.fill_(-1.0)
    with pytest.raises(BadJob, match="no surface"):
        engine.geometry(cutout, ORDER, quiet)
    engine.unload()  # the next test loads it whole


def test_flashvdm_is_a_setting(tmp_path: Path, environ: dict[str, str], cutout: Image.Image) -> None:
    from daemon.engines.choose import hunyuan
    from tests.support import config

    limits = environ["PROTOSCALE_HUNYUAN_LIMITS"].replace("octree=32", "octree=64")
    wanted = {**environ, "PROTOSCALE_FLASHVDM": "true", "PROTOSCALE_HUNYUAN_LIMITS": limits}
    engine = hunyuan(config(tmp_path / "spool", **wanted), ALL)
    assert engine.settings(ORDER)["decoder"] == "flashvdm"
    mesh = engine.geometry(cutout, ORDER, quiet)(quiet)
    assert len(mesh.faces) > 500


def test_unloaded_and_loaded_again(engine: HunyuanEngine, cutout: Image.Image) -> None:
    first = engine.geometry(cutout, ORDER, quiet).parts[0]
    assert engine.unload() and not engine._shape.loaded
    assert not engine.unload()
    heard: list[str] = []
    again = engine.geometry(cutout, ORDER, lambda share, words: heard.append(words))
    assert np.array_equal(again.parts[0], first)
    assert heard[0] == "loading the shape model" and heard[1].startswith("loading: 0.0 of 0.0 GB")


def _truncate(weights: Path) -> None:
    file = weights / "model.fp16.ckpt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _forget_a_vae_tensor(weights: Path) -> None:
    import torch

    saved = torch.load(weights / "model.fp16.ckpt", weights_only=True)
    del saved["vae"]["geo_decoder.output_proj.weight"]
    torch.save(saved, weights / "model.fp16.ckpt")


def _remove(weights: Path) -> None:
    (weights / "model.fp16.ckpt").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_truncate, "damaged"),
        (_forget_a_vae_tensor, "geo_decoder.output_proj.weight"),
        (_remove, "lacks model.fp16.ckpt"),
    ],
)
def test_bad_weights_are_told_before_a_job_is_taken(
    tmp_path: Path,
    environ: dict[str, str],
    shape_weights: Path,
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    import shutil

    from daemon.engines.choose import hunyuan
    from tests.support import config

    weights = tmp_path / "weights"
    shutil.copytree(shape_weights, weights)
    spoil(weights / "hunyuan3d-dit-v2-1")
    engine = hunyuan(config(tmp_path / "spool", **{**environ, "MODEL_PATH": str(weights)}), ALL)
    with pytest.raises(EngineUnavailable, match=words) as told:
        engine.check()
    assert "protoscale models pull hunyuan" in str(told.value)


def test_a_newer_transformers_is_refused(monkeypatch: pytest.MonkeyPatch, engine: HunyuanEngine) -> None:
    from daemon.engines.hunyuan import code

    monkeypatch.setattr(code, "version", lambda name: "5.1.0" if name == "transformers" else "1.0")
    with pytest.raises(EngineUnavailable, match="transformers<5"):
        engine.check()
