"""GET /metrics for Prometheus: the spool as it is now, the workers' counts, and this process's own requests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from httpd.state import feed_of, spool_of
from httpd.traffic import Counts
from spool import layout, tally
from spool.board import BUSY, IDLE, Board, Slot, slots_of
from spool.ids import made_at
from spool.line import how_many, line_in
from spool.pause import is_paused
from spool.spool import Spool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def metrics(request: Request) -> Response:
    """200 in the text format of Prometheus."""
    counts: Counts = request.app.state.counts
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SpoolMetrics(spool_of(request), len(feed_of(request))))

    def write() -> bytes:
        return generate_latest(registry) + generate_latest(counts.registry)

    return Response(await run_in_threadpool(write), media_type=CONTENT_TYPE)


class SpoolMetrics(Collector):
    """What the directory says, read when it is asked for: any HTTP process gives the same numbers."""

    def __init__(self, spool: Spool, streams: int) -> None:
        self._spool = spool
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from self._queue()
        yield from self._work()
        yield from self._devices()
        disk = os.statvfs(self._spool.root)
        yield GaugeMetricFamily(
            "protoscale_disk_free_bytes", "Free space under the spool.", value=disk.f_bavail * disk.f_frsize
        )
        yield GaugeMetricFamily(
            "protoscale_streams", "Event streams open in this process.", value=self._streams
        )

    def _queue(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("protoscale_queue_jobs", "Jobs that wait, by stage.", labels=["stage"])
        age = GaugeMetricFamily(
            "protoscale_queue_oldest_seconds", "Age of the oldest job that waits, by stage.", labels=["stage"]
        )
        for stage in layout.STAGES:
            waiting = line_in(self._spool.root, stage.folder)
            depth.add_metric([stage.name], len(waiting))
            age_of_oldest = max(0.0, time.time() - made_at(min(waiting))) if len(waiting) else 0.0
            age.add_metric([stage.name], age_of_oldest)
        jobs = GaugeMetricFamily("protoscale_jobs", "Jobs that rest or run, by folder.", labels=["folder"])
        for folder in (layout.HELD, layout.DONE, layout.FAILED):
            jobs.add_metric([folder], how_many(self._spool.root, folder))
        running = sum(len(self._spool.waiting(f"{layout.RUNNING}/{name}")) for name in self._spool.workers())
        jobs.add_metric([layout.RUNNING], running)
        paused = GaugeMetricFamily(
            "protoscale_queue_paused",
            "1 while the queue is paused: no job is begun.",
            value=float(is_paused(self._spool.root)),
        )
        yield from (depth, age, jobs, paused)

    def _work(self) -> Iterator[Metric]:
        stages, failures = tally.added_up(self._spool.root)
        seconds = HistogramMetricFamily(
            "protoscale_stage_seconds", "Seconds that finished stages took.", labels=["stage"]
        )
        bounds = [*map(str, tally.BOUNDS), "+Inf"]
        for stage in layout.STAGES:
            spent = stages.get(stage.name, tally.Spent())
            seconds.add_metric(
                [stage.name], list(zip(bounds, accumulate(spent.buckets), strict=True)), spent.total
            )
        failed = CounterMetricFamily("protoscale_failures", "Jobs given up, by kind.", labels=["kind"])
        for kind, count in failures.items():
            failed.add_metric([kind], count)
        yield from (seconds, failed)

    def _devices(self) -> Iterator[Metric]:
        board = Board.read(self._spool.root)
        yield GaugeMetricFamily(
            "protoscale_supervisor_up",
            "1 while a supervisor works on the spool.",
            value=float(board is not None),
        )
        families = {
            name: GaugeMetricFamily(f"protoscale_device_{name}", what, labels=["worker", "device", "node"])
            for name, what in (
                ("up", "1 while the worker is idle or busy."),
                ("busy_share", "Share of its time a worker spent in stages, 0 to 1."),
                ("memory_bytes", "Resident memory of the worker's process."),
                ("gpu_used_bytes", "Memory in use on the worker's GPU."),
                ("gpu_total_bytes", "Memory of the worker's GPU."),
                ("gpu_utilisation", "How busy the worker's GPU is, in percent, as NVML says it."),
                ("jobs_done", "Stages the worker finished since the service started."),
                ("restarts", "How often the worker's process was replaced."),
            )
        }
        for slot in slots_of(board):
            for name, value in _of(slot).items():
                if value is not None:
                    families[name].add_metric([slot.name, slot.device, slot.node], value)
        yield from families.values()


def _of(slot: Slot) -> dict[str, float | None]:
    gpu = slot.gpu
    return {
        "gpu_used_bytes": gpu.used_bytes if gpu else None,
        "gpu_total_bytes": gpu.total_bytes if gpu else None,
        "gpu_utilisation": gpu.utilisation if gpu else None,
        "up": float(slot.state in (IDLE, BUSY)),
        "busy_share": slot.busy_share,
        "memory_bytes": slot.memory_bytes,
        "jobs_done": slot.jobs_done,
        "restarts": slot.restarts,
    }
