"""Status reads over kept connections while jobs move, beside a bare Starlette route that reads one file.

    python -m benchmarks reads

One server process on one core, the client and the process that moves jobs on another, in turns with the bare server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure, Section
from benchmarks.httpd_load import submit
from httpd.__main__ import LOOP
from spool import layout
from spool.spool import Spool
from tests.service import free_port

ROOT = Path(__file__).resolve().parent.parent
JOBS = 1000
CONNECTIONS = 8
MOVES = 100
"""A second."""
WAY = (
    layout.INBOX,
    "running/bench",
    layout.GEOMETRY,
    "running/bench",
    layout.TEXTURE,
    "running/bench",
    layout.DONE,
)


def measure(full: bool) -> Section:
    """Turns of a few seconds: ours, then the bare route."""
    # Ten turns take as long as it takes to move all jobs: in the last nothing but done ones is left.
    turns, seconds = 10 if full else 3, 2.0
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        spool.enlist("bench")
        jobs = [submit(spool) for _ in range(JOBS)]
        paths = Path(folder) / "paths"
        paths.write_text("\n".join(f"/api/jobs/{job}/status" for job in jobs))
        sample = Path(folder) / "status.json"
        sample.write_bytes(json.dumps({"filler": "x" * 480}).encode())
        with (
            server(spool, server_core) as ours,
            bare(sample, server_core, LOOP, "httptools") as plain,
            bare(sample, server_core, "uvloop", "httptools") as quick,
            moving(spool, jobs, client_core),
        ):
            process = psutil.Process(ours.pid)
            rates, p99s, costs, plains, quicks, ratios = [], [], [], [], [], []
            missing = 0
            for turn in range(turns + 1):
                before = sum(process.cpu_times()[:2])
                mine = ask(ours.port, seconds if turn else 1.0, paths, client_core)
                cost = sum(process.cpu_times()[:2]) - before
                missing += sum(count for code, count in mine["codes"].items() if code != "200")
                others = [
                    ask(one.port, seconds if turn else 1.0, paths, client_core) for one in (plain, quick)
                ]
                if not turn:
                    continue  # warming up
                rates.append(rate(mine))
                costs.append(1e6 * cost / len(mine["latencies"]))
                plains.append(rate(others[0]))
                quicks.append(rate(others[1]))
                ratios.append(rates[-1] / plains[-1])
                p99s.append(Figure("", "", mine["latencies"]).percentile(0.99) / 1000)
            memory = process.memory_info().rss
    return Section(
        "reads",
        "Status reads",
        f"{JOBS} jobs, {MOVES} moves a second, {CONNECTIONS} connections, {turns} turns of {seconds:g} s; one server "
        f"process on core {server_core}, the client on core {client_core}; the bare route, on the loop "
        "and the HTTP parser that ours uses, reads a file of half a kilobyte",
        [
            Figure("status reads a second", "1/s", rates, 3000, at_most=False),
            Figure("p99 of a turn", "ms", p99s, 10),
            Figure("answers that were no status", "", [missing], 0),
            Figure("CPU of the server a read", "µs", costs),
            Figure("bare route", "1/s", plains),
            Figure("ours to the bare route", "x", ratios, 0.6, at_most=False),
            Figure("bare route on uvloop and httptools", "1/s", quicks),
            Figure("resident memory of the server", "MB", [memory / 2**20]),
        ],
    )


def ask(port: int, seconds: float, paths: Path, core: int) -> dict[str, Any]:
    """What one run of the client says."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.client",
        str(port),
        str(seconds),
        str(CONNECTIONS),
        str(paths),
        str(core),
    ]
    told: dict[str, Any] = json.loads(
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    )
    return told


def rate(told: dict[str, Any]) -> float:
    """Answers a second."""
    return float(len(told["latencies"]) / told["seconds"])


class Served:
    """A server process that answers."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid


@contextmanager
def server(spool: Spool, core: int | None = None, **environ: str) -> Iterator[Served]:
    """One `python -m httpd`."""
    port = free_port()
    told = {
        **os.environ,
        "PROTOSCALE_SPOOL": str(spool.root),
        "PROTOSCALE_PORT": str(port),
        "PROTOSCALE_LOG_LEVEL": "warning",
        "PROTOSCALE_RESERVE": "1M",
        **environ,
    }
    with _running([sys.executable, "-m", "httpd"], port, core, told) as served:
        yield served


@contextmanager
def bare(file: Path, core: int, loop: str, parser: str) -> Iterator[Served]:
    """The bare route."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port), str(file), loop, parser]
    with _running(command, port, core, {**os.environ}) as served:
        yield served


@contextmanager
def _running(command: list[str], port: int, core: int | None, environ: dict[str, str]) -> Iterator[Served]:
    import socket

    process = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"{command} does not answer") from None
                time.sleep(0.02)
        yield Served(port, process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def moving(spool: Spool, jobs: list[str], core: int) -> Iterator[None]:
    """Rename one job after the other along its way, in a thread that sleeps in between."""
    over = threading.Event()

    def work() -> None:
        os.sched_setaffinity(threading.get_native_id(), {core})
        for job in jobs:
            for here, there in pairwise(WAY):
                if over.wait(1 / MOVES):
                    return
                (spool.root / here / job).rename(spool.root / there / job)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
