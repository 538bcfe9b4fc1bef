"""Background removal with the real rembg and the real u2netp."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from daemon.engines import matte
from daemon.engines.background import BackgroundRemover
from daemon.errors import BadJob, Cancelled, EngineUnavailable
from daemon.models import UnknownModel

REPOSITORY = Path(__file__).parents[1]
COFFEE = REPOSITORY / "examples" / "coffee.png"


def silent(share: float, words: str) -> None:
    """A progress callback for nobody."""


@pytest.fixture(scope="module")
def remover(u2net_home: Path) -> BackgroundRemover:
    return BackgroundRemover("u2netp", u2net_home)


def alpha_of(picture: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(picture.getchannel("A"))


def disk_on_a_table() -> Image.Image:
    photo = Image.new("RGB", (400, 300), (205, 200, 190))
    ImageDraw.Draw(photo).ellipse((130, 80, 270, 220), fill=(190, 30, 30))
    return photo


def test_the_cup_is_cut_out_at_full_resolution(remover: BackgroundRemover) -> None:
    steps: list[float] = []
    photo = Image.open(COFFEE).convert("RGB")
    cutout = remover.cutout(photo, True, lambda share, words: steps.append(share))
    assert (cutout.image.mode, cutout.image.size) == ("RGBA", photo.size)
    alpha = alpha_of(cutout.image)
    assert alpha[200, 300] == 255 and alpha[330, 200] == 255  # coffee, saucer
    assert alpha[5, 5] == alpha[395, 5] == alpha[395, 595] == alpha[5, 595] == 0
    assert 0.42 < (alpha >= 128).mean() < 0.52
    assert np.array_equal(np.asarray(cutout.image)[200, 300, :3], np.asarray(photo)[200, 300])
    assert cutout.facts == {
        "alpha": "removed",
        "background_model": "u2netp",
        "background_model_wanted": "u2netp",
        "background_providers": ["CPUExecutionProvider"],
    }
    assert cutout.notes == ()
    assert steps == sorted(steps) and steps[0] == 0.0 and steps[-1] == 1.0


def test_the_mask_of_a_disk_is_the_disk(remover: BackgroundRemover) -> None:
    alpha = alpha_of(remover.cutout(disk_on_a_table(), True, silent).image) >= 128
    y, x = np.mgrid[0:300, 0:400]
    disk = (x - 200) ** 2 + (y - 150) ** 2 <= 70**2
    assert (alpha & disk).sum() / (alpha | disk).sum() > 0.97


def test_the_same_photo_gives_the_same_bytes(remover: BackgroundRemover, u2net_home: Path) -> None:
    photo = Image.open(COFFEE).convert("RGB")
    first = remover.cutout(photo, True, silent).image.tobytes()
    assert remover.cutout(photo, True, silent).image.tobytes() == first
    assert BackgroundRemover("u2netp", u2net_home).cutout(photo, True, silent).image.tobytes() == first


def test_no_background_shines_through_the_rim() -> None:
    photo = Image.new("RGB", (640, 480), (0, 255, 0))
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(photo).ellipse((200, 120, 440, 360), fill=(200, 0, 0))
    ImageDraw.Draw(mask).ellipse((198, 118, 442, 362), fill=255)  # a little too generous, as networks are
    soft = mask.resize((160, 120), Image.Resampling.BOX).resize(photo.size, Image.Resampling.BICUBIC)
    cut = np.asarray(matte.cut(photo, soft)).astype(int)
    rim = (cut[..., 3] > 0) & (np.asarray(soft) < matte.SURE)
    assert rim.sum() > 500
    assert cut[rim][:, 1].mean() < 0.1 * np.asarray(photo)[rim][:, 1].mean()
    assert (cut[:50] == 0).all()


@pytest.mark.parametrize("size", [(1300, 700), (513, 1025), (40, 30)])
def test_tiles_leave_no_seams(size: tuple[int, int]) -> None:
    """Tile borders cross the rim: the colours there are what one big tile gives."""
    rng = np.random.default_rng(2)
    photo = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((size[0] * 0.1, size[1] * 0.1, size[0] * 0.9, size[1] * 0.9), fill=255)
    soft = mask.resize((80, 80), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)
    tiled = np.asarray(matte.cut(photo, soft)).astype(int)
    before, matte.TILE = matte.TILE, 4096
    try:
        whole = np.asarray(matte.cut(photo, soft)).astype(int)
    finally:
        matte.TILE = before
    opaque = whole[..., 3] > 0
    assert np.abs(tiled - whole)[opaque].max() <= 1


def test_sharpening_narrows_the_rim_and_keeps_the_contour() -> None:
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (2, 1)))
    sharp = np.asarray(matte.sharpened(ramp))[0].astype(int)
    assert (np.diff(sharp) >= 0).all() and sharp[0] == 0 and sharp[-1] == 255
    assert ((sharp >= 128) == (np.arange(256) >= 128)).all()
    assert ((sharp > 0) & (sharp < 255)).sum() <= 128


def test_own_transparency_is_taken_as_it_is(remover: BackgroundRemover) -> None:
    picture = Image.new("RGBA", (200, 100), (9, 8, 7, 0))
    ImageDraw.Draw(picture).ellipse((50, 10, 150, 90), fill=(200, 30, 30, 255))
    for remove_bg in (True, False):
        cutout = remover.cutout(picture, remove_bg, silent)
        assert cutout.image.tobytes() == picture.tobytes()
        assert cutout.facts == {"alpha": "photo"}
        assert cutout.notes == ("The picture's own transparency was used.",)


def test_rounded_corners_are_no_cut_out(remover: BackgroundRemover) -> None:
    picture = disk_on_a_table().convert("RGBA")
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 399, 299), 12, fill=255)
    picture.putalpha(mask)
    cutout = remover.cutout(picture, True, silent)
    assert cutout.facts["alpha"] == "removed"
    assert (alpha_of(cutout.image) >= 128).mean() < 0.2


def test_a_veil_over_everything_is_no_cut_out(remover: BackgroundRemover) -> None:
    picture = disk_on_a_table().convert("RGBA")
    picture.putalpha(200)
    assert remover.cutout(picture, True, silent).facts["alpha"] == "removed"


def test_keeping_the_background_is_honoured_and_noted(remover: BackgroundRemover) -> None:
    photo = disk_on_a_table()
    cutout = remover.cutout(photo, False, silent)
    assert cutout.facts == {"alpha": "kept"}
    assert "background was kept" in cutout.notes[0]
    assert (alpha_of(cutout.image) == 255).all()
    assert cutout.image.convert("RGB").tobytes() == photo.tobytes()


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (30, 90, 160)])
def test_a_blank_wall_has_no_object(remover: BackgroundRemover, colour: tuple[int, int, int]) -> None:
    with pytest.raises(BadJob, match="No object was found") as caught:
        remover.cutout(Image.new("RGB", (320, 240), colour), True, silent)
    assert "remove_bg=false" in str(caught.value)


def test_a_speck_is_no_object(remover: BackgroundRemover) -> None:
    picture = Image.new("RGBA", (200, 200))
    picture.paste((255, 0, 0, 255), (100, 100, 107, 109))
    with pytest.raises(BadJob, match="No object was found"):
        remover.cutout(picture, True, silent)


def test_an_object_cut_by_the_frame_is_told(remover: BackgroundRemover) -> None:
    picture = Image.new("RGBA", (200, 200))
    picture.paste((255, 0, 0, 255), (50, 100, 150, 200))
    assert "reaches the bottom of the photo" in remover.cutout(picture, True, silent).notes[1]
    picture.paste((255, 0, 0, 255), (0, 100, 150, 200))
    assert "reaches the bottom, left of" in remover.cutout(picture, True, silent).notes[1]


def test_a_cut_out_that_fills_the_frame_is_told(remover: BackgroundRemover) -> None:
    picture = Image.new("RGBA", (200, 200), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 200, 5))
    assert "fills nearly the whole frame" in remover.cutout(picture, True, silent).notes[1]


def test_the_small_model_stands_in_and_says_so(u2net_home: Path, tmp_path: Path) -> None:
    shutil.copy(u2net_home / "u2netp.onnx", tmp_path)
    remover = BackgroundRemover("u2net", tmp_path)
    remover.check()
    cutout = remover.cutout(disk_on_a_table(), True, silent)
    assert cutout.facts["background_model"] == "u2netp"
    assert cutout.facts["background_model_wanted"] == "u2net"
    assert "`protoscale models pull u2net`" in cutout.notes[0]


def test_no_model_says_what_to_do(tmp_path: Path) -> None:
    remover = BackgroundRemover("u2net", tmp_path)
    with pytest.raises(EngineUnavailable, match="`protoscale models pull u2net`"):
        remover.check()
    with pytest.raises(EngineUnavailable, match="`protoscale models pull u2net`"):
        remover.cutout(disk_on_a_table(), True, silent)
    assert remover.cutout(disk_on_a_table(), False, silent).facts["alpha"] == "kept"


def test_a_truncated_model_says_what_to_do(u2net_home: Path, tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes((u2net_home / "u2netp.onnx").read_bytes()[:-1000])
    remover = BackgroundRemover("u2netp", tmp_path)
    with pytest.raises(EngineUnavailable, match=r"damaged or cut off.*pull u2netp"):
        remover.check()
    with pytest.raises(EngineUnavailable, match=r"damaged or cut off.*pull u2netp"):
        remover.cutout(disk_on_a_table(), True, silent)


def test_a_model_with_rotten_bytes_says_what_to_do(u2net_home: Path, tmp_path: Path) -> None:
    content = bytearray((u2net_home / "u2netp.onnx").read_bytes())
    content[:2000] = bytes(2000)
    (tmp_path / "u2netp.onnx").write_bytes(content)
    remover = BackgroundRemover("u2netp", tmp_path)
    with pytest.raises(EngineUnavailable, match="damaged"):
        remover.check()
    with pytest.raises(EngineUnavailable, match=r"does not load.*pull u2netp"):
        remover.cutout(disk_on_a_table(), True, silent)


def test_an_unknown_model_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="known are u2net, "):
        BackgroundRemover("u2net2", tmp_path)


def test_a_provider_that_is_not_there_falls_back_and_the_facts_say_so(u2net_home: Path) -> None:
    remover = BackgroundRemover("u2netp", u2net_home, ("NoSuchExecutionProvider", "CPUExecutionProvider"))
    assert remover.cutout(disk_on_a_table(), True, silent).facts["background_providers"] == [
        "CPUExecutionProvider"
    ]


def test_progress_can_cancel(remover: BackgroundRemover) -> None:
    def stop(share: float, words: str) -> None:
        if share > 0:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        remover.cutout(disk_on_a_table(), True, stop)


def test_the_environment_is_left_as_it_was(u2net_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", "/elsewhere")
    BackgroundRemover("u2netp", u2net_home).cutout(disk_on_a_table(), True, silent)
    assert os.environ["U2NET_HOME"] == "/elsewhere"


def test_versions_name_what_shapes_the_cut_out(remover: BackgroundRemover) -> None:
    assert {"rembg", "onnxruntime", "pillow"} <= set(remover.versions())


MEASURE = """
import json, sys
from pathlib import Path
from PIL import Image
from daemon.engines.background import BackgroundRemover

# Of this program alone: getrusage's ru_maxrss also counts what the process was before it became this program, that is
# the whole of pytest.
def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def resident():
    return memory("VmRSS")

def silent(share, words): pass

remover = BackgroundRemover("u2netp", Path(sys.argv[1]))
photo = Image.open(sys.argv[2]).convert("RGB")
before_any = remover.unload()
remover.cutout(photo, True, silent)
remover.unload()
start = resident()
remover.cutout(photo, True, silent)
loaded = resident()
unloaded, again = remover.unload(), remover.unload()
import numba
print(json.dumps({
    "unloads": [before_any, unloaded, again],
    "grown": loaded - start, "kept": resident() - start,
    "peak": memory("VmHWM"),
    "jit_disabled": bool(numba.config.DISABLE_JIT),
}))
"""


def test_unloading_gives_the_memory_back(u2net_home: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(u2net_home), str(COFFEE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    found = json.loads(done.stdout)
    assert found["unloads"] == [False, True, False]
    assert found["grown"] > 30e6  # some 50 MB: it was there to be given back
    assert found["kept"] < 0.25 * found["grown"]
    assert found["peak"] < 800e6
    assert not found["jit_disabled"]
