"""How a job is told to the outside: the status object that the HTTP API and the command line share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spool import layout, priority, small
from spool.errors import NoSuchJob
from spool.estimate import estimate
from spool.layout import DONE, FAILED, HELD, INBOX, STAGE_OF_FOLDER
from spool.line import line_in
from spool.reader import Found
from spool.spool import Spool
from spool.status import public_error, read_attempts

PENDING = "pending"
PROCESSING = "processing"
COMPLETED = "completed"
GIVEN_UP = "failed"

MEASURED = (
    "watertight",
    "edge_manifold",
    "components",
    "faces",
    "faces_asked",
    "dimensions_m",
    "volume_m3",
    "overhang",
)
"""What a status repeats of analysis.json."""

PLACES_COUNT_FOR = 0.05
"""Seconds that a place in a line of more than a hundred is told on: nobody there sees the difference."""


def state_of(found: Found, attempts: Mapping[str, int] | None = None) -> str:
    """`pending`, `processing`, `completed` or `failed`: derived from the folder, recorded nowhere.

    `attempts` are the job's, where they were read already.
    """
    if found.folder == DONE:
        return COMPLETED
    if found.folder == FAILED:
        return GIVEN_UP
    if found.folder == HELD:
        return COMPLETED if _has_its_views(found) else PENDING
    if found.folder != INBOX:
        return PROCESSING
    return PROCESSING if attempts or (attempts is None and read_attempts(found.job.path)) else PENDING


def _has_its_views(found: Found) -> bool:
    """Whether a held job rests there with its views; one whose release was cut off wants them and has none."""
    return found.job.request.views_only and found.job.next_folder() == HELD


def stage_of(found: Found) -> str:
    """The stage a job is in or waits for; `uploaded`, `views` and `done` where it rests."""
    if found.folder == HELD:
        return "views" if _has_its_views(found) else "uploaded"
    if found.folder == DONE:
        return "done"
    if found.folder in STAGE_OF_FOLDER:
        return STAGE_OF_FOLDER[found.folder].name
    return found.status.stage or "cutout"


def of_the_job(found: Found) -> dict[str, Any]:
    """The part of a status that the files in the job's directory tell, and the folder it lies in."""
    request, status, attempts = found.job.request, found.status, read_attempts(found.job.path)
    state = state_of(found, attempts)
    return {
        "job_id": request.id,
        "status": state,
        "progress": 100.0 if state == COMPLETED else status.progress,
        "stage": stage_of(found),
        "error": _error(found),
        "message": status.message,
        "engine": status.engine,
        "timings": dict(status.timings),
        "notes": list(status.notes),
        "attempts": attempts,
        "worker": found.worker,
        "name": request.name,
        "source": request.source,
        "quality": request.quality,
        "tags": list(request.tags),
        "seed": request.seed,
        "created_at": request.created,
        "has_views": found.job.has(layout.VIEWS[-1]),
        "has_model": found.folder == DONE and found.job.has(layout.MODEL_GLB),
        "mesh": _measured(found),
    }


def of_the_queue(spool: Spool, found: Found) -> dict[str, Any]:
    """The part of a status that changes without the job: its place in the queue and what that means."""
    return {
        "queue_position": queue_position(spool, found),
        "estimate": estimated(spool, found),
        "priority": priority.of(spool.root, found.job.id),
    }


def _error(found: Found) -> Any:
    return public_error(found.status, found.folder, found.folder == FAILED and found.job.cancelled)


def _measured(found: Found) -> dict[str, Any] | None:
    """The measurements of a finished model out of analysis.json; None before, and where they cannot be read."""
    if found.folder != DONE:
        return None
    try:
        told = json.loads(small.read(f"{found.job.path}/{layout.ANALYSIS}"))
    except (FileNotFoundError, ValueError):
        return None
    return {key: told[key] for key in MEASURED if key in told}


def summary(found: Found) -> dict[str, Any]:
    """One line of a job list."""
    request = found.job.request
    return {
        "job_id": request.id,
        "status": state_of(found),
        "stage": stage_of(found),
        "progress": 100.0 if state_of(found) == COMPLETED else found.status.progress,
        "has_model": found.folder == DONE and found.job.has(layout.MODEL_GLB),
        "created_at": request.created,
        "name": request.name,
        "quality": request.quality,
        "tags": list(request.tags),
        "error": _error(found),
    }


def queue_position(spool: Spool, found: Found) -> int | None:
    """How many jobs of the same folder are taken before this one, plus one; None for jobs that do not wait."""
    if found.folder not in STAGE_OF_FOLDER:
        return None
    return 1 + line_in(spool.root, found.folder, PLACES_COUNT_FOR).position(found.job.id)


def estimated(spool: Spool, found: Found) -> dict[str, float] | None:
    """In how many seconds the job starts and is done, as far as can be said; None where it cannot, or rests."""
    told = estimate(spool.root, found.folder, found.job.id)
    return told.as_json() if told else None


def look(spool: Spool, job_id: str) -> dict[str, Any]:
    """Find a job and tell it. Raises NoSuchJob."""
    _, of_itself, of_queue = met(spool, job_id)
    return {**of_itself, **of_queue}


def told(spool: Spool, found: Found) -> dict[str, Any]:
    """Tell a job that is not finished as it was met, wherever it has gone since."""
    return {**of_the_job(found), **of_the_queue(spool, found)}


def met(spool: Spool, job_id: str) -> tuple[Found, dict[str, Any], dict[str, Any]]:
    """Find a job: how it was met, and the two parts of its status. Raises NoSuchJob."""
    for _ in range(4):
        found = spool.find(job_id)
        try:
            return found, of_the_job(found), of_the_queue(spool, found)
        except FileNotFoundError:
            continue  # it moved between two reads
    raise NoSuchJob(job_id)
