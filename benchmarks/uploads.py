"""Uploads of 1 to 20 MB by 1 to 32 clients, against a program that only writes and fsyncs the same bytes.

    python -m benchmarks uploads

The program has as many threads as there are clients; each writes its files one after the other and fsyncs them. The
clients are threads of one process that send what was read into memory before; both take turns.
"""

from __future__ import annotations

import http.client
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil

from benchmarks.figures import Curve, Figure, Plot, Section
from benchmarks.overhead import a_photo
from benchmarks.reads import server
from spool.spool import Spool

MB = 1_000_000
BYTES_A_TURN = 320 * MB
BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gWx"
"""As long as those that clients send."""


def measure(full: bool) -> Section:
    """Every size with every number of clients, ours and the program in turns."""
    sizes, clients, turns = ((1, 5, 20), (1, 2, 4, 8, 16, 32), 5) if full else ((1, 20), (1, 8), 2)
    volume = BYTES_A_TURN if full else BYTES_A_TURN // 8
    figures, curves, memory = [], [], []
    photo = a_photo()
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        raw = Path(folder) / "raw"
        with server(spool, PROTOSCALE_MAX_UPLOAD="64M") as ours:
            process = psutil.Process(ours.pid)
            idle = process.memory_info().rss
            for size in sizes:
                content = photo + bytes(size * MB - len(photo))
                shares = []
                for count in clients:
                    each = max(1, volume // (size * MB * count))
                    mine, theirs = [], []
                    for _ in range(turns):
                        theirs.append(_timed(count, each, partial(_write, raw, content)))
                        shutil.rmtree(raw, ignore_errors=True)
                        mine.append(_timed(count, each, partial(_post, ours.port, content)))
                        for path in (spool.root / "held").iterdir():
                            shutil.rmtree(path)
                        memory.append(process.memory_info().rss)
                    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
                    name = f"{size} MB, {count} client{'s' if count > 1 else ''}"
                    figures.append(Figure(f"{name}: rate to the program's", "x", ratios, 0.8, at_most=False))
                    figures.append(
                        Figure(f"{name}: rate", "MB/s", [size * each * count / one for one in mine])
                    )
                    shares.append(figures[-2].median)
                curves.append(Curve(f"{size} MB", clients, shares))
    figures.append(
        Figure("memory of the server, the most over what it had idle", "MB", [(max(memory) - idle) / MB])
    )
    quarter = max(1, len(memory) // 4)
    growth = Figure("", "", memory[-quarter:]).median / Figure("", "", memory[quarter : 2 * quarter]).median
    figures.append(Figure("memory of the server, last quarter over the second", "x", [growth], 1.1))
    return Section(
        "uploads",
        "Uploads",
        f"{turns} turns of {volume / MB:.0f} MB each; multipart, one connection a client, all on the disk before the "
        "answer; the program writes and fsyncs files of the same size with as many threads",
        figures,
        plots=[Plot("uploads", "Uploads against write and fsync", "clients", "rate, x", curves, log_x=True)],
    )


def _timed(clients: int, each: int, one: Callable[[int], None]) -> float:
    """Seconds for so many clients to do `each` in a row."""

    def work(client: int) -> None:
        for turn in range(each):
            one(client * each + turn)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(clients)))
    return time.perf_counter() - began


def _write(folder: Path, content: bytes, number: int) -> None:
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left[: 1 << 20]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _post(port: int, content: bytes, number: int) -> None:
    head = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n\r\n'
    tail = b"\r\n--" + BOUNDARY + b"--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.putrequest("POST", "/api/upload")
    connection.putheader("Content-Type", "multipart/form-data; boundary=" + BOUNDARY.decode())
    connection.putheader("Content-Length", str(len(head) + len(content) + len(tail)))
    connection.endheaders(head)
    connection.send(content)
    connection.send(tail)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"refused: {told!r}")
