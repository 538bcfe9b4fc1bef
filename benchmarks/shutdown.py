"""How long a service takes to end when it is told to (SIGTERM), idle and with a job in each stage.

    python -m benchmarks.shutdown [--full]

With jobs it is the service with a sleeping engine (`benchmarks/sleeping.py`), so that a stage lasts as long as is
wanted. A stage that ends within the drain limit is finished; one that does not is cut off at its next step, and its
job goes back to its folder with its attempt given back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PIL.PngImagePlugin import PngInfo
from trimesh import Trimesh, creation

from benchmarks.figures import Figure, Section
from benchmarks.idle import WEIGHTS
from benchmarks.pipeline import drafted, told, until_ready
from benchmarks.sleeping import STEPS, Pace, environ, photo
from daemon.engines.glb import write_glb
from daemon.record import KEY
from spool.draft import Draft
from spool.layout import CUTOUT_PNG, DONE, GEOMETRY, GEOMETRY_GLB, INBOX, RUNNING, STAGES, TEXTURE
from spool.spool import Spool
from spool.status import read_attempts
from tests.service import ROOT, running
from tests.support import until

ROUNDS = {True: 9, False: 3}
LIMIT = 1.0
"""Seconds of `PROTOSCALE_DRAIN_LIMIT` for the long stages; the short ones have the 30 it is by default."""
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
        Figure(
            "of that beyond the limit and a step of the engine",
            "s",
            [one - LIMIT - LONG / STEPS for one in long],
        ),
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
        if seconds > LIMIT:
            variables["PROTOSCALE_DRAIN_LIMIT"] = str(LIMIT)
        drafts = [drafted_for(spool, at, stage.folder) for at, stage in enumerate(STAGES)]
        service = subprocess.Popen([sys.executable, "-m", "benchmarks.sleeping"], cwd=ROOT, env=variables)
        try:
            until_ready(spool, service)
            until_quiet(service.pid)
            for draft, stage in zip(drafts, STAGES, strict=True):
                draft.publish(stage.folder)
            until(lambda: all(spool.waiting(f"{RUNNING}/{worker}") for worker in spool.workers()), 60)
            began = time.perf_counter()
            service.terminate()
            service.wait(120)
            took = time.perf_counter() - began
        finally:
            service.kill()
            service.wait()
        check(spool, cut_off=seconds > LIMIT)
        return took


def until_quiet(pid: int) -> None:
    """Until every process of the service has imported what it needs, the finishers too, which nothing else tells."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]

    def spent() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in family)

    def quiet() -> bool:
        before = spent()
        time.sleep(1.0)
        return spent() - before < 0.03

    until(quiet, 120)


def drafted_for(spool: Spool, at: int, folder: str) -> Draft:
    """A job with the products of the stages before `folder`."""
    draft = drafted(spool, at)
    if folder != INBOX:
        text = PngInfo()
        text.add_text(KEY, json.dumps({"facts": {}, "notes": []}))
        photo(at).save(draft.path / CUTOUT_PNG, pnginfo=text)
    if folder == TEXTURE:
        sphere: Trimesh = creation.icosphere(subdivisions=1)
        (draft.path / GEOMETRY_GLB).write_bytes(write_glb(sphere, {}))
    return draft


def check(spool: Spool, *, cut_off: bool) -> None:
    """That every job lies where it belongs, and answers for no attempt that was cut off."""
    found = {folder: spool.waiting(folder) for folder in (INBOX, GEOMETRY, TEXTURE, DONE)}
    assert sum(len(jobs) for jobs in found.values()) == len(STAGES), found
    if cut_off:
        assert [len(jobs) for jobs in found.values()] == [1, 1, 1, 0], found
        for folder, jobs in found.items():
            assert not any(
                count for job in jobs for count in read_attempts(spool.root / folder / job).values()
            )
    else:
        assert found[DONE], found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    print(told(measure(parser.parse_args().full)))
