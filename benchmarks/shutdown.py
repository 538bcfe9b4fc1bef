"""How long a service takes to end when it is told to (SIGTERM), idle and with a job in each stage.

    python -m benchmarks.shutdown [--full]

With jobs it is the service with a sleeping engine (`benchmarks/sleeping.py`), so that a stage lasts as long as is
wanted. A stage that ends within the drain limit is finished; one that does not is cut off at its next step, and its
job goes back to its folder with its attempt given back.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, Section
from benchmarks.idle import WEIGHTS
from benchmarks.pipeline import drafted, told, until_ready
from benchmarks.sleeping import STEPS, Pace, environ
from spool.board import Board
from spool.layout import STAGES
from spool.spool import Spool
from spool.status import read_attempts
from tests.service import ROOT, running
from tests.support import until

ROUNDS = {True: 9, False: 3}
LIMIT = 1.0
"""Seconds of `PROTOSCALE_DRAIN_LIMIT` here; 30 by default."""
SHORT, LONG = 0.6, 6.0
"""Seconds of a stage: one that ends within the limit, and one that does not."""


def measure(full: bool) -> Section:
    """End it again and again."""
    rounds = range(ROUNDS[full])
    idle = [when_idle() for _ in rounds]
    short = [with_jobs(SHORT) for _ in rounds]
    long = [with_jobs(LONG) for _ in rounds]
    at_most = LIMIT + LONG / STEPS + 1.0
    figures = [
        Figure("idle, with the HTTP server", "s", idle, 1.0),
        Figure(f"a job in each stage, {SHORT:g} s long", "s", short, SHORT + 1.0),
        Figure(f"a job in each stage, {LONG:g} s long, limit {LIMIT:g} s", "s", long, at_most),
        Figure("of that beyond the limit and a step of the engine", "s", [one - LIMIT - LONG / STEPS for one in long]),
    ]
    how = (
        "From SIGTERM to the end of the supervisor's process, which outlives all others. Two workers for background "
        "removal and texture and one for geometry, each in the first step of its stage. Afterwards every job lies in "
        "the folder it belongs to, and the attempts that were cut off are not counted (both asserted)."
    )
    return Section("shutdown", "Shutdown", how, figures)


def when_idle() -> float:
    """Seconds."""
    with (
        tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder,
        running(Path(folder) / "spool", WEIGHTS, PROTOSCALE_LOG_LEVEL="warning") as service,
    ):
        until(lambda: (board := service.board()) and all(slot.state == "idle" for slot in board.workers), 60)
        assert service.process
        began = time.perf_counter()
        service.process.terminate()
        service.process.wait(60)
        return time.perf_counter() - began


def with_jobs(seconds: float) -> float:
    """Seconds, with a job in each stage."""
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        folder = Path(name)
        spool, trace = Spool.open(folder / "spool"), folder / "trace"
        trace.mkdir()
        pace = Pace((seconds, seconds, seconds), 1.0)
        variables = environ(spool.root, pace, trace, ("cpu",), "cpu,cpu")
        variables["PROTOSCALE_DRAIN_LIMIT"] = str(LIMIT)
        for at, stage in enumerate(STAGES):
            queue(spool, at, stage.folder)
        service = subprocess.Popen([sys.executable, "-m", "benchmarks.sleeping"], cwd=ROOT, env=variables)
        try:
            until(lambda: running_stages(spool) == {stage.name for stage in STAGES}, 60)
            began = time.perf_counter()
            service.terminate()
            service.wait(120)
            took = time.perf_counter() - began
        finally:
            service.kill()
            service.wait()
        check(spool, cut_off=seconds > LIMIT)
        return took


def queue(spool: Spool, at: int, folder: str) -> None:
    """A job that waits in `folder`, with the products of the stages before it."""
    draft = drafted(spool, at)
    draft.publish(folder)
