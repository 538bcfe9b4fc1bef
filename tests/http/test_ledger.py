"""What a caller's uploads count: from before they are read until a minute after they are over."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from httpd.access import Caller
from httpd.config import HttpConfig
from httpd.ledger import Ledger
from spool import keys
from spool.settings import in_units, read
from tests.client import client_of, upload
from tests.http.live import server
from tests.service import free_port
from tests.support import picture, until

CALLER = Caller("192.0.2.1", "submit")
GOOD = picture()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(**environ: str) -> HttpConfig:
    return read(HttpConfig, {"PROTOSCALE_CLIENT_UPLOADS": "0", "PROTOSCALE_CLIENT_BYTES": "0", **environ})


def test_what_is_announced_counts_before_it_comes_and_what_comes_beyond_it_as_well() -> None:
    ledger, config = Ledger(), limits(PROTOSCALE_CLIENT_BYTES="100")
    one = ledger.admit(CALLER, 60, config)
    with pytest.raises(HTTPException, match="100 bytes"):
        ledger.admit(CALLER, 41, config)
    other = ledger.admit(CALLER, 0, config)
    one.came(60)
    other.came(40)
    with pytest.raises(HTTPException, match="100 bytes"):
        other.came(41)
    with pytest.raises(HTTPException, match="100 bytes"):
        ledger.check(CALLER, config)
    ledger.admit(Caller("key:other", "submit"), 100, config)
    ledger.admit(Caller("", "admin"), 1000, config).came(2000)


def test_an_upload_under_way_counts_however_long_it_takes_and_then_a_minute() -> None:
    clock = Clock()
    ledger, config = Ledger(clock), limits(PROTOSCALE_CLIENT_BYTES="100")
    with ledger.admit(CALLER, 100, config):
        clock.now += 5000
        with pytest.raises(HTTPException) as refused:
            ledger.admit(CALLER, 1, config)
        assert refused.value.headers == {"Retry-After": "60"}
    clock.now += 20
    with pytest.raises(HTTPException) as refused:
        ledger.admit(CALLER, 1, config)
    assert refused.value.headers == {"Retry-After": "40"}
    clock.now += 41
    ledger.admit(CALLER, 100, config)


def test_uploads_are_counted_by_their_beginning_and_while_they_are_under_way() -> None:
    clock = Clock()
    ledger, config = Ledger(clock), limits(PROTOSCALE_CLIENT_UPLOADS="2")
    slow, quick = ledger.admit(CALLER, 1, config), ledger.admit(CALLER, 1, config)
    quick.end()
    clock.now += 61
    ledger.admit(CALLER, 1, config).end()
    with pytest.raises(HTTPException, match="2 uploads"):
        ledger.admit(CALLER, 1, config)
    slow.end()
    ledger.admit(CALLER, 1, config)


def test_callers_of_long_ago_are_forgotten() -> None:
    clock = Clock()
    ledger, config = Ledger(clock), limits()
    ledger.admit(CALLER, 1, config)
    for number in range(10_000):
        ledger.admit(Caller(f"key:{number}", "submit"), 1, config).end()
    clock.now += 61
    ledger.admit(Caller("key:new", "submit"), 1, config)
    assert set(ledger._arrivals) == {CALLER.name, "key:new"}


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (10 << 10, "10 KiB"), (32 << 20, "32 MiB"), (3 << 29, "1.5 GiB")],
)
def test_sizes_are_told_as_people_say_them(count: int, words: str) -> None:
    assert in_units(count) == words


@pytest.fixture
def stranger(tmp_path: Path) -> Any:
    """A client with a key of its own, and limits that are named."""

    def made(**environ: str) -> TestClient:
        client = client_of(tmp_path / "spool", PROTOSCALE_REQUIRE_KEY="true", **environ)
        client.headers["x-api-key"] = keys.create(tmp_path / "spool", "web", "submit")
        return client

    return made


def chunked(content: bytes) -> Iterator[bytes]:
    """A body whose length nobody announces."""
    file = io.BytesIO(content)
    while piece := file.read(1000):
        yield piece


def test_a_body_without_a_length_counts_too(stranger: Any) -> None:
    client = stranger(PROTOSCALE_CLIENT_BYTES="50K")
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = head + GOOD + bytes(20_000) + b"\r\n--b--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=b"}
    codes = [client.post("/api/upload", content=chunked(body), headers=kind).status_code for _ in range(3)]
    assert codes == [201, 201, 429]


def test_what_is_refused_counts_too(stranger: Any) -> None:
    client = stranger(PROTOSCALE_CLIENT_UPLOADS="3")
    assert client.post("/send", json={"image": "%%%"}).status_code == 422
    assert client.post("/send", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert upload(client, quality="best").status_code == 422
    assert client.post("/send", json={"image": "%%%"}).status_code == 429
    answer = client.post("/api/batch", files=[("file", ("a.png", GOOD))])
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 60


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[str, dict[str, str], Path]]:
    """A running server that allows a key 2 MiB a minute: its address, the key, the spool."""
    root, port = tmp_path / "spool", free_port()
    environ = {"PROTOSCALE_REQUIRE_KEY": "true", "PROTOSCALE_CLIENT_BYTES": "2M"}
    key = keys.create(root, "web", "submit")
    with server(root, port, environ=environ):
        yield f"127.0.0.1:{port}", {"X-API-Key": key}, root


def begun(address: str, path: str, headers: dict[str, str], content: bytes, announced: int) -> socket.socket:
    """A request of which so much is sent, and no more."""
    host, _, port = address.partition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\n{head}Content-Length: {announced}\r\n\r\n".encode()
        + content
    )
    return connection


@pytest.mark.service
def test_batches_that_stall_fill_the_disk_no_further_than_a_callers_minute(
    live: tuple[str, dict[str, str], Path],
) -> None:
    address, headers, root = live
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = part + bytes(1_500_000)
    form = {**headers, "Content-Type": "multipart/form-data; boundary=b"}
    refused = threading.Event()

    def taken() -> int:
        return sum(file.stat().st_size for file in (root / "tmp").glob("*/input.part"))

    with ExitStack() as open_ones:
        for _ in range(4):
            open_ones.enter_context(begun(address, "/api/batch", form, body, len(body) + 1000))
        until(lambda: taken() >= 500_000, 60)

        def next_is_refused() -> bool:
            answer = httpx.post(f"http://{address}/send", json={"image": "A" * 900_000}, headers=headers)
            if answer.status_code == 429:
                refused.set()
            return refused.is_set()

        until(next_is_refused, 60)
        assert taken() <= 2 << 20
