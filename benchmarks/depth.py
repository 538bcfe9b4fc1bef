"""Whether it matters how many jobs wait: claims, status reads, uploads, memory and start-up with 10 to 100,000.

    python -m benchmarks depth

The jobs are laid into the spool without the fsyncs that a submission has; all that is timed is the service's own.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figures import Curve, Figure, Plot, Section
from benchmarks.form import post
from benchmarks.httpd_load import submit
from benchmarks.overhead import a_photo
from benchmarks.peers.ours import WORKER, Ours
from benchmarks.reads import server
from spool import layout
from spool.line import Head
from spool.spool import Spool
from tests.support import config

CALLS = ("claim", "status read", "upload")


@dataclass(frozen=True)
class Depth:
    """What was measured with so many jobs waiting; times in milliseconds, memory in bytes."""

    times: Mapping[str, Sequence[float]]
    memory: int
    recovery: float


def measure(full: bool) -> Section:
    """Each depth on a spool of its own, all kept until the end: what one deletes, ext4 charges the next for."""
    depths = (10, 1000, 100_000) if full else (10, 1000)
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        found = {depth: at(Path(folder) / str(depth), depth, 200 if full else 40) for depth in depths}
    least = found[depths[0]]
    figures = []
    for call in CALLS:
        usual = Figure("", "", least.times[call]).median
        for depth in depths:
            figures.append(Figure(f"{call}, {depth:,} waiting", "ms", found[depth].times[call]))
            if depth != depths[0]:
                ratio = figures[-1].median / usual
                figures.append(Figure(f"{call}, {depth:,} waiting, to {depths[0]}", "x", [ratio], 1.5))
    for depth in depths[1:]:
        growth = (found[depth].memory - least.memory) / (depth - depths[0])
        # Of a thousand jobs it says nothing: a page of memory more or less is four bytes a job.
        reach = 200.0 if depth >= 100_000 else None
        figures.append(
            Figure(f"memory of supervisor and worker a job, {depth:,} waiting", "bytes", [growth], reach)
        )
        reach = 5.0 if depth >= 100_000 else None
        figures.append(Figure(f"recovery at start, {depth:,} waiting", "s", [found[depth].recovery], reach))
    curves = [
        Curve(call, depths, [Figure("", "", found[depth].times[call]).median for depth in depths])
        for call in CALLS
    ]
    return Section(
        "depth",
        "Depth of the queue",
        "Claims by a worker's own line, status reads of any waiting job over one kept connection, uploads of 200 KB "
        "that start at once; memory is what only these processes have (USS); recovery is all that the supervisor "
        "does before it starts its workers",
        figures,
        plots=[
            Plot("depth", "Depth of the queue", "jobs waiting", "ms (median)", curves, log_x=True, log_y=True)
        ],
    )


def at(folder: Path, depth: int, samples: int) -> Depth:
    """Everything with `depth` jobs waiting in the inbox of a spool below `folder`."""
    spool = Spool.open(folder / "spool")
    spool.enlist("bench")
    jobs = [submit(spool) for _ in range(depth)]
    recovery = _recovery(spool)
    with server(spool, PROTOSCALE_MAX_QUEUE="0") as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        chance = random.Random(1)
        times = {
            "claim": _claims(spool, min(samples, depth)),
            "status read": _timed(samples, lambda: _read(connection, chance.choice(jobs))),
            "upload": _timed(min(samples, 60), lambda: post(connection, a_photo(), start="true")),
        }
    return Depth(times, _memory(folder / "service", spool), recovery)


def _timed(samples: int, what: Callable[[], object]) -> list[float]:
    what()
    taken = []
    for _ in range(samples):
        began = time.perf_counter()
        what()
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def _claims(spool: Spool, samples: int) -> list[float]:
    """Claims in a row, the readings of the line among them; what was claimed is laid back afterwards."""
    head = Head(spool.root, layout.INBOX)
    taken = []
    for _ in range(samples):
        began = time.perf_counter()
        job = spool.claim(layout.INBOX, "bench", head)
        taken.append(1e3 * (time.perf_counter() - began))
        assert job
    for name in os.listdir(spool.root / "running" / "bench"):
        (spool.root / "running" / "bench" / name).rename(spool.root / layout.INBOX / name)
    return taken


def _read(connection: http.client.HTTPConnection, job: str) -> None:
    connection.request("GET", f"/api/jobs/{job}/status")
    answer = connection.getresponse()
    assert b"queue_position" in answer.read()


def _recovery(spool: Spool) -> float:
    """Seconds that the supervisor takes for what an earlier one may have left."""
    from daemon.supervisor import Supervisor
    from spool.notify import Systemd

    supervisor = Supervisor(config(spool.root), Systemd({}), with_http=False)
    began = time.perf_counter()
    supervisor.recover()
    took = time.perf_counter() - began
    supervisor.wake.close()
    return took


def _memory(folder: Path, spool: Spool) -> int:
    """Bytes that supervisor and worker have for themselves while one job runs and the others wait."""
    service = Ours(folder)
    shutil.rmtree(service.spool.root)
    spool.root.rename(service.spool.root)
    (folder / "sleep").write_text("600")
    service.start()
    try:
        deadline = time.monotonic() + 120
        running = service.spool.root / "running" / WORKER
        while not any((path / layout.CUTOUT_PNG).exists() for path in running.iterdir()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no job runs: {service.said()}")
            time.sleep(0.1)
        time.sleep(6)  # a scan of the fallback kind, and a board or two
        return sum(process.memory_full_info().uss for process in service.processes() if _is_ours(process))
    finally:
        service.stop()


def _is_ours(process: psutil.Process) -> bool:
    """The supervisor and the worker, not multiprocessing's resource tracker."""
    return "resource_tracker" not in " ".join(process.cmdline())
