"""What one spool directory carries: the system calls of a job, how long they take, and how many a day that allows."""

from __future__ import annotations

import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.pipeline import ROOT, drafted, until_done, until_ready
from benchmarks.sleeping import Pace, environ
from spool import durable
from spool.spool import Spool

DAY = 86400.0
COUNTED = ("fsync", "rename", "openat", "getdents64", "write", "read")


def one_directory(facts: dict[str, str]) -> list[Figure]:
    """What a job costs in calls, and how many jobs a day those allow."""
    times = seconds_per_call(200)
    figures = [Figure(name, "us", [1e6 * second for second in samples]) for name, samples in times.items()]
    calls = calls_per_job()
    if calls is None:
        facts["system calls"] = "strace is not here: not counted"
        return figures
    figures += [Figure(f"{name} per job", "calls", [calls.get(name, 0.0)]) for name in COUNTED]
    figures.append(Figure("system calls per job", "calls", [sum(calls.values())]))
    syncs = calls.get("fsync", 0.0)
    each = statistics.fmean(statistics.median(times[name]) for name in times if name.startswith("fsync"))
    renames = calls.get("rename", 0.0) * statistics.median(times["rename"])
    # One after the other, as if the disk did one thing at a time: what a journal does with fsyncs.
    figures.append(Figure("one spool directory carries", "jobs a day", [DAY / (syncs * each + renames)]))
    return figures


def calls_per_job(jobs: int = 12) -> dict[str, float] | None:
    """System calls of all processes of a service for each job it does, by strace; None where that is not here."""
    if not shutil.which("strace"):
        return None
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        folder = Path(name)
        spool, trace = Spool.open(folder / "spool"), folder / "trace"
        trace.mkdir()
        variables = environ(spool.root, Pace((1, 20, 25), 0.005), trace, ("cpu",), "auto")
        service = subprocess.Popen([sys.executable, "-m", "benchmarks.sleeping"], cwd=ROOT, env=variables)
        try:
            drafts = [drafted(spool, at) for at in range(jobs + 1)]
            until_ready(spool, service)
            drafts.pop().publish("inbox")  # what is loaded by the first job is no other's
            until_done(spool, 1, service)
            with counting(service.pid, folder / "counts"):
                for draft in drafts:
                    draft.publish("inbox")
                until_done(spool, jobs + 1, service)
        finally:
            service.terminate()
            service.wait()
        lines = (folder / "counts").read_text().splitlines()
    found = (re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line) for line in lines)
    return {match[2]: int(match[1]) / jobs for match in found if match and match[2] != "total"}


@contextmanager
def counting(pid: int, counts: Path) -> Iterator[None]:
    """Count the system calls of a process and all its children, those to come too, into the file `counts`."""
    family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    options = [part for one in family for part in ("-p", str(one))]
    with subprocess.Popen(
        ["strace", "-f", "-c", "-o", str(counts), *options], stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr
        for _ in family:
            strace.stderr.readline()  # "Process ... attached"
        yield
        strace.send_signal(signal.SIGINT)
        strace.communicate()


def seconds_per_call(rounds: int) -> dict[str, list[float]]:
    """A rename of a folder, a small file written durably, and a folder's fsync, on the disk that benchmarks use."""
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        one, other = Path(name) / "one", Path(name) / "other"
        for folder in (one, other, one / "job"):
            folder.mkdir()
        for at in range(rounds):
            source, target = (one, other) if at % 2 == 0 else (other, one)
            times["rename"].append(timed(lambda: (source / "job").rename(target / "job")))  # noqa: B023
            file = target / "job" / "file"
            file.write_bytes(b"x" * 400)
            times["fsync of a small file"].append(timed(lambda: durable.fsync(file)))  # noqa: B023
            times["fsync of a folder"].append(timed(lambda: durable.fsync(target)))  # noqa: B023
    return times


def timed(what: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began
