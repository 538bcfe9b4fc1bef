"""The socket that the server listens on."""

from __future__ import annotations

import errno
import os
import socket

from httpd.config import HttpConfig
from spool.errors import SpoolError


class PortTaken(SpoolError):
    """Somebody listens on the configured address already."""


def listen(config: HttpConfig) -> socket.socket:
    """A socket on the configured address. Raises SpoolError; PortTaken where another has it."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=1024)
    except OSError as error:
        # Python adds to the kernel's words what the person knows; a name that means no address has no number there.
        number = error.errno or 0
        words = os.strerror(number) if number > 0 else error.strerror
        where = f"cannot listen on {config.host}:{config.port} ({words})"
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"{where}; stop what uses it, or set PROTOSCALE_PORT") from None
        raise SpoolError(f"{where}; see PROTOSCALE_HOST") from None
