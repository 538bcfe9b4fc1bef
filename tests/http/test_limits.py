"""Every limit of the server, with the request that hits it."""

from __future__ import annotations

import io
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from httpd import limits
from spool.spool import Spool
from tests.client import client_of, upload
from tests.http.live import send, server
from tests.http.test_decoding import HEIC
from tests.service import free_port
from tests.support import picture, until

FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(("size", "word"), [((8193, 20), "8193"), ((6400, 6300), "6400 x 6300")])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_pixels_are_counted_before_decoding(
    tmp_path: Path, kind: str, size: tuple[int, int], word: str
) -> None:
    content = io.BytesIO()
    Image.new("1" if kind in ("PNG", "TIFF", "BMP") else "L", size).save(content, kind)
    client = client_of(tmp_path / "spool")
    answer = upload(client, content.getvalue())
    assert (answer.status_code, word in answer.json()["detail"]) == (422, True)
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_every_format_is_accepted_and_shown(tmp_path: Path, kind: str) -> None:
    client = client_of(tmp_path / "spool")
    answer = upload(client, picture((90, 60), kind, "RGB"), name="photo.exe")
    assert answer.status_code == 201
    assert client.get(f"/api/jobs/{answer.json()['job_id']}/thumbnail").status_code == 200


def test_metadata_is_not_published(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool")
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SecretCamera"
    Image.new("RGB", (90, 60), "red").save(content, "JPEG", exif=exif, comment=b"at home")
    for original in (content.getvalue(), HEIC.read_bytes()):
        job = upload(client, original).json()["job_id"]
        answer = client.get(f"/api/jobs/{job}/thumbnail")
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.height > image.width
            assert not image.getexif() and not image.info
        assert answer.headers["x-content-type-options"] == "nosniff"
        same = client.get(f"/api/jobs/{job}/thumbnail", headers={"if-none-match": answer.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        for name in ("input.jpg", "input.heic", "request.json"):
            assert client.get(f"/api/jobs/{job}/result/{name}").status_code == 404


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Disposition: form-data; name=seed\r\n" + b"X-Padding: 1\r\n" * 20,
        b"Content-Disposition: form-data; name=seed\r\nX-Padding: " + b"x" * 5000 + b"\r\n",
    ],
)
def test_the_heads_of_parts_are_limited(tmp_path: Path, part: bytes) -> None:
    answer = client_of(tmp_path / "spool").post(
        "/api/upload", content=b"--b\r\n" + part + b"\r\n1\r\n--b--\r\n", headers=FORM
    )
    assert answer.status_code == 400


def exchange(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send pieces with a pause after each, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            time.sleep(pause)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    told = b""
    try:
        while part := connection.recv(65536):
            told += part
    except ConnectionResetError:
        pass
    return told


@pytest.mark.service
def test_slow_clients_are_cut_off_and_told(tmp_path: Path) -> None:
    port, spool = free_port(), Spool(tmp_path / "spool")
    environ = {"PROTOSCALE_HEADER_TIMEOUT": "1", "PROTOSCALE_BODY_TIMEOUT": "1"}
    post = (
        b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    )
    with server(spool.root, port, environ=environ):
        # A head that trickles: the clock is not wound up again by each byte.
        told = exchange(port, *[bytes([byte]) for byte in post[:100]], pause=0.05)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert exchange(port) == b""  # says nothing at all
        told = exchange(port, post + b"Content-Length: 50000\r\n\r\n--b\r\n")
        assert told.startswith(b"HTTP/1.1 408 ") and b"too slowly" in told
        trickle = [post + b"Content-Length: 50000\r\n\r\n", *[b"-"] * 40]
        assert exchange(port, *trickle, pause=0.1).startswith(b"HTTP/1.1 408 ")
        # One who sends on after the answer is let go too.
        told = exchange(port, b"POST /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000\r\n\r\nx")
        assert told.startswith(b"HTTP/1.1 404 ")
        told = exchange(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 20_000)
        assert told.startswith(b"HTTP/1.1 4")
        until(lambda: not list((spool.root / "tmp").iterdir()), 60)


@pytest.mark.service
def test_fifty_slow_clients_are_not_noticed(tmp_path: Path) -> None:
    port = free_port()
    environ = {"PROTOSCALE_HEADER_TIMEOUT": "2", "PROTOSCALE_BODY_TIMEOUT": "2"}
    head = (
        b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    )
    answers: list[bytes] = []

    def slow(whole_head: bool) -> None:
        rest = b"Content-Length: 90000\r\n\r\n" if whole_head else b""
        answers.append(exchange(port, head + rest, *[b"x"] * 40, pause=0.1))

    with server(tmp_path / "spool", port, environ=environ):
        crowd = [threading.Thread(target=slow, args=(at % 2 == 0,)) for at in range(50)]
        for client in crowd:
            client.start()
        for _ in range(5):
            assert send(port, picture())["status"] == "pending"
        for client in crowd:
            client.join()
    assert len(answers) == 50
    assert all(answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 4")) for answer in answers)


def test_a_body_without_a_length_is_counted_as_it_arrives(tmp_path: Path) -> None:
    client = client_of(tmp_path / "spool", PROTOSCALE_MAX_UPLOAD="10K")

    def pieces() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield b"x" * 1000

    answer = client.post("/api/upload", content=pieces(), headers=FORM)
    assert (answer.status_code, "10 KiB" in answer.json()["detail"]) == (413, True)
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


def test_owners_may_be_put_aside_by_another_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept(dict[str, str]):
        """Put aside the moment that somebody looks into it."""

        def __contains__(self, job_id: object) -> bool:
            limits._known = {}
            return super().__contains__(job_id)

    monkeypatch.setattr(limits, "_known", Kept(job="key:web"))
    assert limits._owners(tmp_path, [("inbox", "job")]) == ["key:web"]
