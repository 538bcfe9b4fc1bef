"""What every route needs: the spool and the settings. There is nothing else to share."""

from __future__ import annotations

from starlette.requests import Request

from httpd.config import HttpConfig
from spool.spool import Spool


def spool_of(request: Request) -> Spool:
    """The spool this server writes to and reads from."""
    spool: Spool = request.app.state.spool
    return spool


def config_of(request: Request) -> HttpConfig:
    """This server's settings."""
    config: HttpConfig = request.app.state.config
    return config
