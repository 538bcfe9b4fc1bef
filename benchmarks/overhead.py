"""What the service itself costs: stages that do nothing, a 200 KB photo, every write on the disk, beside others.

    python -m benchmarks overhead

All systems run at once and take turns, so that whatever the machine does to one it does to all. Each has one worker.
The others run one task a job, we run three stages; their task leaves its result in a file, fsynced, as ours do.
"""

from __future__ import annotations

import io
import random
import signal
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from benchmarks.figures import Figure, Section
from benchmarks.peers.system import NotHere, System

OURS = ("ours:Ours", "ours:OursPosted", "ours:OursDecoding")
PEERS = (
    "with_celery:OnCelery",
    "with_celery:OnCelerySolo",
    "with_dramatiq:OnDramatiq",
    "with_rq:OnRq",
    "with_huey:OnHueySqlite",
    "with_huey:OnHueyFile",
    "with_litserve:OnLitServe",
)
PACKAGES = ("celery", "dramatiq", "rq", "huey", "litserve", "redis")
PHOTO_BYTES = 200_000
# Patience with the killed: kombu gives back what was not acknowledged at every tenth look, and looks every 10 s.
STRIKE_AFTER, STRIKE_SLEEP = 0.6, 1.5
"""Seconds: into a job of this length the worker is killed."""


class Run:
    """What was measured of one system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.latencies: list[float] = []
        self.rates: list[float] = []
        self.cpu: list[float] = []
        self.struck = 0.0
        self.survives: float | None = None

    def one(self, photo: bytes) -> None:
        """One job with nothing else to do: milliseconds until its result is there."""
        count = self.system.count()
        self.system.prepare(photo)
        began = time.perf_counter()
        self.system.submit(photo)
        self._wait(count + 1)
        self.latencies.append(1e3 * (time.perf_counter() - began))

    def many(self, photo: bytes, jobs: int) -> None:
        """A burst: jobs a second, and CPU milliseconds a job of all its processes."""
        self.system.clear()
        for _ in range(jobs):
            self.system.prepare(photo)
        used, began = self.system.cpu_seconds(), time.perf_counter()
        for _ in range(jobs):
            self.system.submit(photo)
        self._wait(jobs)
        self.rates.append(jobs / (time.perf_counter() - began))
        self.cpu.append(1e3 * (self.system.cpu_seconds() - used) / jobs)
        self.system.clear()

    def strike(self, photo: bytes) -> None:
        """Kill the worker in the middle of a job, and start another."""
        self.system.clear()
        self.system.prepare(photo)
        self.system.submit(photo, STRIKE_SLEEP)
        time.sleep(STRIKE_AFTER)
        self.system.strike()
        self.struck = time.perf_counter()

    def look(self) -> None:
        """Whether the job of the killed worker is done by now."""
        if self.survives is None and self.system.count():
            self.survives = time.perf_counter() - self.struck

    def _wait(self, count: int) -> None:
        if not self.system.wait_for(count):
            raise RuntimeError(f"{self.system.name}: a job never came to its end: {self.system.said()}")


def measure(full: bool) -> Section:
    """Everything that can be run here, in turns."""
    rounds, bursts, jobs, patience = (200, 5, 200, 300.0) if full else (30, 2, 40, 200.0)
    facts = {name: version(name) for name in PACKAGES}
    photo = a_photo()
    facts["photo"] = f"{len(photo)} bytes"
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        runs = list(_started(Path(folder), facts))
        try:
            runs = [run for run in runs if _warmed_up(run, photo, facts)]
            for _ in range(rounds):
                for run in runs:
                    run.one(photo)
            for _ in range(bursts):
                for run in runs:
                    run.many(photo, jobs)
            for run in runs:
                run.strike(photo)
            deadline = time.monotonic() + patience
            while any(run.survives is None for run in runs) and time.monotonic() < deadline:
                for run in runs:
                    run.look()
                time.sleep(0.05)
        finally:
            for run in runs:
                run.system.stop()
    facts |= {
        f"{run.system.name}: kill -9 of its worker": "the job is done all the same, "
        f"{run.survives:.1f} s later"
        if run.survives is not None
        else f"the job was not done within {patience:.0f} s"
        for run in runs
    }
    facts |= {f"{run.system.name}: set to": run.system.setting for run in runs if run.system.setting}
    return Section(
        "overhead",
        "Overhead of the service",
        f"{rounds} jobs one at a time, {bursts} bursts of {jobs}; one worker each; in turns; a result counts when it "
        "lies in its folder, looked for every 0.2 ms; CPU of all processes of a system (its server and Redis too), "
        "without the client's; Redis in the safest way: appendonly, appendfsync always",
        [*figures(runs)],
        facts=facts,
    )


def figures(runs: list[Run]) -> Iterable[Figure]:
    """Every row; ours are held against the best of the others."""
    peers = [run for run in runs if not _is_ours(run)]
    quickest = min((Figure("", "", run.latencies).median for run in peers), default=None)
    safe = [run for run in peers if run.survives is not None]
    fastest = max((Figure("", "", run.rates).median for run in safe), default=None)
    celery = next(
        (Figure("", "", run.cpu).median for run in peers if run.system.name == "Celery + Redis"), None
    )
    for run in runs:
        name = run.system.name
        held = _is_ours(run) and "decoded" not in name
        latency = Figure(f"{name}: latency", "ms", run.latencies, quickest if held else None)
        yield latency
        yield Figure(
            f"{name}: p99 of the latency over its median",
            "x",
            [latency.percentile(0.99) / latency.median],
            3.0 if held else None,
        )
        yield Figure(f"{name}: jobs a second", "1/s", run.rates, fastest if held else None, at_most=False)
        yield Figure(f"{name}: CPU a job", "ms", run.cpu, celery / 2 if held and celery else None)


@cache
def a_photo(size: int = PHOTO_BYTES) -> bytes:
    """A JPEG file of at least `size` bytes, of noise, the same each time."""
    side = 320
    while True:
        noise = Image.frombytes("RGB", (side, side), random.Random(1).randbytes(3 * side * side))
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", quality=90)
        if buffer.tell() >= size:
            return buffer.getvalue()
        side += 16


def _started(folder: Path, facts: dict[str, str]) -> Iterable[Run]:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in (*OURS, *PEERS):
        module, kind = name.split(":")
        system: System = getattr(import_module(f"benchmarks.peers.{module}"), kind)(folder / kind)
        try:
            system.start()
        except NotHere as error:
            facts[f"{system.name}: left out"] = f"{error} {system.said()}".strip()
            system.stop()
        else:
            yield Run(system)


def _warmed_up(run: Run, photo: bytes, facts: dict[str, str]) -> bool:
    """A few jobs that are not counted. One of the others that does not get them done is left out, and told of."""
    try:
        for _ in range(5):
            run.one(photo)
    except (RuntimeError, OSError) as error:
        run.system.stop()
        if _is_ours(run):
            raise
        facts[f"{run.system.name}: left out"] = str(error)
        return False
    run.latencies.clear()
    return True


def _is_ours(run: Run) -> bool:
    return run.system.name.startswith("ProtoScale")
