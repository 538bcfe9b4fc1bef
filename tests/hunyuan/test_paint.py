"""The real paint pipeline through the engine, with tiny weights and a CPU rasterizer under the native one's name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh import Trimesh

from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.engines.base import Order, Unfinished
from daemon.errors import Cancelled, EngineUnavailable
from tests.support import config as settings_for
from tests.support import picture

if TYPE_CHECKING:
    from daemon.engines.hunyuan.checkout import Checkout
    from daemon.engines.hunyuan.engine import HunyuanEngine

pytestmark = pytest.mark.filterwarnings("ignore")

ALL = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))
ORDER = Order("high", 3)


def quiet(share: float, message: str) -> None:
    """Progress that nobody hears."""


@pytest.fixture(scope="module")
def cutout() -> Image.Image:
    return Image.open(io.BytesIO(picture()))


@pytest.fixture(scope="module")
def ball() -> Trimesh:
    from daemon.engines.hunyuan.unwrap import unwrap

    return unwrap(trimesh.creation.icosphere(subdivisions=2, radius=0.5))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, paint_environ: dict[str, str]) -> HunyuanEngine:
    from daemon.engines.choose import hunyuan

    made = hunyuan(settings_for(tmp_path_factory.mktemp("spool"), **paint_environ), ALL)
    made.check()
    return made


def painted(engine: HunyuanEngine, ball: Trimesh, cutout: Image.Image, order: Order = ORDER) -> Trimesh:
    made = engine.texture(ball, cutout, order, quiet)
    assert isinstance(made, Unfinished)
    return made(quiet)


def test_a_mesh_gets_a_pbr_material(engine: HunyuanEngine, ball: Trimesh, cutout: Image.Image) -> None:
    heard: list[tuple[float, str]] = []
    uv = ball.visual.uv.copy()
    made = engine.texture(ball, cutout, ORDER, lambda share, words: heard.append((share, words)))
    assert isinstance(made, Unfinished)
    mesh = made(quiet)
    material = mesh.visual.material
    assert material.baseColorTexture.size == material.metallicRoughnessTexture.size == (256, 256)
    assert np.asarray(material.baseColorTexture).std() > 1
    assert np.array_equal(mesh.visual.uv, uv)
    assert mesh.metadata["used"] == {
        "views": 2,
        "resolution": 64,
        "steps": 2,
        "seed": 3,
        "upscaler": None,
        "offload": False,
        "texture_size": 256,
    }
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert sum("painting: step" in words for _, words in heard) == 2
    assert sum("measuring view" in words for _, words in heard) == 2
    assert sum("projecting view" in words for _, words in heard) == 4


def test_seed_views_and_size_are_really_applied(
    engine: HunyuanEngine, ball: Trimesh, cutout: Image.Image, tmp_path: Path, paint_environ: dict[str, str]
) -> None:
    def colours(mesh: Trimesh) -> bytes:
        return bytes(mesh.visual.material.baseColorTexture.tobytes())

    first = colours(painted(engine, ball, cutout))
    assert colours(painted(engine, ball, cutout)) == first
    assert colours(painted(engine, ball, cutout, Order("high", 4))) != first
    other = hunyuan_with(tmp_path, paint_environ, views=1, texture=128)
    mesh = painted(other, ball, cutout)
    assert mesh.metadata["used"]["views"] == 1
    assert mesh.visual.material.baseColorTexture.size == (128, 128)


def hunyuan_with(tmp_path: Path, environ: dict[str, str], **limits: int) -> HunyuanEngine:
    from daemon.engines.choose import hunyuan
    from daemon.engines.hunyuan.presets import limits as parsed

    now = {**dict(parsed(environ["PROTOSCALE_HUNYUAN_LIMITS"])), **limits}
    text = ",".join(f"{name}={value}" for name, value in now.items())
    return hunyuan(settings_for(tmp_path / "other", **{**environ, "PROTOSCALE_HUNYUAN_LIMITS": text}), ALL)


def test_a_cancel_is_noticed_within_a_step(engine: HunyuanEngine, ball: Trimesh, cutout: Image.Image) -> None:
    heard: list[str] = []

    def cancel(share: float, words: str) -> None:
        heard.append(words)
        if "painting: step 1" in words:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        engine.texture(ball, cutout, ORDER, cancel)
    assert heard[-1].startswith("painting: step 1")
    assert painted(engine, ball, cutout).metadata["used"]["steps"] == 2  # and it still works


def test_realesrgan_is_used_where_its_checkpoint_is(
    ball: Trimesh, cutout: Image.Image, tmp_path: Path, paint_environ: dict[str, str]
) -> None:
    from tests.hunyuan import tiny_paint

    checkpoints = tmp_path / "ckpt"
    checkpoints.mkdir()
    tiny_paint.write_upscaler(checkpoints / "RealESRGAN_x4plus.pth")
    engine = hunyuan_with(tmp_path, {**paint_environ, "HUNYUAN_CKPT_DIR": str(checkpoints)}, views=1)
    heard: list[str] = []
    made = engine.texture(ball, cutout, ORDER, lambda share, words: heard.append(words))
    assert isinstance(made, Unfinished)
    assert made(quiet).metadata["used"]["upscaler"] == "RealESRGAN_x4plus.pth"
    assert sum("sharpening" in words for words in heard) == 2


def test_the_upscaler_works_in_tiles_without_seams(tmp_path: Path, checkout: object) -> None:
    import torch

    from daemon.engines.hunyuan import upscale
    from daemon.engines.hunyuan.device import TorchDevice
    from tests.hunyuan import tiny_paint

    tiny_paint.write_upscaler(tmp_path / "x4.pth")
    upscaler = upscale.Upscaler(tmp_path / "x4.pth", TorchDevice("cpu", "cpu"))
    image = Image.effect_noise((80, 60), 40).convert("RGB")
    whole = np.asarray(upscaler(image), int)
    before, upscale.TILE = upscale.TILE, 32
    try:
        tiled = np.asarray(upscaler(image), int)
    finally:
        upscale.TILE = before
    assert whole.shape == (240, 320, 3)
    assert abs(whole - tiled).max() <= 1
    assert torch.is_grad_enabled()


def test_both_models_on_one_device_and_the_idle_one_is_evicted(
    engine: HunyuanEngine, ball: Trimesh, cutout: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.unload()
    engine.geometry(cutout, Order("draft", 1), quiet)
    assert engine._shape.loaded
    room = [1 << 20]  # one model's worth at a time: the device is full while the shape model is loaded

    def free() -> int:
        return room[0] if engine._shape.loaded else 1 << 40

    monkeypatch.setattr(engine.memory.device, "free", free)
    painted(engine, ball, cutout)
    assert engine._paint.loaded and not engine._shape.loaded


def test_without_its_rasterizer_it_says_how_to_build_it(
    engine: HunyuanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "custom_rasterizer", None)
    with pytest.raises(EngineUnavailable, match=r"hy3dpaint/custom_rasterizer.*ENABLE_TEXTURE=false"):
        engine.check()


def test_the_reference_is_square_and_centred(engine: HunyuanEngine) -> None:
    from daemon.engines.hunyuan.paint import reference

    wide = Image.new("RGBA", (300, 100))
    wide.paste((200, 0, 0, 255), (200, 40, 280, 60))
    square = np.asarray(reference(wide, 100))
    assert square.shape == (100, 100, 3)
    rows, columns = np.nonzero(square[..., 1] < 128)
    assert (np.ptp(columns) + 1) / (np.ptp(rows) + 1) == pytest.approx(4, rel=0.1)
    assert abs(rows.mean() - 49.5) < 1 and abs(columns.mean() - 49.5) < 1


def test_colours_land_where_the_views_saw_them(
    engine: HunyuanEngine, checkout: Checkout, ball: Trimesh
) -> None:
    """Views that show positions as colours: baked and filled, every texel must say where on the mesh it lies."""
    from daemon.engines.hunyuan import code
    from daemon.engines.hunyuan.bake import Baker
    from daemon.engines.hunyuan.fill import filled
    from daemon.engines.hunyuan.presets import Paint

    paint = Paint(views=6, resolution=64, steps=1, guidance=3.0, render=256, texture=256)
    baker = Baker(code.paint_modules(checkout), ball, paint, "cpu")
    cameras = baker.cameras()
    assert [(one.elevation, one.azimuth) for one in cameras[:4]] == [(0, 0), (0, 90), (0, 180), (0, 270)]
    shown = [baker.conditions(camera)[1] for camera in cameras]
    maps = baker.maps(shown, shown, cameras, lambda number: None)
    assert 0.05 < maps.painted.mean() < 1
    texture = filled(ball, maps)
    uv = np.asarray(ball.visual.uv)
    columns = np.clip((uv[:, 0] * 255).round().astype(int), 0, 255)
    rows = np.clip(((1 - uv[:, 1]) * 255).round().astype(int), 0, 255)
    colours = texture[rows, columns, :3].astype(float)
    # The renderer's axes are (-x, z, -y) of the mesh, and its position colour is 0.5 - position.
    expected = np.stack([ball.vertices[:, 0], -ball.vertices[:, 2], ball.vertices[:, 1]], axis=1)
    for axis in range(3):
        assert np.corrcoef(colours[:, axis], expected[:, axis])[0, 1] > 0.97, axis


def test_more_views_than_six_are_chosen_by_what_they_add(checkout: Checkout, engine: HunyuanEngine) -> None:
    from daemon.engines.hunyuan import code
    from daemon.engines.hunyuan.bake import Baker
    from daemon.engines.hunyuan.presets import Paint
    from daemon.engines.hunyuan.unwrap import unwrap

    lump = unwrap(trimesh.creation.annulus(0.2, 0.5, 0.4, sections=8))
    paint = Paint(views=8, resolution=64, steps=1, guidance=3.0, render=64, texture=64)
    cameras = Baker(code.paint_modules(checkout), lump, paint, "cpu").cameras()
    assert 6 <= len(cameras) <= 8
    assert len({(one.elevation, one.azimuth) for one in cameras}) == len(cameras)
