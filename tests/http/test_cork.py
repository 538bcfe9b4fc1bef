"""Small pieces of one turn go out together, and none of them waits for more than the end of its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from httpd.cork import SMALL, Cork
from tests.http.live import in_loop


class Wire(asyncio.Transport):
    """A transport that keeps what is sent, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.end = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return bool(self.end)

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return name


def corked(what: Callable[[Cork], None]) -> Wire:
    """What was sent when a turn in which `what` was done is over."""

    async def scene() -> Wire:
        wire = Wire()
        what(Cork(wire, asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return wire

    return asyncio.run(scene())


BIG = b"x" * (SMALL + 1)


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [
        ([b"head"], [b"head"]),
        ([b"head", b"body"], [b"headbody"]),
        ([b"head", b"body", b"more"], [b"headbody", b"more"]),
        ([b"head", b""], [b"head"]),
        ([b""], []),
        ([b"head", BIG], [b"head" + BIG]),
        ([BIG, b"tail"], [BIG, b"tail"]),
        ([BIG, BIG], [BIG, BIG]),
    ],
)
def test_pieces_of_a_turn_go_out_in_order_and_none_stays(pieces: list[bytes], sent: list[bytes]) -> None:
    def write(cork: Cork) -> None:
        for piece in pieces:
            cork.write(piece)

    assert corked(write).sent == sent


def test_what_is_held_back_is_sent_before_the_end_but_not_before_an_abort() -> None:
    def say(end: str) -> Callable[[Cork], None]:
        def what(cork: Cork) -> None:
            cork.write(b"the last word")
            getattr(cork, end)()
            assert cork.is_closing()

        return what

    closed, aborted = corked(say("close")), corked(say("abort"))
    assert (closed.sent, closed.end) == ([b"the last word"], "closed")
    assert (aborted.sent, aborted.end) == ([], "aborted")


def test_in_all_else_it_is_the_transport() -> None:
    def what(cork: Cork) -> None:
        assert cork.get_extra_info("socket") == "socket"
        assert not cork.is_closing()

    assert corked(what).sent == []


def test_a_stream_is_heard_piece_by_piece_though_nothing_follows() -> None:
    heard = anyio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        """The next piece comes only when the client has the one before."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-early", b"yes")]})
        for word in (b"one", b"two"):
            await heard.wait()
            await send({"type": "http.response.body", "body": word, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def scene() -> None:
        nonlocal heard
        async with in_loop(stream, 60.0) as (address, state):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with anyio.fail_after(60):
                assert b"x-early: yes" in await reader.readuntil(b"\r\n\r\n")
                assert all(isinstance(one.transport, Cork) for one in state.connections)
                heard.set()
                assert (await reader.read()).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
            writer.close()
            await writer.wait_closed()

    asyncio.run(scene())
