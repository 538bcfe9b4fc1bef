"""systemd's end of sd_notify(3): a real datagram socket, and what arrived at it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path


class Ear:
    """Listens at `path` once `open` was called, until `close`."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self._path = path
        self._socket: socket.socket | None = None

    def open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)

    def close(self) -> None:
        """Whoever sends from now on gets an error."""
        if self._socket:
            self._socket.close()
            self._path.unlink()
            self._socket = None

    def heard(self) -> list[str]:
        """The messages since the last call, each with its lines."""
        assert self._socket is not None
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self._socket.recv(4096).decode())
        return messages
