"""What the HTTP server does under load, on loopback: status reads while jobs are watched and streams are open.

    python benchmarks/httpd_load.py [--seconds 60] [--jobs 1000] [--streams 200] [--slow 50] [--json FILE]

One `python -m httpd` on a spool of its own. `--jobs` jobs wait in it and are read one after the other by `--readers`
connections; `--streams` event streams are open, half on one job each and half on all; every second a job moves, so
that the streams have something to tell. In the middle third, `--slow` clients each hold an upload open and send a
byte a second. Nobody else may notice: the table has the reads of each third.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from spool.job import Request
from spool.spool import Spool

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "coffee.png"


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--jobs", type=int, default=1000)
    options.add_argument("--streams", type=int, default=200)
    options.add_argument("--slow", type=int, default=50)
    options.add_argument("--readers", type=int, default=8)
    options.add_argument("--json", type=Path)
    wanted = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as folder:
        spool = Spool.open(Path(folder) / "spool")
        spool.enlist("bench")
        jobs = [submit(spool) for _ in range(wanted.jobs)]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        server = subprocess.Popen([sys.executable, "-m", "httpd"], cwd=ROOT, env=environ(spool, port))
        try:
            found = asyncio.run(measure(spool, jobs, port, server.pid, wanted))
        finally:
            server.terminate()
            server.wait()
    print_tables(found)
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2))
    return 0


def environ(spool: Spool, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PROTOSCALE_SPOOL": str(spool.root),
        "PROTOSCALE_PORT": str(port),
        "PROTOSCALE_LOG_LEVEL": "warning",
        "PROTOSCALE_RESERVE": "1M",
    }


def submit(spool: Spool) -> str:
    """A job that waits, without the fsyncs that a real submission has: here the reading is measured."""
    request = Request.new(source="cli", name="photo.png", suffix=".png")
    path = spool.root / "inbox" / request.id
    path.mkdir()
    (path / "request.json").write_text(json.dumps(request.as_json()))
    (path / request.input).write_bytes(b"")
    return request.id


async def measure(
    spool: Spool, jobs: Sequence[str], port: int, pid: int, wanted: argparse.Namespace
) -> dict[str, Any]:
    """Run the three thirds. Latencies are seconds, memory bytes."""
    process = psutil.Process(pid)
    await until_it_answers(port)
    idle = process.memory_info().rss
    heard = [0]
    streams = [
        asyncio.create_task(listen(port, f"/api/jobs/{jobs[at]}/events" if at % 2 else "/api/events", heard))
        for at in range(wanted.streams)
    ]
    mover = asyncio.create_task(move(spool, jobs))
    phases: dict[str, Any] = {}
    memory: list[int] = []
    cut_off = [0]
    for phase in ("before", "with slow clients", "after"):
        slow = (
            [asyncio.create_task(dawdle(port, cut_off)) for _ in range(wanted.slow)]
            if "slow" in phase
            else []
        )
        cpu = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        until = began + wanted.seconds / 3
        readers = [asyncio.create_task(read(port, jobs, at, until)) for at in range(wanted.readers)]
        watcher = asyncio.create_task(watch_memory(process, memory, until))
        latencies = [one for reader in await asyncio.gather(*readers) for one in reader]
        took = time.perf_counter() - began
        await watcher
        for task in slow:
            task.cancel()
        cuts = statistics.quantiles(latencies, n=100)
        phases[phase] = {
            "reads_per_second": len(latencies) / took,
            "p50": cuts[49],
            "p99": cuts[98],
            "worst": max(latencies),
            "cpu": (sum(process.cpu_times()[:2]) - cpu) / took,
        }
    for task in (*streams, mover):
        task.cancel()
    await asyncio.gather(*streams, mover, return_exceptions=True)
    quarter = max(1, len(memory) // 4)
    return {
        "phases": phases,
        "events": heard[0],
        "slow_cut_off": cut_off[0],
        "memory": {
            "idle": idle,
            "first_quarter": statistics.median(memory[:quarter]),
            "last_quarter": statistics.median(memory[-quarter:]),
            "peak": max(memory),
        },
        "wanted": {name: value for name, value in vars(wanted).items() if name != "json"},
    }


async def until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit("the server did not start; see its message above")


async def read(port: int, jobs: Sequence[str], start: int, until: float) -> list[float]:
    """Poll one status after the other over one connection; the seconds of each read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    at = start * 37
    while time.perf_counter() < until:
        at += 1
        began = time.perf_counter()
        path = f"/api/jobs/{jobs[at % len(jobs)]}/status"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"not a status: {head!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.perf_counter() - began)
    writer.close()
    return latencies


async def listen(port: int, path: str, heard: list[int]) -> None:
    """Hold a stream open and count its events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    try:
        while line := await reader.readline():
            heard[0] += line.startswith(b"data: ")
    finally:
        writer.close()


async def move(spool: Spool, jobs: Sequence[str]) -> None:
    """Cancel and retry one waiting job after the other, one a second."""
    for job_id in jobs[::-1]:
        await asyncio.to_thread(spool.cancel, job_id)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(spool.retry, job_id)
        await asyncio.sleep(0.5)


async def dawdle(port: int, cut_off: list[int]) -> None:
    """Send a head, then a byte a second, until the server has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode())
    try:
        while not reader.at_eof():
            writer.write(b"-")
            try:
                answer = await asyncio.wait_for(reader.read(4096), 1.0)
            except asyncio.TimeoutError:
                continue
            cut_off[0] += answer.startswith(b"HTTP/1.1 408")
            return
    except ConnectionError:
        cut_off[0] += 1
    finally:
        writer.close()


async def watch_memory(process: psutil.Process, memory: list[int], until: float) -> None:
    while time.perf_counter() < until:
        memory.append(process.memory_info().rss)
        await asyncio.sleep(0.25)


def print_tables(found: dict[str, Any]) -> None:
    """The figures in Markdown."""
    print("\n| third | status reads/s | median, ms | p99, ms | worst, ms | server CPU, % of a core |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, row in found["phases"].items():
        print(
            f"| {name} | {row['reads_per_second']:.0f} | {1e3 * row['p50']:.1f} | {1e3 * row['p99']:.1f} "
            f"| {1e3 * row['worst']:.0f} | {100 * row['cpu']:.0f} |"
        )
    memory = {name: f"{value / 2**20:.0f}" for name, value in found["memory"].items()}
    print(
        f"\nevents told {found['events']}; slow clients cut off {found['slow_cut_off']} of {found['wanted']['slow']}; "  # noqa: E501
        f"memory, MB: idle {memory['idle']}, first quarter {memory['first_quarter']}, "
        f"last quarter {memory['last_quarter']}, peak {memory['peak']}"
    )


if __name__ == "__main__":
    sys.exit(main())
