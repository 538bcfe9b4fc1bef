"""The HTTP server as `protoscale doctor` looks at it: by asking it, since `daemon` does not import `httpd`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import daemon
from daemon.finding import BROKEN, OK, WARN, Finding

PATIENCE = 60.0
"""Seconds for the server's process to import what it needs and to answer."""

VARIABLES = (
    "PROTOSCALE_HOST",
    "PROTOSCALE_PORT",
    "PROTOSCALE_MAX_UPLOAD",
    "PROTOSCALE_REQUIRE_KEY",
    "PROTOSCALE_ALLOWED_HOSTS",
    "PROTOSCALE_MAX_QUEUE",
    "PROTOSCALE_CLIENT_QUEUE",
    "PROTOSCALE_CLIENT_UPLOADS",
    "PROTOSCALE_CLIENT_BYTES",
    "PROTOSCALE_MAX_STREAMS",
    "PROTOSCALE_CALLBACK_HOSTS",
    "PROTOSCALE_CALLBACK_URL",
    "PROTOSCALE_CALLBACK_SECRET",
    "PROTOSCALE_CALLBACK_PRIVATE",
    "PROTOSCALE_HEADER_TIMEOUT",
    "PROTOSCALE_BODY_TIMEOUT",
    "PROTOSCALE_EXPORT_LIMIT",
    "PROTOSCALE_EXPORT_MEMORY",
)
"""What the HTTP server reads; named here because `daemon` does not import `httpd`. A test compares."""


def examine(environ: Mapping[str, str], *, wanted: bool) -> Finding:
    """Whether the server could start with these settings; unless it is `wanted`, it need not."""
    command = [sys.executable, "-m", "httpd", "--check"]
    folder = Path(daemon.__file__).parent.parent  # where our `httpd` is the first that Python finds
    try:
        done = subprocess.run(
            command, env=dict(environ), cwd=folder, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Finding("http server", WARN, f"its check took longer than {PATIENCE:.0f} s", "try again")
    if done.returncode == 0:
        return Finding("http server", OK, done.stdout.strip())
    said = (done.stderr.strip().splitlines() or [f"its check ended with exit code {done.returncode}"])[-1]
    return Finding(
        "http server",
        BROKEN if wanted else WARN,
        said.removeprefix("protoscale: "),
        "see the message; until then `protoscale run` and `protoscale serve` end with exit code 78",
    )
