"""The least that any server can do with an upload that it keeps: a thread a connection, from the socket into a file.

    python -m benchmarks.funnel PORT FOLDER

No event loop, no parser but for Content-Length, nothing but the kernel's two copies and one fsync. What it leaves to
be reached is what the machine leaves once the sender takes its part of it.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

from benchmarks.sink import ANSWER, LENGTH

_PIECE = 1 << 20


class Funnel(ThreadingTCPServer):
    """Keeps every body in a file of its own below `folder`."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(("127.0.0.1", port), Upload)
        self.folder = folder
        self.numbers = itertools.count()


class Upload(BaseRequestHandler):
    """One connection, one upload."""

    def handle(self) -> None:
        """The head, then the body by megabytes."""
        assert isinstance(self.server, Funnel)
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.request.recv(1 << 16)
            if not more:
                return  # somebody asked whether we are there
            head += more
        head, _, body = head.partition(b"\r\n\r\n")
        found = LENGTH.search(head + b"\r\n")
        assert found
        left = int(found[1]) - len(body)
        file = os.open(self.server.folder / str(next(self.server.numbers)), os.O_WRONLY | os.O_CREAT)
        os.write(file, body)
        piece = memoryview(bytearray(_PIECE))
        while left:
            size = self.request.recv_into(piece[: min(left, _PIECE)])
            os.write(file, piece[:size])
            left -= size
        os.fsync(file)
        os.close(file)
        self.request.sendall(ANSWER)


if __name__ == "__main__":
    Funnel(int(sys.argv[1]), Path(sys.argv[2])).serve_forever()
