"""What a confined decoder that was taken over might try: `python -m tests.http.reach WHAT`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from spool import confine

if __name__ == "__main__":
    confine.enter(64 << 20, 2)
    if sys.argv[1] == "network":
        socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2).close()
    elif sys.argv[1] == "file":
        Path("/etc/passwd").read_bytes()
    elif sys.argv[1] == "memory":
        bytearray(512 << 20)
    elif sys.argv[1] == "time":
        while True:
            pass
    print(len(sys.stdin.buffer.read()))
