"""What the whole service costs while nothing happens, and how soon it notices when something does.

    python -m benchmarks.idle [--full]

The service is warm: it has made a model, so its engine is loaded. CPU time is the kernel's, in nanoseconds of every
thread of every process (`/proc/<pid>/task/*/schedstat`); a wake-up is a voluntary context switch.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.figures import Figure, Section
from benchmarks.pipeline import told
from tests.service import ROOT, Service, running
from tests.support import until

PHOTO = ROOT / "examples" / "coffee.png"
WEIGHTS = Path(os.environ.get("U2NET_HOME", ROOT / "build" / "u2net"))
SECONDS = {True: 600.0, False: 60.0}
DROPS = {True: 20, False: 5}


def measure(full: bool) -> Section:
    """Watch an idle service, then drop photos on it."""
    with (
        tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder,
        running(Path(folder) / "spool", WEIGHTS) as service,
    ):
        drop(service)
        settle(service, 1)
        names = named(service)
        before = {pid: spent(pid) for pid in names}
        began = time.monotonic()
        time.sleep(SECONDS[full])
        passed = time.monotonic() - began
        used = {pid: since(before[pid], spent(pid)) for pid in names}
        noticed = [1e3 * drop_when_idle(service, at) for at in range(DROPS[full])]
        settle(service, 1 + len(noticed))
        lost = 1 + len(noticed) - len(service.spool.waiting("done"))
    figures = [
        Figure(
            "the whole service", "% of a core", [100 * sum(cpu for cpu, _ in used.values()) / passed], 0.2
        ),
        Figure("wake-ups of the whole service", "a second", [sum(ups for _, ups in used.values()) / passed]),
        Figure("a dropped photo is noticed after", "ms", noticed, 50.0),
        Figure("jobs lost", "jobs", [float(lost)], 0.0),
    ]
    for pid, name in names.items():
        cpu, ups = used[pid]
        figures.append(Figure(f"{name}: CPU", "% of a core", [100 * cpu / passed]))
        figures.append(Figure(f"{name}: wake-ups", "a second", [ups / passed]))
    how = f"{passed:.0f} s of nothing after one model, then {len(noticed)} photos, each renamed into an idle inbox."
    return Section("idle", "Idle", how, figures)


def named(service: Service) -> Mapping[int, str]:
    """Every process of the service, by what it is."""
    assert service.process
    board = service.board()
    names = {slot.pid: f"worker {slot.name}" for slot in (board.workers if board else ()) if slot.pid}
    names[service.process.pid] = "supervisor"
    for child in service.children():
        line = " ".join(child.cmdline())
        if "httpd" in line:
            names[child.pid] = "HTTP server"
        elif "daemon.decoding" in line:
            names[child.pid] = "decoder's process"
        else:
            names.setdefault(
                child.pid, child.name() if "resource_tracker" not in line else "resource tracker"
            )
    return names


def spent(pid: int) -> dict[str, tuple[float, int]]:
    """Seconds of CPU time and voluntary context switches of a process, by thread."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        lines = (task / "status").read_text().splitlines()
        switches = next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
        found[task.name] = seconds, switches
    return found


def since(before: Mapping[str, tuple[float, int]], now: Mapping[str, tuple[float, int]]) -> tuple[float, int]:
    """What a process spent between two looks. What a thread that ended meanwhile spent last is not known.

    A worker's model has threads of its own, which end when it is unloaded.
    """
    seconds, switches = 0.0, 0
    for thread, (seconds_now, switches_now) in now.items():
        seconds_then, switches_then = before.get(thread, (0.0, 0))
        seconds, switches = seconds + seconds_now - seconds_then, switches + switches_now - switches_then
    return seconds, switches


def drop(service: Service, name: str = "photo.png") -> Path:
    """A photo appears in the inbox, complete."""
    aside = service.spool.root.parent / name
    aside.write_bytes(PHOTO.read_bytes())
    return aside.rename(service.spool.root / "inbox" / name)


def drop_when_idle(service: Service, at: int) -> float:
    """Seconds until an idle service has taken the photo out of its inbox."""
    settle(service, 1 + at)
    time.sleep(0.5)
    photo = drop(service, f"photo-{at}.png")
    began = time.perf_counter()
    while photo.exists():
        time.sleep(0.0005)
    return time.perf_counter() - began


def settle(service: Service, jobs: int) -> None:
    """Until so many jobs are done and every worker rests."""
    until(lambda: len(service.spool.waiting("done")) >= jobs, 120)
    until(lambda: (board := service.board()) and all(slot.state == "idle" for slot in board.workers), 60)
    assert service.process
    psutil.Process(service.process.pid).status()  # it lives


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    print(told(measure(parser.parse_args().full)))
