"""A client that does not read what it asked for is dropped, and does not hold the server's memory for ever."""

from __future__ import annotations

import asyncio
import socket

import anyio
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from httpd import patience
from tests.http.live import in_loop


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer without an end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with anyio.fail_after(60):
        while True:
            await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
            await asyncio.sleep(0)


def test_who_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "READER", 0.5)

    async def scene() -> None:
        async with in_loop(endless, 10.0) as (address, state):
            with socket.create_connection(address) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                with anyio.fail_after(60):
                    while not state.connections:
                        await asyncio.sleep(0.01)
                    (protocol,) = state.connections
                    while state.connections:
                        await asyncio.sleep(0.01)
            assert protocol.transport.is_closing()
            for task in list(state.tasks):
                task.cancel()
            await asyncio.gather(*state.tasks, return_exceptions=True)

    asyncio.run(scene())


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """A large answer is several writes: with Nagle's algorithm on, the last waits for the client's delayed ACK."""

    async def scene() -> int:
        async with in_loop(endless, 10.0) as (address, state):
            with socket.create_connection(address), anyio.fail_after(60):
                while not state.connections:
                    await asyncio.sleep(0.01)
                (protocol,) = state.connections
                accepted = protocol.transport.get_extra_info("socket")
                found = int(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                protocol.transport.close()
        return found

    assert asyncio.run(scene()) == 1


async def measure(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that tells the path and how long the body was."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"%s %d" % (scope["path"].encode(), size)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def talk(*pieces: bytes, header_seconds: float = 60.0, app: ASGIApp = measure) -> bytes:
    """What a server answers to a connection on which these pieces come, each by itself; a head may take so long."""

    async def scene() -> bytes:
        async with in_loop(app, header_seconds) as (address, _):
            reader, writer = await asyncio.open_connection(*address)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.05)
            with anyio.fail_after(60):
                told = await reader.read()
            writer.close()
            await writer.wait_closed()
        return told

    return asyncio.run(scene())


END = b"\r\nConnection: close\r\n\r\n"
GET_AND_CLOSE = b"GET /last HTTP/1.1\r\nHost: x" + END


def test_a_head_over_the_limit_is_refused_whole_or_in_pieces() -> None:
    long = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + bytes(40 << 10).replace(b"\0", b"a")
    assert talk(long + END).startswith(b"HTTP/1.1 431 ")
    assert talk(*(long[at : at + 4000] for at in range(0, 24_000, 4000))).startswith(b"HTTP/1.1 431 ")


def test_a_head_that_stops_is_told_and_silence_is_not() -> None:
    assert talk(b"GET / HTTP/1.1\r\nHost: x\r\n", header_seconds=0.5).startswith(b"HTTP/1.1 408 ")
    assert talk(header_seconds=0.5) == b""


def test_a_body_is_no_head_and_requests_in_a_row_are_all_answered() -> None:
    body = bytes(100_000)
    post = b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    told = talk(
        post + body[:30_000],
        body[30_000:],
        b"GET /two HTTP/1.1\r\nHost: x\r\n\r\nGET /th",
        b"ree HTTP/1.1" + END,
    )
    assert [word in told for word in (b"/one 100000", b"/two 0", b"/three 0")] == [True, True, True]


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


def test_trailers_are_read_past_and_none_is_kept() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        body = b" ".join(name for name, _ in scope["headers"])
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    told = talk(CHUNKED + b"0\r\n", b"X-Late: 1\r\nExpect: 100-continue\r\n\r\n", GET_AND_CLOSE, app=app)
    assert told.count(b"HTTP/1.1 200 ") == 2
    assert b"host transfer-encoding" in told and b"x-late" not in told and b"expect" not in told


@pytest.mark.parametrize("trailer", [b"X-%d: y\r\n", b"a%d"], ids=["many", "one without end"])
def test_trailers_over_the_limit_close_the_connection(trailer: bytes) -> None:
    piece = b"".join(trailer % number for number in range(1000))
    pieces = [CHUNKED + b"0\r\nX-Long: ", *[piece] * (1 + patience.MAX_HEADERS // len(piece))]
    assert talk(*pieces) == b""


def test_a_body_of_tiny_chunks_is_none_of_that() -> None:
    # One byte of body in each piece, and more bytes around them than a head may have.
    extension = b";" + b"x" * 4000
    told = talk(CHUNKED, *[b"1" + extension + b"\r\n", b"a\r\n"] * 8, b"0\r\n\r\n", GET_AND_CLOSE)
    assert b"/ 11" in told
