"""A server that systemd can watch, and that can be replaced under load without dropping a connection."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from httpd.quiet import QuietServer
from spool.notify import Systemd

LINGER = 2.0
"""Seconds that open connections without a request have to send one before the server closes them."""
LOOK = 0.02


class Handover(QuietServer):
    """Tells systemd when it serves and that it lives, and ends so that no client notices.

    uvicorn, told to stop, closes at once every connection that has no request under way: also one that it has
    just accepted, whose request is on the wire. So this server first stops accepting (with socket activation new
    connections now wait in the kernel's queue for the next server), goes on answering for up to LINGER seconds,
    each answer saying `Connection: close`, and only then lets uvicorn close what stayed silent.
    """

    def __init__(
        self, config: uvicorn.Config, closing: Closing, systemd: Systemd, on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self._closing = closing
        self._systemd = systemd
        self._is_heard = False

    async def on_tick(self, counter: int) -> bool:
        """Once a second, from the event loop itself: where that hangs, systemd hears nothing and starts another."""
        if not self._is_heard:  # the first tick is when it serves
            self._is_heard = self._systemd.tell("READY=1", "STATUS=serving")
        self._systemd.alive()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what was accepted, end."""
        self._systemd.tell("STOPPING=1", "STATUS=answering open requests")
        self._closing.now = True
        self._on_stop()  # streams have no end of their own: each stop would wait out the whole drain
        # Not server.close() yet: asyncio drops a connection that it accepted in the same turn of its loop.
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        until = time.monotonic() + LINGER
        # A connection that was accepted a moment ago enters the set in the loop's next turns.
        await asyncio.sleep(LOOK)
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(LOOK)
        await super().shutdown(sockets)


class Closing:
    """Wraps the application; from `now` on, each answer tells the client to open a new connection next time."""

    def __init__(self, app: ASGIApp) -> None:
        self.now = False
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if self.now and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, answer)
