"""A picture as base64 in JSON: whole however it is written down, and in memory only when all of it is there."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient
from starlette.types import Message

from httpd import enclosure
from httpd.enclosure import Enclosure, unpack
from httpd.form import PIECE
from httpd.landing import Landing
from spool.errors import InvalidRequest
from spool.spool import Spool
from tests.http.live import server
from tests.service import free_port
from tests.support import picture, until


def unpacked(folder: Path, text: str, limit: int = 1 << 20) -> bytes:
    landing = Landing(folder / "picture")
    try:
        unpack(text, landing, limit)
    finally:
        landing.close()
    return (folder / "picture").read_bytes()


def test_a_picture_is_the_same_wherever_its_pieces_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (0, 1, 2, 3, 100):
        content = os.urandom(size)
        plain = base64.b64encode(content).decode()
        broken = base64.encodebytes(content * 3).decode() + "\n \r\n"
        for step in range(1, 12):
            monkeypatch.setattr(enclosure, "_STEP", step)
            assert unpacked(tmp_path, plain) == content
            assert unpacked(tmp_path, "data:image/png;base64," + plain) == content
            assert unpacked(tmp_path, broken) == content * 3


@pytest.mark.parametrize("text", ["%%%", "AAA", "AA==AAAA", "AAA=A", "ÄÄÄÄ", "A", "AA= =A"])
def test_what_is_no_base64_is_refused_wherever_its_pieces_end(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, 12):
        monkeypatch.setattr(enclosure, "_STEP", step)
        with pytest.raises(InvalidRequest, match="base64"):
            unpacked(tmp_path, text)


def test_no_more_is_written_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enclosure, "_STEP", 4)
    with pytest.raises(HTTPException, match="larger than 10 bytes"):
        unpacked(tmp_path, "A" * 400, 10)
    assert (tmp_path / "picture").stat().st_size == 9


@pytest.mark.parametrize("size", [10, 3 * PIECE])
def test_a_body_is_in_no_folder_and_gone_in_the_end(spool: Spool, size: int) -> None:
    body = Enclosure(spool)
    body.feed([b'{"image": "', b"A" * size])
    body.feed([b'"}'])
    assert list((spool.root / "tmp").iterdir()) == []
    assert body.values() == {"image": "A" * size}
    body.close()


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: json.dumps(text),
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("+", "\\u002B"),
        lambda text: json.dumps(re.sub("(.{76})", "\\1\n", text)),
    ],
)
def test_json_may_be_spelled_as_it_likes(client: TestClient, spool: Spool, spelled: object) -> None:
    assert callable(spelled)
    content = picture() + b"\xfb\xff\xbf" * 10  # `+` and `/` in base64
    body = '{"seed": 3, "image": %s}' % spelled(base64.b64encode(content).decode())  # noqa: UP031
    answer = client.post("/send", content=body.encode(), headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert spool.find(answer.json()["uid"]).job.input.read_bytes() == content


def test_a_sender_that_goes_away_is_no_mistake_of_the_server(client: TestClient, spool: Spool) -> None:
    answer: list[Message] = []
    come: list[Message] = [
        {"type": "http.request", "body": b'{"image": "AAAA', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return come.pop(0)

    async def send(message: Message) -> None:
        answer.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/send", "headers": headers, "query_string": b""}
    anyio.run(client.app, scope, receive, send)
    assert answer[0]["status"] == 400
    assert list((spool.root / "tmp").iterdir()) == []


@pytest.mark.service
def test_bodies_that_stall_are_not_kept_in_memory(tmp_path: Path) -> None:
    port = free_port()
    body = json.dumps({"image": base64.b64encode(picture() + bytes(20_000_000)).decode()}).encode()
    head = (
        b"POST /send HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    with server(tmp_path / "spool", port) as process, ExitStack() as connections:
        before = resident(process.pid)
        stalled = [
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            for _ in range(5)
        ]
        for connection in stalled:
            connection.sendall(head + body[:-1])
        # All that was sent but what may be gathered for the next write.
        until(lambda: unnamed(process.pid, tmp_path) > 5 * (len(body) - 2 * PIECE), 60)
        assert resident(process.pid) - before < 50 << 20
        for connection in stalled:
            connection.sendall(body[-1:])
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert resident(process.pid) - before < 200 << 20
        until(lambda: unnamed(process.pid, tmp_path) == 0, 60)


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) << 10


def unnamed(pid: int, folder: Path) -> int:
    """Bytes in files below `folder` that the process has open and no folder names."""
    found = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed this instant
            target = str(path.readlink())
            if target.startswith(str(folder)) and target.endswith("(deleted)"):
                found += path.stat().st_size
    return found
