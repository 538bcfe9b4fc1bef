"""Uploads of 1 to 20 MB by 1 to 32 clients, against a program that only writes and fsyncs the same bytes.

    python -m benchmarks uploads

The program has as many threads as there are clients; each writes its files one after the other and fsyncs them. The
clients are threads of one process that send what was read into memory before. How much of the rate is theirs, how
much asyncio's, and how much any server's, is told by the same clients at three bare ones: one on asyncio drops the
bytes, one on asyncio only writes and fsyncs them (`benchmarks/sink.py`), and one does the same with a thread a
connection (`benchmarks/funnel.py`). All take turns. What a turn wrote is emptied, not deleted: ext4 passes over every
inode that was freed in the last minutes, and would charge the next turn for it.
"""

from __future__ import annotations

import http.client
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from benchmarks.figures import Curve, Figure, Plot, Section
from benchmarks.form import post
from benchmarks.overhead import a_photo
from benchmarks.reads import Served, server
from benchmarks.reads import _running as running
from spool.spool import Spool
from tests.service import free_port

MB = 1_000_000
BYTES_A_TURN = 320 * MB
STEADY = 20
"""Turns of the largest uploads by the most clients, over which memory is to stay as it is."""


def measure(full: bool) -> Section:
    """Every size with every number of clients, ours, the program and the bare servers in turns."""
    sizes, clients, turns = ((1, 5, 20), (1, 2, 4, 8, 16, 32), 5) if full else ((1, 20), (1, 8), 3)
    volume = BYTES_A_TURN if full else BYTES_A_TURN // 8
    figures, curves = [], []
    photo = a_photo()
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        raw, kept, funnelled = places = [Path(folder) / name for name in ("raw", "kept", "funnelled")]
        for place in places:
            place.mkdir()
        with (
            server(spool, PROTOSCALE_MAX_UPLOAD="64M") as ours,
            _bare("sink") as dropping,
            _bare("sink", kept) as keeping,
            _bare("funnel", funnelled) as funnel,
        ):
            for served in (ours, dropping, keeping, funnel):
                _post(served.port, photo)  # the first request imports what the others find
            process = psutil.Process(ours.pid)
            idle = process.memory_info().rss
            numbers = itertools.count()
            ways: dict[str, Callable[[bytes], object]] = {
                "program": lambda content: _write(raw / str(next(numbers)), content),
                "ours": lambda content: _post(ours.port, content),
                "dropped": lambda content: _post(dropping.port, content),
                "kept": lambda content: _post(keeping.port, content),
                "funnelled": lambda content: _post(funnel.port, content),
            }
            for size in sizes:
                content = photo + bytes(size * MB - len(photo))
                shares = []
                for count in clients:
                    each = max(1, volume // (size * MB * count))
                    took: dict[str, list[float]] = {way: [] for way in ways}
                    costs = []
                    for _ in range(turns):
                        for way, one in ways.items():
                            before = sum(process.cpu_times()[:2])
                            took[way].append(_timed(count, each, partial(one, content)))
                            if way == "ours":
                                costs.append(1000 * (sum(process.cpu_times()[:2]) - before) / (count * each))
                        _empty(*places, spool.root / "held")
                    share, *parts = _figures(
                        f"{size} MB, {_clients(count)}", size * each * count, took, costs
                    )
                    figures += [share, *parts]
                    shares.append(share.median)
                curves.append(Curve(f"{size} MB", clients, shares))
            memory = []
            for _ in range(STEADY):
                _timed(count, each, partial(_post, ours.port, content))
                memory.append(process.memory_info().rss)
                _empty(spool.root / "held")
    figures.append(
        Figure("memory of the server, the most over what it had idle", "MB", [(max(memory) - idle) / MB])
    )
    quarter = STEADY // 4
    growth = Figure("", "", memory[-quarter:]).median / Figure("", "", memory[quarter : 2 * quarter]).median
    figures.append(
        Figure(
            f"memory over {STEADY} turns of the last kind, last quarter over the second", "x", [growth], 1.1
        )
    )
    return Section(
        "uploads",
        "Uploads",
        f"{turns} turns of {volume / MB:.0f} MB each; multipart, one connection a client, all on the disk before the "
        "answer; the program writes and fsyncs files of the same size with as many threads; the bare servers "
        "parse no form and make no job",
        figures,
        plots=[Plot("uploads", "Uploads against write and fsync", "clients", "rate, x", curves, log_x=True)],
    )


def _figures(name: str, megabytes: int, took: dict[str, list[float]], costs: list[float]) -> list[Figure]:
    """The ratio that is held against the reach, and what it is made of."""
    program = took["program"]

    def ratio(way: str) -> list[float]:
        return [theirs / mine for mine, theirs in zip(took[way], program, strict=True)]

    return [
        Figure(f"{name}: rate to the program's", "x", ratio("ours"), 0.8, at_most=False),
        Figure(f"{name}: rate", "MB/s", [megabytes / one for one in took["ours"]]),
        Figure(f"{name}: CPU of the server an upload", "ms", costs),
        Figure(f"{name}: a bare server that drops the bytes, to the program", "x", ratio("dropped")),
        Figure(f"{name}: a bare server that writes and fsyncs them, to the program", "x", ratio("kept")),
        Figure(f"{name}: the same with a thread a connection", "x", ratio("funnelled")),
    ]


def _clients(count: int) -> str:
    return f"{count} client{'s' if count > 1 else ''}"


@contextmanager
def _bare(name: str, folder: Path | None = None) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", f"benchmarks.{name}", str(port), *([str(folder)] if folder else [])]
    with running(command, port, None, {**os.environ}) as served:
        yield served


def _empty(*folders: Path) -> None:
    """Give the disk back what lies in the files below these, not their inodes."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".json":
                os.truncate(path, 0)


def _timed(clients: int, each: int, one: Callable[[], object]) -> float:
    """Seconds for so many clients to do `each` in a row."""

    def work(client: int) -> None:
        for _ in range(each):
            one()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(clients)))
    return time.perf_counter() - began


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left[: 1 << 20]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _post(port: int, content: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    post(connection, content)
    connection.close()
