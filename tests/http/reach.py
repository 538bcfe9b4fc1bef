"""What a decoder that was taken over might try: `python -m tests.http.reach WHAT`, or as a child of a zygote."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from spool import confine
from spool.zygote import serve


def reach(arguments: Sequence[Any], file: BinaryIO, answer: BinaryIO) -> None:
    """Try it, and where that was allowed tell how long the file is."""
    what = arguments[0]
    confine.enter(64 << 20, 2)
    if what == "network":
        socket.create_connection(("127.0.0.1", int(arguments[1])), 2).close()
    elif what == "file":
        Path("/etc/passwd").read_bytes()
    elif what == "memory":
        bytearray(512 << 20)
    elif what == "time":
        while True:
            pass
    elif what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "flood":
        for _ in range(1000):
            answer.write(b"x" * 65536)
            answer.flush()
    elif what == "descriptors":
        answer.write(f"{opened()}\n".encode())
    elif what == "process":
        answer.write(f"{os.getpid()}\n".encode())
    answer.write(f"{len(file.read())}\n".encode())


def opened() -> list[int]:
    """The descriptors that are open; no directory can be read to see them."""
    found = []
    for descriptor in range(256):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        reach(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer)
    else:
        serve(reach)
