"""The HTTP server as a process of its own, and its protocol in the test's own loop."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from uvicorn.server import ServerState

from httpd import patience
from tests.service import ROOT
from tests.support import until


@contextmanager
def server(
    spool: Path, port: int, *arguments: str, wait: bool = True, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m httpd` on a port; killed at the end."""
    environ = {
        "PATH": os.environ["PATH"],
        "PROTOSCALE_SPOOL": str(spool),
        "PROTOSCALE_PORT": str(port),
        "PROTOSCALE_RESERVE": "1M",
        **options.pop("environ", {}),
    }
    process = subprocess.Popen([sys.executable, "-m", "httpd", *arguments], cwd=ROOT, env=environ, **options)
    try:
        if wait:
            until(lambda: answers(port), 60)
        yield process
    finally:
        process.kill()
        process.communicate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def send(port: int, content: bytes, **fields: str) -> Any:
    answer = httpx.post(
        f"http://127.0.0.1:{port}/api/upload", files={"file": ("photo.png", content)}, data=fields, timeout=30
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


@asynccontextmanager
async def in_loop(app: Any, header_seconds: float) -> AsyncIterator[tuple[tuple[str, int], ServerState]]:
    """Serve an application by our protocol, on the socket that `httpd.__main__` makes: its address, and who is there.

    At the end nobody is, and the socket is closed.
    """
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    state, make = ServerState(), patience.patient(header_seconds)
    # asyncio's own listeners would set TCP_NODELAY by themselves.
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(
        lambda: make(config=config, server_state=state, app_state={}), sock=listener
    )
    try:
        yield listener.getsockname(), state
    finally:
        server.close()
        while state.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the listener is closed in the loop's next turn
