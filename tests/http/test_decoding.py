"""Strangers' pictures are decoded in a process that can do nothing else, and leave their metadata behind."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from PIL import Image

from daemon.decoding import decode
from daemon.errors import BadJob
from daemon.photo import open_photo
from spool import confine
from tests.support import picture

HEIC = Path(__file__).parent / "ellipse.heic"


@pytest.mark.parametrize(
    ("what", "said"),
    [("file", "gave up"), ("memory", "MemoryError"), ("time", "signal"), ("network", "gave up")],
)
def test_a_confined_process_reaches_nothing(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "input").write_bytes(b"four")
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "input").open("rb") as file:
        assert confine.call("tests.http.reach", ("nothing",), file, 60) == b"4\n"
        with pytest.raises(confine.OverLimits, match=said):
            confine.call("tests.http.reach", (what, listener.getsockname()[1]), file, 60)


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / "input").touch()
    with (tmp_path / "input").open("rb") as file, pytest.raises(confine.OverLimits, match="longer than"):
        confine.call("tests.http.reach", ("time",), file, 0.3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_the_child_gives_what_this_process_would_decode(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo"
    path.write_bytes(picture((300, 200), kind, "RGB"))
    here, there = open_photo(path, 10**6, 1000, 16), decode(path, 10**6, 1000, 16, 1000)
    assert (there.mode, there.size) == ("RGB", (300, 200))
    assert here.tobytes() == there.tobytes()
    assert max(decode(path, 10**6, 1000, 16, 100).size) == 100


def test_a_phones_heic_is_upright(tmp_path: Path) -> None:
    photo = decode(HEIC, 10**6, 1000, 16, 1000)
    assert photo.size == (64, 96)  # stored 96 x 64, held upright
    red, _, blue = photo.getpixel((32, 35))  # type: ignore[misc]
    assert red > 200 > 90 > blue
    assert not photo.getexif() and not photo.info


def test_what_cannot_be_decoded_is_a_bad_job(tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(picture((300, 200))[:400])
    with pytest.raises(BadJob, match="damaged or cut off"):
        decode(path, 10**6, 1000, 16, 1000)
    path.write_bytes(picture((300, 200)))
    with pytest.raises(BadJob, match="299"):
        decode(path, 10**6, 299, 16, 1000)
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "gone", 10**6, 299, 16, 1000)


def test_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "moving.gif", 10**6, 1000, 16, 1000).getpixel((5, 5)) == (255, 0, 0)


def test_a_picture_that_unpacks_to_too_much_is_turned_away_unread(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("1", (9000, 9000)).save(content, "PNG")
    (tmp_path / "bomb").write_bytes(content.getvalue())
    with pytest.raises(BadJob, match="megapixels"):
        decode(tmp_path / "bomb", 40_000_000, 10_000, 16, 4096)
