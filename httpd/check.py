"""Whether the server could start here, for `protoscale doctor`: what it would refuse at its start is refused here."""

from __future__ import annotations

import http.client
import json
from contextlib import closing

from httpd.access import needs_key
from httpd.config import HttpConfig
from httpd.listener import PortTaken, listen

PATIENCE = 5.0


def check(config: HttpConfig) -> str:
    """Take the port for a moment, and say how it stands. Raises SpoolError where the server could not start."""
    where = f"{config.host}:{config.port}"
    try:
        with listen(config) as listener:
            keys = "needed" if needs_key(config, listener) else "not needed"
    except PortTaken:
        if not _is_ours(config):
            raise
        return f"answers on {where}"
    return f"{where} is free, keys are {keys}"


def _is_ours(config: HttpConfig) -> bool:
    """Whether the one who has the port is a ProtoScale."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    try:
        with closing(http.client.HTTPConnection(host, config.port, timeout=PATIENCE)) as connection:
            connection.request("GET", "/health", headers={"Host": "localhost"})
            told = json.loads(connection.getresponse().read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return isinstance(told, dict) and "accepting_uploads" in told
