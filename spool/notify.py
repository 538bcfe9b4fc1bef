"""Telling systemd: sd_notify(3) over its datagram socket, and nothing where there is no systemd."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Systemd:
    """The service manager's end of the conversation. `None` address: nobody listens.

    That it cannot be told is no error (it is away, or there is no descriptor to tell it by): who dies of it, or does
    not drain, takes the running jobs along.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(environ.get("WATCHDOG_USEC", 0)) / 1e6 if for_us else 0.0
        self._last = ""
        self._is_deaf = False

    def tell(self, *lines: str) -> bool:
        """Send assignments such as READY=1. False where it did not hear them, though it should."""
        if not self._address:
            return True
        try:
            self._send(self._address, "\n".join(lines))
        except OSError as error:
            if not self._is_deaf:
                log.warning("systemd did not hear %s: %s", ", ".join(lines), error)
            self._is_deaf = True
            return False
        self._is_deaf = False
        return True

    def _send(self, address: str, text: str) -> None:
        # A leading @ is systemd's way of writing an abstract socket, whose name starts with a NUL.
        address = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(text.encode(), address)

    def status(self, text: str) -> None:
        """The line `systemctl status` shows; sent when it changes, until it is heard."""
        if text != self._last and self.tell(f"STATUS={text}"):
            self._last = text

    def stopping(self, seconds: float) -> None:
        """It ends now, and wants `seconds` for that, even where the unit's TimeoutStopSec= is shorter."""
        self.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        if self.watchdog_seconds:
            self.tell("WATCHDOG=1")
