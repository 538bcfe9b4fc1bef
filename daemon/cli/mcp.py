"""`protoscale mcp`: the service as tools of an assistant (Model Context Protocol, over stdin and stdout)."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from daemon.cli import exits
from spool.settings import SpoolSettings, read


def run() -> int:
    """Serve until the client closes stdin. The package `mcp` comes with the extra of the same name."""
    if find_spec("mcp") is None:
        print("protoscale: this needs the package mcp; pip install 'protoscale[mcp]'", file=sys.stderr)
        return exits.CONFIG
    from daemon.cli import assistant

    assistant.server(read(SpoolSettings)).run("stdio")
    return exits.OK
