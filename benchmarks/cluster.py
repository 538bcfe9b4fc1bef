"""What a cluster costs: throughput over workers, what one job costs more than here, memory of the head.

Three or more Ray nodes on this machine (`tests.cluster.machines`), so all of them share its cores. The stages of the
first and the last part sleep; the second makes real models with the engine `silhouette`.

    python -m benchmarks.cluster [--full]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.figures import Curve, Figure, Plot, Section
from daemon.cluster.parcel import Parcel
from spool import layout
from spool.board import Board
from spool.job import Job, Request
from spool.spool import Spool
from spool.status import Status
from tests.cluster.kills import Head
from tests.cluster.machines import Rig, namespaces_missing, rig
from tests.cluster.sleepy import SLEEP
from tests.service import ROOT, Service
from tests.support import picture, submit, until

PHOTO = ROOT / "examples" / "coffee.png"
WORKERS = (1, 2, 4, 8)
LINEAR = 0.95


def measure(full: bool) -> Section:
    """`full`: longer stages and more jobs, and 10,000 waiting ones instead of 1,000."""
    with tempfile.TemporaryDirectory(prefix="cluster-bench-") as name:
        folder = Path(name)
        seconds, rounds = (2.0, 4) if full else (1.0, 2)
        rates = {count: _rate(folder / f"{count}", count, seconds, rounds) for count in WORKERS}
        here, there, moved = _overhead(folder / "overhead", 20 if full else 5)
        waiting = 10_000 if full else 1_000
        memory = _memory(folder / "memory", waiting)
    linear = [rates[count] / (count * rates[1]) for count in WORKERS]
    where = "network namespaces" if namespaces_missing() is None else "loopback addresses"
    return Section(
        name="cluster",
        title="Beyond one machine",
        how=(
            f"Ray {version('ray')}, a head and up to two machines as nodes in {where} of this machine. Throughput: "
            f"{rounds} jobs per worker, each with three stages that sleep {seconds:g} s, from when the jobs are "
            "there until the last is published. Overhead: examples/coffee.png by the engine silhouette, the sum of a "
            "job's stages on one device of another node, less the same on this one. Memory: proportional set size "
            f"of supervisor, lookout and two envoys, idle, and with {waiting:,} jobs waiting while two are worked on."
        ),
        figures=[
            *(
                Figure(f"throughput at {count} workers, of linear", "", [share], LINEAR, at_most=False)
                for count, share in zip(WORKERS, linear, strict=True)
            ),
            Figure("stages of a job here", "ms", here),
            Figure("stages of a job there", "ms", there),
            Figure(
                "more per job there (medians)", "ms", [statistics.median(there) - statistics.median(here)]
            ),
            Figure("bytes moved per job", "MB", [moved / 1e6]),
            *(Figure(f"memory of the head, {what}", "MiB", [size / 2**20]) for what, size in memory.items()),
        ],
        plots=[
            Plot(
                "cluster-throughput",
                "Jobs per minute over workers on other machines",
                "workers",
                "jobs per minute",
                [
                    Curve("measured", WORKERS, [60 * rates[count] for count in WORKERS]),
                    Curve("linear", WORKERS, [60 * rates[1] * count for count in WORKERS]),
                ],
            )
        ],
        facts={"load": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores when it ended"},
    )


# --- throughput ----------------------------------------------------------------------------------------


@contextmanager
def _serving(cluster: Rig, folder: Path, devices: int) -> Iterator[Head]:
    folder.mkdir()
    head = Head(cluster, folder)
    try:
        head.keep_running()
        until(lambda: _idle(head.spool) == devices, 300)
        yield head
    finally:
        head.stop()


def _idle(spool: Spool) -> int:
    board = Board.read(spool.root)
    return sum(slot.state == "idle" for slot in board.workers) if board else 0


def _rate(folder: Path, workers: int, seconds: float, rounds: int) -> float:
    """Jobs per second with that many workers on other machines."""
    with rig(environ={SLEEP: str(seconds)}) as cluster:
        for count in [workers] if workers == 1 else [workers // 2] * 2:
            cluster.add({"protoscale_all": count}).start()
        with _serving(cluster, folder, workers) as head:
            jobs = workers * rounds
            began = time.monotonic()
            for _ in range(jobs):
                submit(head.spool, views=False)
            until(lambda: len(head.spool.waiting(layout.DONE)) == jobs, 600)
            return jobs / (time.monotonic() - began)


# --- what a job costs more -----------------------------------------------------------------------------


def _overhead(folder: Path, jobs: int) -> tuple[Sequence[float], Sequence[float], int]:
    """Milliseconds per job here and there, and the bytes that one moved."""
    folder.mkdir()
    models = os.environ.get("U2NET_HOME", str(ROOT / "build" / "u2net"))
    cpu = {"GEOMETRY_DEVICE": "cpu", "TEXTURE_DEVICE": "cpu", "REMBG_MODEL": "u2netp"}
    here = _made(Service(folder / "here", Path(models), "--no-http", **cpu), jobs)
    with rig(environ={"U2NET_HOME": models, "OMP_NUM_THREADS": ""}) as cluster:
        cluster.add({"protoscale_all": 1}).start()
        ray = {name: value for name, value in cluster.environ.items() if name.startswith("RAY_")}
        far = {"GEOMETRY_DEVICE": "none", "TEXTURE_DEVICE": "none", "CLUSTER": cluster.address, **ray}
        service = Service(folder / "there", Path(models), "--no-http", **{**cpu, **far})
        there = _made(service, jobs)
        done = service.spool.find(service.spool.waiting(layout.DONE)[0]).job
        return here, there, _moved(done)


def _made(service: Service, jobs: int) -> list[float]:
    """The milliseconds each of the jobs spent in its stages; the first, which loads the models, is left out."""
    try:
        service.start(ready=False)
        until(lambda: _idle(service.spool) == 1, 120)
        made = [submit(service.spool, content=PHOTO.read_bytes()) for _ in range(jobs + 1)]
        for job in made:
            service.finished(job.id, 300)
        timings = [Status.read(service.spool.find(job.id).job.path).timings for job in made[1:]]
        return [1000 * sum(spent.values()) for spent in timings]
    finally:
        if service.process and service.process.poll() is None:
            service.stop()


def _moved(job: Job) -> int:
    """Bytes of a job's files that went over the wire, both ways, in its three stages."""
    to = sum(Parcel.pack(job, stage, Status()).size for stage in ("cutout", "texture"))
    # A geometry that is made anew gets the cut-out alone.
    to += (job.path / layout.REQUEST).stat().st_size + (job.path / layout.CUTOUT_PNG).stat().st_size
    return to + sum((job.path / name).stat().st_size for name in layout.PRODUCTS)


# --- memory --------------------------------------------------------------------------------------------


def _memory(folder: Path, waiting: int) -> dict[str, int]:
    """Bytes by what the head was doing."""
    with rig(environ={SLEEP: "300"}) as cluster:
        for _ in range(2):
            cluster.add({"protoscale_all": 1}).start()
        with _serving(cluster, folder, 2) as head:
            found = {"idle": _held_by(head)}
            for _ in range(waiting):
                _lay(head.spool)
            until(lambda: _idle(head.spool) == 0, 300)
            time.sleep(10)
            found[f"{waiting:,} jobs waiting"] = _held_by(head)
            assert head.process
            found["of which the supervisor"] = int(psutil.Process(head.process.pid).memory_full_info().pss)
            found["of which one envoy"] = int(head.envoys()[-1].memory_full_info().pss)
            ray = [psutil.Process(pid) for pid in cluster.machines[0].pids()]
            found["Ray's own processes on the head"] = sum(int(it.memory_full_info().pss) for it in ray)
            head.process.kill()  # its drain would wait for stages that sleep five minutes
            return found


def _held_by(head: Head) -> int:
    assert head.process
    supervisor = psutil.Process(head.process.pid)
    processes = [supervisor, *supervisor.children(recursive=True)]
    return sum(int(process.memory_full_info().pss) for process in processes)


def _lay(spool: Spool) -> None:
    """A waiting job, without the fsyncs of a submit."""
    request = Request.new(source="cli", name="photo.png", suffix=".png", views=False)
    draft = spool.draft(request)
    draft.input.write_bytes(PICTURE)
    (draft.path / layout.REQUEST).write_text(json.dumps(request.as_json()))
    draft.path.rename(spool.root / layout.INBOX / request.id)


PICTURE = picture((48, 40))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    section = measure(parser.parse_args().full)
    print(section.how)
    for figure in section.figures:
        reached = "" if figure.reached is None else f"  (to reach: {figure.reach:g}, {figure.reached})"
        print(f"{figure.what:45} {figure.median:12.2f} {figure.unit}{reached}")
    for fact, said in section.facts.items():
        print(f"{fact}: {said}")


if __name__ == "__main__":
    main()
