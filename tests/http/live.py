"""The HTTP server as a process of its own, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.service import ROOT
from tests.support import until


@contextmanager
def server(spool: Path, port: int, *, wait: bool = True, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m httpd` on a port; killed at the end."""
    environ = {
        "PATH": os.environ["PATH"],
        "PROTOSCALE_SPOOL": str(spool),
        "PROTOSCALE_PORT": str(port),
        "PROTOSCALE_RESERVE": "1M",
        **options.pop("environ", {}),
    }
    process = subprocess.Popen([sys.executable, "-m", "httpd"], cwd=ROOT, env=environ, **options)
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
