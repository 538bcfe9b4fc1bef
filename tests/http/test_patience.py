"""A client that does not read what it asked for is dropped, and does not hold the server's memory for ever."""

from __future__ import annotations

import asyncio
import socket

import anyio
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from httpd import patience


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
        loop = asyncio.get_running_loop()
        state = ServerState()
        config = uvicorn.Config(endless, lifespan="off", log_config=None)
        make = patience.patient(10.0)
        server = await loop.create_server(
            lambda: make(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        with socket.create_connection(server.sockets[0].getsockname()) as connection:
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
        server.close()

    asyncio.run(scene())


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Head and body are two writes: with Nagle's algorithm on, the second waits for the client's delayed ACK."""

    async def scene() -> int:
        config = uvicorn.Config(endless, lifespan="off", log_config=None)
        state, make = ServerState(), patience.patient(10.0)
        # As `httpd.__main__` makes it; asyncio's own listeners would set the option by themselves.
        listener = socket.create_server(("127.0.0.1", 0))
        server = await asyncio.get_running_loop().create_server(
            lambda: make(config=config, server_state=state, app_state={}), sock=listener
        )
        with socket.create_connection(listener.getsockname()), anyio.fail_after(60):
            while not state.connections:
                await asyncio.sleep(0.01)
            (protocol,) = state.connections
            accepted = protocol.transport.get_extra_info("socket")
            found = int(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            protocol.transport.close()
        server.close()
        return found

    assert asyncio.run(scene()) == 1
