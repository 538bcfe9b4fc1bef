"""How long a cold service takes: to its first accepted upload, and to its first model.

    python -m benchmarks.start [--full]

Cold is a new process on a new spool; the files of Python and of the weights are in the kernel's cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx

from benchmarks.figures import Figure, Section
from benchmarks.idle import PHOTO, WEIGHTS, drop
from benchmarks.pipeline import told
from spool.spool import Spool
from tests.service import ROOT, Service
from tests.support import until

ROUNDS = {True: 11, False: 3}
MODULES = ("spool.spool", "httpd.app", "daemon.supervisor", "daemon.stages", "daemon.worker")


def measure(full: bool) -> Section:
    """Start it again and again."""
    uploads, models = [], []
    for _ in range(ROUNDS[full]):
        uploads.append(to_first_upload())
        models.append(to_first_model())
    imports: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS[full]):
        bare = importing("")
        for module in MODULES:
            imports[module].append(1e3 * (importing(f"import {module}") - bare))
    figures = [
        Figure("cold to the first accepted upload", "s", uploads, 1.0),
        Figure("cold to the first draft model, its photo waiting in the inbox", "s", models, 4.0),
        *(Figure(f"import {module}", "ms", samples) for module, samples in imports.items()),
    ]
    how = (
        "`protoscale run` on a spool of its own, from the start of the process: until POST /api/upload is "
        "answered by 201 (tried every 5 ms); and, in another start, until a dropped photo is a draft model in done/. "
        "Imports are over a bare interpreter."
    )
    return Section("start", "Start", how, figures)


def to_first_upload() -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        service = Service(Path(folder) / "spool", WEIGHTS, PROTOSCALE_LOG_LEVEL="warning")
        content = PHOTO.read_bytes()
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=60) as client:
            began = time.perf_counter()
            service.start(ready=False)
            try:
                while not accepted(client, content):
                    assert time.perf_counter() - began < 60, service.log.read_text()
                    time.sleep(0.005)
                return time.perf_counter() - began
            finally:
                service.stop()


def accepted(client: httpx.Client, content: bytes) -> bool:
    """Whether the server takes a photo already."""
    try:
        answer = client.post("/api/upload", files={"file": ("photo.png", content, "image/png")})
    except httpx.TransportError:
        return False
    answer.raise_for_status()
    return True


def to_first_model() -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        service = Service(Path(folder) / "spool", WEIGHTS, PROTOSCALE_LOG_LEVEL="warning")
        Spool.open(service.spool.root)
        drop(service)
        began = time.perf_counter()
        service.start(ready=False)
        try:
            until(lambda: service.spool.waiting("done"), 60)
            return time.perf_counter() - began
        finally:
            service.stop()


def importing(line: str) -> float:
    """Seconds of an interpreter that runs one line."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", line], cwd=ROOT, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    print(told(measure(parser.parse_args().full)))
