"""What a server tells systemd, from its start to its end. It serves at a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from httpd.handover import Closing, Handover
from spool.notify import Systemd
from tests.ear import Ear
from tests.support import until

READY = "READY=1\nSTATUS=serving"
STOPPING = "STOPPING=1\nSTATUS=answering open requests"


def serve(ear: Ear, meanwhile: Callable[[], None]) -> None:
    """Serve while `meanwhile` runs, which may block, and end in good order."""
    app = Closing(Starlette())
    server = Handover(uvicorn.Config(app, log_config=None), app, Systemd(ear.environ), lambda: None)

    async def both(listener: socket.socket) -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.to_thread(until, lambda: server.started)
            await asyncio.to_thread(meanwhile)
        finally:
            server.handle_exit(0, None)  # no real signal: uvicorn would send it to us again
            await serving

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(both(listener))


def test_a_server_says_when_it_serves_and_when_it_ends(ear: Ear) -> None:
    heard: list[str] = []
    serve(ear, lambda: heard.extend(until(ear.heard)))
    assert [*heard, *ear.heard()] == [READY, STOPPING]


def test_a_server_whose_ready_was_not_heard_serves_and_says_it_again(ear: Ear) -> None:
    """systemd would end it when the start's time is over."""
    ear.close()
    heard: list[str] = []

    def systemd_comes_back() -> None:
        ear.open()
        heard.extend(until(ear.heard))

    serve(ear, systemd_comes_back)
    assert [*heard, *ear.heard()] == [READY, STOPPING]
