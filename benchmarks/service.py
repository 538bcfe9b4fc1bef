"""A photo to a textured GLB with views through the whole service, and what the service costs while it idles.

    python benchmarks/service.py [--runs 5] [--json FILE]

Needs the background-removal model where U2NET_HOME says (`protoscale models pull u2netp`). Prints medians; every
run is a drop into the inbox of a warm service, timed until the job lies in done/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure, Section
from spool.board import Board
from spool.spool import Spool
from tests.service import free_port

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "coffee.png"
REACH = {"draft": 2.5, "balanced": 3.0, "high": 6.0, "ultra": 10.0}
IDLE_SECONDS = 20.0
os.environ.setdefault("U2NET_HOME", str(ROOT / "build" / "u2net"))


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--json", type=Path)
    wanted = options.parse_args()
    found: dict[str, Any] = {
        "presets": {q: preset(q, wanted.runs) for q in REACH},
        "idle": idle(),
        "start": start(),
    }
    print("\n| preset | photo to model, s (median) | min - max | reach | peak memory of a worker, MB |")
    print("|---|---:|---:|---:|---:|")
    for quality, row in found["presets"].items():
        low, high = min(row["seconds"]), max(row["seconds"])
        print(
            f"| {quality} | {statistics.median(row['seconds']):.2f} | {low:.2f} - {high:.2f} "
            f"| {REACH[quality]} | {row['peak_mb']:.0f} |"
        )
    print("\n| idle process | resident, MB | CPU, % of a core |")
    print("|---|---:|---:|")
    for name, row in found["idle"].items():
        print(f"| {name} | {row['resident_mb']:.0f} | {row['cpu_percent']:.2f} |")
    print("\n| start | ms (median) |")
    print("|---|---:|")
    for name, milliseconds in found["start"].items():
        print(f"| {name} | {milliseconds:.0f} |")
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2))
    return 0


def measure(full: bool) -> Section:
    """The presets through the whole service; idling and starting have benchmarks of their own."""
    runs = 5 if full else 2
    figures = []
    for quality, reach in REACH.items():
        row = preset(quality, runs)
        figures.append(Figure(f"{quality}: photo to model", "s", row["seconds"], reach))
        figures.append(Figure(f"{quality}: peak memory of a worker", "MB", [row["peak_mb"]]))
    return Section(
        "service",
        "A photo to a textured model",
        f"engine silhouette, {runs} drops into a warm service each, timed until the job lies in done/",
        figures,
    )


class Service:
    """A warm service on a spool of its own."""

    def __init__(self, **environ: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="protoscale-bench-"))
        self.spool = Spool.open(self.folder / "spool")
        environ = {
            **os.environ,
            "PROTOSCALE_SPOOL": str(self.spool.root),
            "PROTOSCALE_PORT": str(free_port()),
            "PROTOSCALE_LOG_LEVEL": "warning",
            **environ,
        }
        self.process = subprocess.Popen([sys.executable, "-m", "daemon.cli", "run"], env=environ, cwd=ROOT)

    def __enter__(self) -> Service:
        while not (board := Board.read(self.spool.root)) or any(w.state == "starting" for w in board.workers):
            if self.process.poll() is not None:
                raise SystemExit("the service did not start; see its message above")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)

    def drop(self) -> float:
        """Seconds from the drop to the job in done/."""
        before = len(self.spool.waiting("done"))
        began = time.perf_counter()
        shutil.copyfile(PHOTO, self.spool.root / "inbox" / "photo.png")
        while len(self.spool.waiting("done")) == before:
            if self.spool.waiting("failed"):
                raise SystemExit("the job failed; see the log above")
            time.sleep(0.005)
        return time.perf_counter() - began

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        board = Board.read(self.spool.root)
        return [psutil.Process(slot.pid) for slot in (board.workers if board else ()) if slot.pid]


def preset(quality: str, runs: int) -> dict[str, Any]:
    """One cold run that is not counted, then `runs` warm ones."""
    with Service(PROTOSCALE_QUALITY=quality) as service:
        service.drop()
        seconds = [service.drop() for _ in range(runs)]
        peak = max(peak_memory(worker.pid) for worker in service.workers())
    return {"seconds": seconds, "peak_mb": peak / 2**20}


def peak_memory(pid: int) -> int:
    """The high-water mark of a process's resident memory, in bytes (proc(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def idle() -> dict[str, Any]:
    """Memory and CPU of the supervisor and the HTTP server, doing nothing."""
    with Service() as service:
        supervisor = psutil.Process(service.process.pid)
        (web,) = [child for child in supervisor.children() if "httpd" in child.cmdline()]
        time.sleep(2)
        watched = {"supervisor": supervisor, "HTTP server": web}
        before = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
        time.sleep(IDLE_SECONDS)
        return {
            name: {
                "resident_mb": process.memory_info().rss / 2**20,
                "cpu_percent": 100 * (sum(process.cpu_times()[:2]) - before[name]) / IDLE_SECONDS,
            }
            for name, process in watched.items()
        }


def start() -> dict[str, float]:
    """Milliseconds of `import spool` (over a bare interpreter) and of `protoscale --help`."""

    def run(*command: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        return 1e3 * (time.perf_counter() - began)

    rounds = [
        (run("-c", "pass"), run("-c", "import spool"), run("-m", "daemon.cli", "--help")) for _ in range(21)
    ]
    return {
        "import spool": statistics.median(imported - bare for bare, imported, _ in rounds),
        "protoscale --help": statistics.median(told for _, _, told in rounds),
    }


if __name__ == "__main__":
    sys.exit(main())
