"""The least that a server on asyncio can do with an upload: no routes, no form, no job.

python -m benchmarks.sink PORT [FOLDER]

It reads what Content-Length says and drops it. With a folder it writes it there as it comes, on the loop, and answers
after an fsync in a thread.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sys
from pathlib import Path

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
_numbers = itertools.count()


class Sink(asyncio.Protocol):
    """One connection, one upload."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._head: bytes | None = b""
        self._left = 0
        self._file = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Where the answer goes."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """The head, then the body."""
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            found = LENGTH.search(head + b"\r\n")
            assert found
            self._head, self._left = None, int(found[1])
            if self._folder:
                self._file = os.open(self._folder / str(next(_numbers)), os.O_WRONLY | os.O_CREAT)
        self._left -= len(data)
        if self._folder:
            os.write(self._file, data)
        if self._left == 0:
            if self._folder:
                kept = asyncio.get_running_loop().run_in_executor(None, self._keep)
                kept.add_done_callback(lambda _: self._answer())
            else:
                self._answer()

    def _keep(self) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def _answer(self) -> None:
        self._transport.write(ANSWER)
        self._transport.close()


async def serve(port: int, folder: Path | None) -> None:
    """Until stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(folder), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None))
