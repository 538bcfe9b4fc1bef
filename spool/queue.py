"""The queue at a glance: what runs, what waits in which order, how long it will take, and whether it is paused.

However many jobs wait, no more of their requests are read than are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from spool import layout, pause, priority
from spool.errors import InvalidRequest
from spool.estimate import estimate, first_of, outlook
from spool.job import Job
from spool.layout import STAGE_OF_FOLDER
from spool.line import Line, how_many, line_in
from spool.reader import Found
from spool.spool import Spool
from spool.status import Status
from spool.view import stage_of


def told(spool: Spool, first: int) -> dict[str, Any]:
    """The queue object: the counts, what runs, and the `first` of those that wait."""
    lines = {stage.folder: line_in(spool.root, stage.folder) for stage in layout.STAGES}
    running = _running(spool)
    counts = {stage.name: len(lines[stage.folder]) for stage in layout.STAGES}
    held = pause.paused(spool.root)
    seen = outlook(spool.root)
    last = seen.all_done() if seen else None
    return {
        "paused": asdict(held) if held else None,
        "counts": {
            **counts,
            "running": len(running),
            "held": how_many(spool.root, layout.HELD),
        },
        "running": running,
        "waiting": _waiting(spool, lines, first),
        "all_done": last.as_json()["finish"] if last else None,
    }


def _running(spool: Spool) -> list[dict[str, Any]]:
    found = []
    for worker in spool.workers():
        for job_id in spool.waiting(f"{layout.RUNNING}/{worker}"):
            path = spool.root / layout.RUNNING / worker / job_id
            try:
                job = Job.read(path)
            except (FileNotFoundError, InvalidRequest):
                continue  # it moved on
            status = Status.read(path)
            at = Found(job, layout.RUNNING, worker, status)
            found.append(
                {**_row(spool, at), "worker": worker, "stage": stage_of(at), "progress": status.progress}
            )
    return found


def _waiting(spool: Spool, lines: Mapping[str, Line], first: int) -> list[dict[str, Any]]:
    found = []
    for folder, job_id in first_of(lines, first):
        path = spool.root / folder / job_id
        try:
            job = Job.read(path)
        except (FileNotFoundError, InvalidRequest):
            continue
        row = _row(spool, Found(job, folder, None, Status()))
        found.append(
            {
                **row,
                "stage": STAGE_OF_FOLDER[folder].name,
                "position": 1 + lines[folder].position(job_id),
            }
        )
    return found


def _row(spool: Spool, found: Found) -> dict[str, Any]:
    request = found.job.request
    expected = estimate(spool.root, found.folder, request.id)
    return {
        "job_id": request.id,
        "name": request.name,
        "quality": request.quality,
        "priority": priority.of(spool.root, request.id),
        "tags": list(request.tags),
        "estimate": expected.as_json() if expected else None,
    }
