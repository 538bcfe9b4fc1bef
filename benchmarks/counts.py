"""Counts that do not depend on the machine's mood, held against `benchmarks/bounds.json`: `make bench-check`.

    python -m benchmarks.counts [--raise-bounds]

System calls and fsyncs a job by strace, from submission to `done/` with stages that do nothing; calls of functions a
claim; files opened and bytes allocated a status read. Ends with 1 where a bound is passed. A change that costs more,
and is worth it, raises the bounds in the same commit: `--raise-bounds` writes what was counted, and a margin.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.httpd_load import submit as lay
from spool import layout
from spool.line import Head
from spool.spool import Spool

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = Path(__file__).with_name("bounds.json")
MARGIN = 1.1
"""Python's versions differ a little in what they call."""
SYSTEM_CALLS, FSYNCS = "system calls on files a job", "fsyncs a job"
ON_FILES = (
    "openat", "close", "read", "write", "lseek", "newfstatat", "getdents64", "rename", "mkdir", "rmdir", "unlink",
    "unlinkat", "fsync", "fdatasync", "pwrite64", "ftruncate", "statfs", "ioctl", "fcntl", "flock",
)  # fmt: skip
"""What is counted: the others (memory, threads) are Python's and its libraries', and differ from run to run."""
KEPT = "bytes kept by a status read"


def main() -> int:
    """Count, print, and compare."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--raise-bounds", action="store_true")
    options.add_argument("--jobs", type=int, help=argparse.SUPPRESS)
    wanted = options.parse_args()
    if wanted.jobs is not None:
        work_off(wanted.jobs)
        return 0
    found = counts()
    if wanted.raise_bounds:
        bounds = {**read_bounds(), **{what: bound_for(what, count) for what, count in found.items()}}
        BOUNDS.write_text(json.dumps(bounds, indent=2) + "\n")
    bounds = read_bounds()
    print("| what | counted | bound |\n|---|---:|---:|")
    for what, bound in bounds.items():
        counted = f"{found[what]:.1f}" if what in found else why_no_strace()
        print(f"| {what} | {counted} | {bound:g} |")
    beyond = past(found, bounds)
    for what in beyond:
        print(f"{what}: {found[what]:.1f} is past its bound of {bounds[what]:g}", file=sys.stderr)
    return 1 if beyond else 0


def read_bounds() -> dict[str, float]:
    """What is allowed."""
    bounds: dict[str, float] = json.loads(BOUNDS.read_text()) if BOUNDS.exists() else {}
    return bounds


def bound_for(what: str, count: float) -> float:
    """The bound to write for a count: fsyncs to the number, everything else with a margin."""
    if what == KEPT:
        return 64  # a few bytes come and go with Python's own caches; a leak is a kilobyte
    return math.ceil(count - 0.05) if what == FSYNCS else math.ceil(count * MARGIN)


def past(found: dict[str, float], bounds: dict[str, float]) -> list[str]:
    """What was counted beyond its bound."""
    return [what for what, count in found.items() if count > bounds.get(what, 0.0) + 1e-9]


def counts() -> dict[str, float]:
    """Everything that can be counted here."""
    return {**({} if why_no_strace() else by_strace()), **in_process()}


def why_no_strace() -> str:
    """Why system calls cannot be counted here; empty where they can."""
    program = shutil.which("strace")
    if program is None:
        return "not counted: there is no strace"
    tried = subprocess.run([program, "-c", "-o", os.devnull, "true"], capture_output=True, text=True)
    return (
        f"not counted: strace may not trace here ({tried.stderr.strip()[-80:]})" if tried.returncode else ""
    )


def by_strace() -> dict[str, float]:
    """System calls and fsyncs that one more job costs: the difference of two runs, without what starts a process."""
    few, many = 5, 25
    _straced(1)  # Python may write its .pyc files now
    one, other = _straced(few), _straced(many)
    more = {name: (other.get(name, 0) - one.get(name, 0)) / (many - few) for name in ON_FILES}
    return {SYSTEM_CALLS: sum(more.values()), FSYNCS: more["fsync"] + more["fdatasync"]}


def _straced(jobs: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        told = Path(folder) / "told"
        command = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(told)]
        command += [sys.executable, "-m", "benchmarks.counts", "--jobs", str(jobs)]
        subprocess.run(command, cwd=ROOT, check=True)
        rows = [line.split() for line in told.read_text().splitlines()]
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def work_off(jobs: int) -> None:
    """Submit so many photos and take them to `done/`, with a real worker and stages that do nothing."""
    from benchmarks.noop import no_work
    from daemon import stages
    from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
    from daemon.pulse import Pulse
    from daemon.worker import Worker
    from spool import tally
    from tests.support import SphereEngine, config, submit

    vars(stages)["WORK"] = no_work()
    tally.EVERY = math.inf  # news by the clock: not counted, because a slow machine writes more of it
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        post = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))
        spool = Spool.open(Path(folder))
        spool.enlist(post.name)
        worker = Worker(spool, config(spool.root), post, SphereEngine(), Pulse())
        for _ in range(jobs):
            submit(spool, content=b"a photo")
            while worker.step():
                pass
        done = len(spool.waiting(layout.DONE))
        assert done == jobs, f"{done} of {jobs} jobs are done"
        worker.wake.close()


def in_process() -> dict[str, float]:
    """Calls a claim, and what a status read opens and allocates."""
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        spool.enlist("w")
        waiting, finished = [lay(spool) for _ in range(20)], lay(spool)
        (spool.root / layout.INBOX / finished).rename(spool.root / layout.DONE / finished)
        head = Head(spool.root, layout.INBOX)
        spool.claim(layout.INBOX, "w", head)
        claimed = calls(lambda: spool.claim(layout.INBOX, "w", head))
        loop = asyncio.new_event_loop()
        read = _reader(spool, loop)
        at_inbox, at_done = (
            spool.root / layout.INBOX / waiting[-1],
            spool.root / layout.DONE / finished,
        )

        def changed(path: Path) -> None:
            os.utime(path)  # as every change of a job does
            read(path.name)

        opened = {path.parent.name: files_opened(partial(changed, path)) for path in (at_inbox, at_done)}
        unchanged = partial(read, waiting[-1])
        while files_opened(unchanged):  # until its times are past
            pass
        here, there = (spool.root / folder / waiting[-2] for folder in (layout.INBOX, "running/w"))

        def moved() -> None:
            nonlocal here, there
            here.rename(there)
            here, there = there, here
            read(waiting[-1])  # it has another place now

        found = {
            "function calls a claim": claimed,
            "files opened a status read of a waiting job that changed": opened[layout.INBOX],
            "files opened a status read of a finished job that changed": opened[layout.DONE],
            "function calls a status read": calls(unchanged),
            "function calls a status read of a job whose queue moved": calls(moved),
            KEPT: kept(unchanged),
            "function calls a status read of a job that changed": calls(partial(changed, at_inbox)),
            "bytes allocated at most in a status read": allocated(partial(changed, at_inbox)),
        }
        loop.close()
        return found


def _reader(spool: Spool, loop: asyncio.AbstractEventLoop) -> Callable[[str], None]:
    """A status read without a socket: the whole application, called as a server calls it."""
    from httpd.app import create_app
    from httpd.config import HttpConfig
    from spool.settings import read

    app = create_app(read(HttpConfig, {"PROTOSCALE_SPOOL": str(spool.root)}))
    codes: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    def ask(job: str) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": f"/api/jobs/{job}/status", "raw_path": b"", "query_string": b"", "root_path": "", "state": {},
            "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        loop.run_until_complete(app(scope, receive, send))
        assert codes.pop() == 200

    return ask


def calls(what: Callable[[], object]) -> float:
    """Calls of functions, Python's and C's, that `what` makes when it is warm."""
    for _ in range(3):
        what()
    number = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(None)
    return number


_opened: list[str] | None = None


def files_opened(what: Callable[[], object]) -> float:
    """Files that `what` tries to open when it is warm, those that are not there among them."""
    global _opened
    if not getattr(files_opened, "hooked", False):
        sys.addaudithook(_hook)  # there is no way to take it off again
        vars(files_opened)["hooked"] = True
    for _ in range(3):
        what()
    _opened = []
    try:
        what()
        return len(_opened)
    finally:
        _opened = None


def _hook(event: str, arguments: Any) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


def allocated(what: Callable[[], object]) -> float:
    """The most bytes that Python holds for `what` at once."""
    for _ in range(3):
        what()
    tracemalloc.start()
    try:
        what()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        what()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def kept(what: Callable[[], object], times: int = 200) -> float:
    """Bytes that each of many calls leaves behind."""
    for _ in range(20):
        what()
    tracemalloc.start()
    try:
        what()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(times):
            what()
        return max(0.0, (tracemalloc.get_traced_memory()[0] - before) / times)
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    sys.exit(main())
