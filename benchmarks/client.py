"""A client that only reads: a few connections kept open, one request at a time on each, in a process of its own.

    python -m benchmarks.client PORT SECONDS CONNECTIONS PATHS_FILE [CORE]

Prints one line of JSON: how many answers of each status, over how long, and every latency in microseconds. Written on
sockets and epoll alone, so that one core of client is enough for one core of server.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from array import array
from collections import Counter
from itertools import cycle
from pathlib import Path


def main() -> int:
    """Ask until time is up."""
    port, seconds, connections = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    paths = Path(sys.argv[4]).read_text().split()
    if len(sys.argv) > 5:
        os.sched_setaffinity(0, {int(sys.argv[5])})
    requests = cycle([f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in paths])
    waiting = select.epoll()
    sockets: dict[int, tuple[socket.socket, bytearray]] = {}
    asked: dict[int, float] = {}
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[one.fileno()] = one, bytearray()
        waiting.register(one.fileno(), select.EPOLLIN)
    codes: Counter[str] = Counter()
    latencies = array("d")
    began = time.perf_counter()
    for number, (one, _) in sockets.items():
        asked[number] = time.perf_counter()
        one.sendall(next(requests))
    until = began + seconds
    while asked:
        for number, _ in waiting.poll(10):
            one, got = sockets[number]
            got += one.recv(65536)
            head = got.find(b"\r\n\r\n")
            if head < 0 or len(got) < head + 4 + length_of(got):
                continue
            now = time.perf_counter()
            latencies.append(1e6 * (now - asked.pop(number)))
            codes[got[9:12].decode()] += 1
            got.clear()
            if now < until:
                asked[number] = now
                one.sendall(next(requests))
    took = time.perf_counter() - began
    print(json.dumps({"codes": codes, "seconds": took, "latencies": [round(one) for one in latencies]}))
    return 0


def length_of(head: bytearray) -> int:
    """The Content-Length of an answer."""
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 : head.find(b"\r", at)])


if __name__ == "__main__":
    sys.exit(main())
