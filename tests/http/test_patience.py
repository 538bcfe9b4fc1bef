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
