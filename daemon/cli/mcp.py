"""`protoscale mcp`: the service as tools of an assistant (Model Context Protocol, over stdin and stdout)."""

from __future__ import annotations

from importlib.util import find_spec

from daemon.cli import exits
from daemon.extras import installed
from spool.logs import complain
from spool.settings import SpoolSettings, read


def run() -> int:
    """Serve until the client closes stdin. The package `mcp` comes with the extra of the same name."""
    if find_spec("mcp") is None:
        complain(f"this needs the package mcp; run {installed('mcp')}")
        return exits.CONFIG
    from daemon.cli import assistant

    assistant.server(read(SpoolSettings)).run("stdio")
    return exits.OK
