"""`python -m httpd`: the server process."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys

import uvicorn

from httpd.access import needs_key
from httpd.app import create_app
from httpd.check import check
from httpd.config import HttpConfig
from httpd.handover import Closing, Handover
from httpd.listener import listen
from httpd.patience import patient
from httpd.webhooks import Postman, unserved
from spool import callbacks
from spool.errors import SpoolError
from spool.logs import complain, to_stderr
from spool.notify import Systemd
from spool.parent import die_with
from spool.settings import read
from spool.spool import Spool

log = logging.getLogger(__name__)

EX_CONFIG = 78
"""The exit code that means: starting me again will not help."""
LOOP = "asyncio"
FIRST_INHERITED = 3
DRAIN = 10
"""Seconds that open requests have when the server is told to stop."""


def main() -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    options = _options()
    if options.parent is not None:
        die_with(options.parent)
    try:
        config = read(HttpConfig)
        if options.check:
            print(check(config))
            return 0
        name = "protoscale-httpd" if socket_activated() else "protoscale"
        to_stderr(config.log_level, "httpd", config.log_format, name)
        Spool.open(config.spool)
        listener = inherited() or listen(config)
        app = create_app(config, require_key=needs_key(config, listener))
    except SpoolError as error:
        complain(str(error))
        if options.last_words is not None:
            os.write(options.last_words, str(error).encode())
        return EX_CONFIG
    address = listener.getsockname()
    _warn(config, address)
    closing = Closing(app)
    server = Handover(
        uvicorn.Config(
            closing,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=DRAIN,
            server_header=False,
            lifespan="off",
            http=patient(config.header_timeout),
            ws="none",
            loop=LOOP,
        ),
        closing,
        # As a child of the supervisor it is the supervisor's business: systemd listens to the main process only.
        Systemd(os.environ if options.parent is None else {}),
        on_stop=app.state.feed.close,
    )
    if config.callback_hosts and options.no_webhooks:
        if not callbacks.is_served(config.spool):
            log.warning(unserved())
    elif config.callback_hosts:
        Postman(app.state.spool, config).start()
    log.info("serving on %s", address)
    with listener:
        server.run(sockets=[listener])
    return 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m httpd", description="ProtoScale's HTTP server")
    options.add_argument("--parent", type=int, help="die with the process of this id")
    options.add_argument("--last-words", type=int, help="say on this descriptor, too, why it cannot start")
    options.add_argument("--no-webhooks", action="store_true", help="leave them to `python -m httpd.postman`")
    options.add_argument("--check", action="store_true", help="say whether it could start, and end")
    return options.parse_args()


def _warn(config: HttpConfig, address: object) -> None:
    """Say what the operator may not have meant."""
    if not isinstance(address, tuple):
        return  # a socket in the file system: its mode says who may use it
    host, port = address[:2]
    if socket_activated() and (host, port) != (config.host, config.port):
        log.warning(
            "systemd holds the socket, on %s:%s; PROTOSCALE_HOST and PROTOSCALE_PORT (%s:%s) are not used. To listen "
            "elsewhere: systemctl edit protoscale-httpd.socket",
            host,
            port,
            config.host,
            config.port,
        )


def socket_activated() -> bool:
    """Whether systemd passed a listening socket to this process (sd_listen_fds(3))."""
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0"


def inherited() -> socket.socket | None:
    """The listening socket that systemd passes, if it does. Raises SpoolError where it passes several."""
    if not socket_activated():
        return None
    if os.environ["LISTEN_FDS"] != "1":
        raise SpoolError(
            "systemd passes several sockets, and this server takes one; give protoscale-httpd.socket a single "
            "ListenStream="
        )
    listener = socket.socket(fileno=FIRST_INHERITED)
    listener.set_inheritable(False)
    return listener


if __name__ == "__main__":
    sys.exit(main())
