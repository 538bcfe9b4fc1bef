"""`python -m httpd.postman`: the process that only delivers webhooks, for HTTP servers that have no network."""

from __future__ import annotations

import os
import signal
import sys

from httpd.config import HttpConfig
from httpd.webhooks import Postman
from spool.errors import SpoolError
from spool.logs import complain, to_stderr
from spool.notify import Systemd
from spool.settings import read
from spool.spool import Spool

EX_CONFIG = 78
"""The exit code that means: starting me again will not help."""
STOPS = (signal.SIGTERM, signal.SIGINT)


class WebhooksOff(SpoolError):
    """There is nothing to deliver: the process must not start."""


def main() -> int:
    """Deliver until SIGTERM or SIGINT, and end after the delivery that is under way. Returns the exit code."""
    try:
        config = read(HttpConfig)
        to_stderr(config.log_level, "webhooks", config.log_format, "protoscale-webhooks")
        if not config.callback_hosts:
            raise WebhooksOff(
                "webhooks are off: name the hosts that they may go to in PROTOSCALE_CALLBACK_HOSTS"
            )
        postman = Postman(Spool.open(config.spool), config)
    except SpoolError as error:
        complain(str(error))
        return EX_CONFIG
    return _deliver(postman, Systemd(os.environ))


def _deliver(postman: Postman, systemd: Systemd) -> int:
    # Blocked here and so in the thread too: they wait until they are asked for below.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    postman.start()
    # Only now: the HTTP server, which is started after this, warns where nobody delivers.
    postman.asked.wait()
    systemd.tell("READY=1", "STATUS=delivering webhooks")
    while postman.is_alive():
        if signal.sigtimedwait(STOPS, 1.0):
            systemd.tell("STOPPING=1")
            postman.stop()
            postman.join()
            return 0
    return 1  # its traceback is on stderr; whoever started this starts it again


if __name__ == "__main__":
    sys.exit(main())
