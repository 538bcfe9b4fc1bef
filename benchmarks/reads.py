"""Status reads over kept connections while jobs move, beside a bare Starlette route that reads one file.

    python -m benchmarks reads

One server process on one core, the client and the process that moves jobs on another, in turns with the bare server.

The queue is one that an operator has, but for its pace: a supervisor's board and finished jobs are there, so each
status has an estimate to tell; and each turn begins with all jobs waiting, the first of them on the move, so that
every move changes what is told to everybody behind. A hundred moves a second are many times what two cards do.
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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from benchmarks.figures import Figure, Section
from benchmarks.httpd_load import submit
from httpd.__main__ import LOOP
from spool import layout, lock
from spool.board import BUSY, Board, Slot
from spool.spool import Spool
from spool.status import Status
from tests.service import free_port

ROOT = Path(__file__).resolve().parent.parent
JOBS = 1000
FINISHED = 20
"""Jobs that are done already: what estimates are learned from."""
CONNECTIONS = 8
MOVES = 100
"""A second."""
STAGE = 0.04
"""Seconds that a stage took: two workers at that pace make about as many moves."""
WAY = (
    layout.INBOX,
    "running/bench",
    layout.GEOMETRY,
    "running/bench",
    layout.TEXTURE,
    "running/bench",
    layout.DONE,
)


@dataclass(frozen=True)
class Turn:
    """What a client heard of one server. Times in microseconds."""

    rate: float
    latencies: list[int]
    cost: float
    """CPU of the server a read."""
    missing: int
    """Answers that were no status."""

    @property
    def p99(self) -> float:
        return Figure("", "", self.latencies).percentile(0.99)


def measure(full: bool) -> Section:
    """Turns of a few seconds, ours and then the bare routes: first while jobs move, then with nothing moving."""
    turns, seconds = 10 if full else 3, 2.0
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        jobs = laid(spool)
        paths = Path(folder) / "paths"
        paths.write_text("\n".join(f"/api/jobs/{job}/status" for job in jobs))
        sample = Path(folder) / "status.json"
        sample.write_bytes(json.dumps({"filler": "x" * 480}).encode())
        with (
            supervised(spool),
            server(spool, server_core) as ours,
            bare(sample, server_core, LOOP, "httptools") as plain,
            bare(sample, server_core, "uvloop", "httptools") as quick,
        ):

            def turn(seconds: float) -> list[Turn]:
                return [heard(one, seconds, paths, client_core) for one in (ours, plain, quick)]

            turn(1.0)  # warming up
            has_all(ours, jobs[-1])
            moved, paces = [], []
            for _ in range(turns):
                with moving(spool, jobs, client_core) as pace:
                    moved.append(turn(seconds))
                paces.append(pace.rate)
            rested = [turn(seconds) for _ in range(max(2, turns // 3))]
            memory = psutil.Process(ours.pid).memory_info().rss
    mine, plainly, quickly = zip(*moved, strict=True)
    return Section(
        "reads",
        "Status reads",
        f"{JOBS} jobs with estimates, {MOVES} moves a second, {CONNECTIONS} connections, {turns} turns of "
        f"{seconds:g} s; one server process on core {server_core}, the client and who moves on core {client_core}; "
        "the bare route, on the loop and the HTTP parser that ours uses, reads a file of half a kilobyte",
        [
            Figure("status reads a second", "1/s", [one.rate for one in mine], 3000, at_most=False),
            Figure("p99 of a turn", "ms", [one.p99 / 1000 for one in mine], 10),
            Figure("answers that were no status", "", [sum(one[0].missing for one in (*moved, *rested))], 0),
            Figure("CPU of the server a read", "µs", [one.cost for one in mine]),
            Figure("bare route", "1/s", [one.rate for one in plainly]),
            Figure("CPU of the bare route a read", "µs", [one.cost for one in plainly]),
            Figure("ours to the bare route", "x", [a.rate / b.rate for a, b, _ in moved], 0.6, at_most=False),
            Figure("the same by CPU a read", "x", [b.cost / a.cost for a, b, _ in moved]),
            Figure("ours to the bare route, at rest", "x", [a.rate / b.rate for a, b, _ in rested]),
            Figure("the same by CPU a read, at rest", "x", [b.cost / a.cost for a, b, _ in rested]),
            Figure("bare route on uvloop and httptools", "1/s", [one.rate for one in quickly]),
            Figure("moves", "1/s", paces),
            Figure("resident memory of the server", "MB", [memory / 2**20]),
        ],
    )


def laid(spool: Spool) -> list[str]:
    """Jobs that wait, in their order, after some that are done."""
    spool.enlist("bench")
    took = {stage.name: STAGE for stage in layout.STAGES}
    for _ in range(FINISHED):
        job = submit(spool)
        Status(message="done", engine="none", timings=took).write(spool.root / layout.INBOX / job)
        (spool.root / layout.INBOX / job).rename(spool.root / layout.DONE / job)
    return [submit(spool) for _ in range(JOBS)]


@contextmanager
def supervised(spool: Spool) -> Iterator[None]:
    """As a supervisor with two workers shows itself to readers."""
    held = lock.take(spool.root)
    stages = tuple(stage.name for stage in layout.STAGES)
    slots = tuple(
        Slot(name, "all", "cpu", stages, BUSY, None, None, None, 0, 1.0, None, 0)
        for name in ("bench", "other")
    )
    Board(os.getpid(), "2026-01-01T00:00:00+00:00", "none", None, (), slots).write(spool.root)
    try:
        yield
    finally:
        os.close(held)


def has_all(served: Served, job: str) -> None:
    """Raise RuntimeError where the last job is told without place or estimate: that would be half of a status."""
    with urlopen(f"http://127.0.0.1:{served.port}/api/jobs/{job}/status") as answer:
        told = json.load(answer)
    if told["queue_position"] != JOBS or not told["estimate"]:
        raise RuntimeError(f"this is not what an operator's clients are told: {told}")


def heard(served: Served, seconds: float, paths: Path, core: int) -> Turn:
    """Ask one server for some seconds."""
    process = psutil.Process(served.pid)
    before = sum(process.cpu_times()[:2])
    told = ask(served.port, seconds, paths, core)
    cost = sum(process.cpu_times()[:2]) - before
    missing = sum(count for code, count in told["codes"].items() if code != "200")
    latencies = told["latencies"]
    return Turn(len(latencies) / told["seconds"], latencies, 1e6 * cost / len(latencies), missing)


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


class Pace:
    """How fast jobs moved."""

    rate = 0.0


@contextmanager
def moving(spool: Spool, jobs: list[str], core: int) -> Iterator[Pace]:
    """Rename one job after the other along its way, in a thread that sleeps in between; then lay all of them back."""
    over, pace = threading.Event(), Pace()

    def work() -> None:
        os.sched_setaffinity(threading.get_native_id(), {core})
        began, moves = time.monotonic(), 0
        for job in jobs:
            for here, there in pairwise(WAY):
                if over.wait(max(0.0, began + moves / MOVES - time.monotonic())):
                    pace.rate = moves / (time.monotonic() - began)
                    return
                (spool.root / here / job).rename(spool.root / there / job)
                moves += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield pace
    finally:
        over.set()
        thread.join()
        for folder in dict.fromkeys(WAY[1:]):
            for job in set(jobs).intersection(os.listdir(spool.root / folder)):
                (spool.root / folder / job).rename(spool.root / layout.INBOX / job)
