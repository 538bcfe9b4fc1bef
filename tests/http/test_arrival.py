"""How a body gets from the socket into the draft: whole, in order, in bounded memory, and gone when its sender is."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from httpd import form as forms
from httpd.form import Form, receive
from httpd.landing import AHEAD, Landing
from spool import writeback
from spool.spool import Spool
from tests.crash.shim import Call, Shim
from tests.http.live import send, server
from tests.service import free_port
from tests.support import picture, until

BOUNDARY = b"----a-boundary-as-long-as-a-real-one"


class Kept:
    """A sink that remembers; `held` stops it in the middle of a write."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.whole = False
        self.held = threading.Event()
        self.held.set()

    def begin(self, filename: str) -> None:
        pass

    def write(self, content: bytes | memoryview) -> None:
        assert self.held.wait(60)
        self.content += content

    def end(self) -> None:
        self.whole = True


def body(content: bytes) -> bytes:
    head = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return head + content + b"\r\n--" + BOUNDARY + b"--\r\n"


def request(pieces: AsyncIterator[bytes]) -> Request:
    async def ask() -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, ask)


def test_a_picture_is_the_same_wherever_the_pieces_of_its_form_end() -> None:
    """Bytes that look like the boundary's beginning too, in every place, and split in every place."""
    content = b"\r\n--" + BOUNDARY[:-1] + b"\r\n-" + bytes(range(256)) + b"\r\n--\r"
    whole = body(content)
    for at in range(len(whole) + 1):
        sink = Kept()
        form = Form(BOUNDARY, sink)
        form.feed([whole[:at]])
        form.end([whole[at:]])
        assert bytes(sink.content) == content
        assert sink.whole
    sink = Kept()
    Form(BOUNDARY, sink).end([whole[at : at + 1] for at in range(len(whole))])
    assert bytes(sink.content) == content


def test_the_sender_waits_for_a_disk_that_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is taken than `PIECE` beyond what is being written, and nothing is lost when it goes on."""
    monkeypatch.setattr(forms, "PIECE", 10_000)
    monkeypatch.setattr(forms, "LEAST", 1)
    content = os.urandom(100_000)
    whole = body(content)
    sink = Kept()
    sink.held.clear()
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for at in range(0, len(whole), 1000):
            taken += 1000
            yield whole[at : at + 1000]

    async def scene() -> None:
        form = Form(BOUNDARY, sink)
        rest: list[bytes] = []

        async def work() -> None:
            rest.extend(await receive(request(pieces()), form, 1 << 30, 60))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            with anyio.fail_after(60):
                while taken < 20_000:
                    await anyio.sleep(0.01)
            for _ in range(20):
                await anyio.sleep(0.01)
                assert taken <= 21_000
            sink.held.set()
        form.end(rest)

    anyio.run(scene)
    assert bytes(sink.content) == content


def test_a_body_that_comes_byte_by_byte_is_not_gathered_as_a_million_objects() -> None:
    whole = body(bytes(5000))
    fed: list[int] = []

    class Counting(Form):
        def feed(self, pieces: list[bytes]) -> None:
            fed.append(len(pieces))
            super().feed(pieces)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(len(whole)):
            yield whole[at : at + 1]

    async def scene() -> None:
        form = Counting(BOUNDARY, Kept())
        form.end(await receive(request(pieces()), form, 1 << 30, 60))

    anyio.run(scene)
    assert max(fed) <= forms.PIECE // forms.LEAST
    assert sum(fed) == len(whole)


def test_what_is_wrong_with_a_form_is_told_before_all_of_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "PIECE", 1000)
    monkeypatch.setattr(forms, "LEAST", 1)
    whole = body(bytes(3000)).replace(b'name="file"', b'name="nonsense"')
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        yield whole[:2000]
        while True:  # a sender with patience: nothing below is ever a batch
            taken += 1
            await anyio.sleep(0.01)
            yield b"x"

    async def scene() -> None:
        with anyio.fail_after(60):
            await receive(request(pieces()), Form(BOUNDARY, Kept()), 1 << 30, 60)

    with pytest.raises(HTTPException, match="unknown field"):
        anyio.run(scene)
    assert taken < 1000


@pytest.mark.parametrize("end", ["gone", "too large", "disk"])
def test_nothing_is_written_any_more_when_a_body_is_over(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears of the end removes the draft: a thread that is still at it would be in the way."""
    monkeypatch.setattr(forms, "PIECE", 1)
    whole = body(bytes(5000))
    sink = Kept()
    sink.held.clear()
    errors = {"gone": ClientDisconnect, "too large": HTTPException, "disk": OSError}

    def full(content: bytes | memoryview) -> None:
        raise OSError(errno.ENOSPC, "full")

    if end == "disk":
        monkeypatch.setattr(sink, "write", full)

    async def pieces() -> AsyncIterator[bytes]:
        yield whole[:3000]
        threading.Timer(0.2, sink.held.set).start()
        if end == "gone":
            raise ClientDisconnect
        for at in range(3000, len(whole), 100):
            yield whole[at : at + 100]

    async def scene() -> None:
        await receive(request(pieces()), Form(BOUNDARY, sink), 4000 if end == "too large" else 1 << 30, 60)

    with pytest.raises(errors[end]):
        anyio.run(scene)
    assert sink.held.is_set() or end == "disk"
    taken = {"gone": 3000, "too large": 4000}
    assert len(sink.content) == (taken[end] - whole.index(b"\r\n\r\n") - 4 if end in taken else 0)


class _Full:
    """The disk takes this many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def before(self, call: Call) -> int | None:
        if call.name != "write":
            return None
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), call.path)
        taken = min(self.room, len(call.content))
        self.room -= taken
        return taken

    def after(self, call: Call) -> None:
        pass


def test_a_short_write_is_gone_on_with_and_a_full_disk_is_told(tmp_path: Path) -> None:
    with Shim(tmp_path, _Full(700)).installed():
        landing = Landing(tmp_path / "input.part")
        landing.write(b"a" * 500)
        with pytest.raises(OSError, match="No space") as raised:
            landing.write(b"b" * 500)
        landing.close()
        landing.close()
    assert raised.value.errno == errno.ENOSPC
    assert (tmp_path / "input.part").read_bytes() == b"a" * 500 + b"b" * 200


def test_what_was_written_begins_its_way_to_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(writeback, "begin", lambda _, offset, length: ranges.append((offset, length)))
    landing = Landing(tmp_path / "input.part")
    for _ in range(5):
        landing.write(bytes(AHEAD // 2 + 1))
    landing.end()
    landing.settle()
    size = 5 * (AHEAD // 2 + 1)
    assert landing.size == size == (tmp_path / "input.part").stat().st_size
    assert len(ranges) == 3
    at = 0
    for offset, length in ranges:
        assert offset == at
        at += length
    assert at == size


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    with server(tmp_path / "spool", port, environ={"PROTOSCALE_MAX_UPLOAD": "32M"}):
        yield port


def test_large_pictures_arrive_whole_over_one_connection_in_turns_with_small_ones(
    port: int, tmp_path: Path
) -> None:
    """Several on a kept connection: nothing of one body is left over for the next."""
    sent = [picture() + os.urandom(size) for size in (0, 9_000_000, 300, 70_000, 3_000_000, 300_000)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for content in sent:
        connection.request(
            "POST",
            "/api/upload",
            body(content),
            {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"},
        )
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 201, told
    connection.close()
    spool = Spool.open(tmp_path / "spool")
    jobs = sorted(spool.waiting("held"))
    assert [(spool.root / "held" / job / "input.png").read_bytes() for job in jobs] == sent


def test_a_body_in_single_bytes_and_one_in_chunks_arrive_whole(port: int, tmp_path: Path) -> None:
    content = picture() + os.urandom(100)
    whole = body(content)
    kind = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY
    head = b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + kind
    single = [head + b"\r\nContent-Length: %d\r\n\r\n" % len(whole), *(bytes([one]) for one in whole)]
    chunked = [head + b"\r\nTransfer-Encoding: chunked\r\n\r\n"]
    chunked += [
        b"%x\r\n%b\r\n" % (len(whole[at : at + 7]), whole[at : at + 7]) for at in range(0, len(whole), 7)
    ]
    for pieces in (single, [*chunked, b"0\r\n\r\n"]):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
    spool = Spool.open(tmp_path / "spool")
    jobs = spool.waiting("held")
    assert [(spool.root / "held" / job / "input.png").read_bytes() for job in jobs] == [content] * 2


def head_of(whole: bytes) -> bytes:
    """The head of the request whose body that is."""
    return (
        b"POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=%b\r\n"
        b"Content-Length: %d\r\n\r\n" % (BOUNDARY, len(whole))
    )


def test_a_sender_that_vanishes_in_a_large_body_leaves_nothing(port: int, tmp_path: Path) -> None:
    whole = body(picture() + bytes(8_000_000))
    drafts = tmp_path / "spool" / "tmp"
    for sent in (2 * forms.PIECE, len(whole) - 1):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.sendall(head_of(whole) + whole[:sent])
            until(lambda: any(drafts.iterdir()), 60)
        until(lambda: not any(drafts.iterdir()), 60)
    assert list((tmp_path / "spool" / "held").iterdir()) == []


def test_a_full_queue_refuses_a_large_picture_before_it_is_whole(tmp_path: Path) -> None:
    """Room is asked for when the picture begins, and a small one has no draft before it is there."""
    root, port = tmp_path / "spool", free_port()
    whole = body(picture() + bytes(8_000_000))
    with server(root, port, environ={"PROTOSCALE_MAX_UPLOAD": "32M", "PROTOSCALE_MAX_QUEUE": "1"}):
        send(port, picture(), start="true")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head_of(whole) + whole[: 2 * forms.PIECE])
            assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert list((root / "tmp").iterdir()) == []
