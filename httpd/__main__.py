"""`python -m httpd`: the server process."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import socket
import sys

import uvicorn

from httpd.access import needs_key
from httpd.app import create_app
from httpd.config import HttpConfig
from httpd.patience import MAX_HEADERS, patient
from httpd.quiet import QuietServer
from httpd.webhooks import Postman
from spool.errors import SpoolError
from spool.logs import to_stderr
from spool.parent import die_with
from spool.settings import read
from spool.spool import Spool

log = logging.getLogger(__name__)

EX_CONFIG = 78
"""The exit code that means: starting me again will not help."""
FIRST_INHERITED = 3
DRAIN = 10
"""Seconds that open requests have when the server is told to stop."""


def main() -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    options = argparse.ArgumentParser(prog="python -m httpd", description="ProtoScale's HTTP server")
    options.add_argument("--parent", type=int, help="die with the process of this id")
    parent = options.parse_args().parent
    if parent is not None:
        die_with(parent)
    try:
        config = read(HttpConfig)
        to_stderr(config.log_level, "httpd", config.log_format)
        Spool.open(config.spool)
        listener = inherited() or listen(config)
        app = create_app(config, require_key=needs_key(config, listener))
    except SpoolError as error:
        print(f"protoscale: {error}", file=sys.stderr)
        return EX_CONFIG
    server = QuietServer(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=DRAIN,
            server_header=False,
            lifespan="off",
            http=patient(config.header_timeout),
            h11_max_incomplete_event_size=MAX_HEADERS,
        ),
        on_stop=app.state.feed.close,
    )
    if config.callback_hosts:
        Postman(app.state.spool, config).start()
    log.info("serving on %s", listener.getsockname())
    with listener:
        server.run(sockets=[listener])
    return 0


def inherited() -> socket.socket | None:
    """The listening socket that systemd passes (sd_listen_fds(3)), if it does."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not int(os.environ.get("LISTEN_FDS", 0)):
        return None
    return socket.socket(fileno=FIRST_INHERITED)


def listen(config: HttpConfig) -> socket.socket:
    """A socket on the configured address. Raises SpoolError where that cannot be had."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=1024)
    except OSError as error:
        advice = (
            "stop what uses it, or set PROTOSCALE_PORT"
            if error.errno == errno.EADDRINUSE
            else "see PROTOSCALE_HOST"
        )
        raise SpoolError(
            f"cannot listen on {config.host}:{config.port} ({error.strerror}); {advice}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
