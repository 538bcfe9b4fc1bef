"""Telling systemd: sd_notify(3) over its datagram socket, and nothing where there is no systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Systemd:
    """The service manager's end of the conversation. `None` address: nobody listens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(environ.get("WATCHDOG_USEC", 0)) / 1e6 if for_us else 0.0
        self._last = ""

    def tell(self, *lines: str) -> None:
        """Send assignments such as READY=1."""
        if not self._address:
            return
        # A leading @ is systemd's way of writing an abstract socket, whose name starts with a NUL.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(lines).encode(), address)

    def status(self, text: str) -> None:
        """The line `systemctl status` shows; sent when it changes."""
        if text != self._last:
            self._last = text
            self.tell(f"STATUS={text}")

    def stopping(self, seconds: float) -> None:
        """It ends now, and wants `seconds` for that, even where the unit's TimeoutStopSec= is shorter."""
        self.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        if self.watchdog_seconds:
            self.tell("WATCHDOG=1")
