"""`protoscale run`, `protoscale serve` and `protoscale webhooks`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from daemon.cli.package import root
from daemon.config import Config
from spool.settings import read


def run(no_http: bool) -> int:
    """The supervisor, until it is drained."""
    from daemon import supervisor
    from spool.logs import to_stderr

    config = read(Config)
    # The HTTP server gets another working directory, and must find the same spool.
    os.environ["PROTOSCALE_SPOOL"] = str(config.spool.absolute())
    to_stderr(config.log_level, "supervisor", config.log_format)
    return supervisor.run(config, with_http=config.http and not no_http)


def serve(no_webhooks: bool) -> NoReturn:
    """Become the HTTP server."""
    _become("httpd", *(["--no-webhooks"] if no_webhooks else []))


def webhooks() -> NoReturn:
    """Become the process that delivers webhooks."""
    _become("httpd.postman")


def _become(module: str, *options: str) -> NoReturn:
    """`daemon` never imports `httpd`: they meet in the directory only."""
    config = read(Config)
    os.environ["PROTOSCALE_SPOOL"] = str(config.spool.absolute())
    os.chdir(root())
    os.execv(sys.executable, [sys.executable, "-m", module, *options])
