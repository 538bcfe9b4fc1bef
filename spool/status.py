"""status.json and attempts.json: how far a job got, and how often it was tried.

They are two files because they are two things. `status.json` is news for people: it is rewritten several
times a second without fsync, so power loss may leave it old or empty, and nothing is decided by it.
`attempts.json` is record: it is on the disk before the work it counts begins, so that a job that takes its
worker, or the machine, down with it is still counted. It is there before the job is, with a digit for each stage, so
that counting is one byte written over another: nothing is made, no name has to get to the disk, and a reader or a
power cut finds the old digit or the new one. A tenth attempt, or a file of another form, replaces it whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from spool import durable, layout, small
from spool.job import Request


@dataclass(frozen=True)
class Status:
    """The content of `status.json`. `progress` is 0 to 100 over the whole job; timings are seconds."""

    stage: str = ""
    progress: float = 0.0
    message: str = ""
    worker: str | None = None
    engine: str | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    device: Mapping[str, float] = field(default_factory=dict)
    """Of stages that are finished beside their device: after how many seconds the device was free."""
    finishing: Mapping[str, float] = field(default_factory=dict)
    """... and how many seconds the finishing took, without waiting for its turn."""

    @classmethod
    def read(cls, job: Path) -> Status:
        """The job's news; a missing, torn or foreign file reads as no news, and so does one that this user may not
        read. Raises nothing but OSError."""
        try:
            value = json.loads(small.read(f"{job}/{layout.STATUS}"))
            status = {name: value[name] for name in _KNOWN & set(value)}
            status["notes"] = tuple(status.get("notes", ()))
            status["progress"] = float(status.get("progress", 0.0))
            return cls(**status)
        except (FileNotFoundError, PermissionError, ValueError, TypeError):
            return cls()

    def write(self, job: Path, *, durable_too: bool = False, last: bool = False) -> None:
        """Replace the job's `status.json`. The `last` one of a job: `Spool.advance` will put it on the disk."""
        durable.replace_json(
            job / layout.STATUS, vars(self), durable=durable_too, has_ballast=last or durable_too
        )


_KNOWN = {item.name for item in fields(Status)}


def read_attempts(job: Path) -> dict[str, int]:
    """How often each stage of this job was begun; a stage that never was is not named."""
    return _attempts_in(_attempts_of(job))


def no_attempts(job: Path) -> None:
    """Lay `attempts.json` into a draft."""
    durable.make(f"{job}/{layout.ATTEMPTS}", durable.lines(_NEVER))


def count_attempt(job: Path, stage: str) -> dict[str, int]:
    """Count one more attempt at `stage`, on the disk when this returns."""
    return _recount(job, stage, 1)


def refund_attempt(job: Path, stage: str) -> None:
    """Take back an attempt that was not the job's fault (a drain, a full disk)."""
    _recount(job, stage, -1)


_NEVER = {stage.name: 0 for stage in layout.STAGES}


def _attempts_of(job: Path) -> bytes:
    try:
        return small.read(f"{job}/{layout.ATTEMPTS}")
    except FileNotFoundError:
        return b"{}"


def _attempts_in(content: bytes) -> dict[str, int]:
    try:
        return {str(stage): number for stage, count in json.loads(content).items() if (number := int(count))}
    except (ValueError, TypeError, AttributeError):
        # Damaged, and not a reason to end whoever reads it. It is there, so something may have been tried; from the
        # next attempt on, which replaces it, it is counted again, and nothing is tried for ever.
        return dict.fromkeys(_NEVER, 1)


def _recount(job: Path, stage: str, change: int) -> dict[str, int]:
    before = _attempts_of(job)
    counts = {**_NEVER, **_attempts_in(before)}
    counts[stage] = max(0, counts[stage] + change)
    durable.amend(job / layout.ATTEMPTS, before, durable.lines(counts))
    return {name: count for name, count in counts.items() if count}


_FULL = {"cutout": (0.0, 5.0), "geometry": (5.0, 50.0), "texture": (50.0, 90.0), "finishing": (90.0, 100.0)}
_VIEWS = {"cutout": (0.0, 10.0), "geometry": (10.0, 90.0), "finishing": (90.0, 100.0)}


def progress_over_job(request: Request, part: str, share: float) -> float:
    """Where a job is, 0 to 100, when `share` (0 to 1) of `part` is done.

    The parts are the stages and `finishing`, what comes after the last model step.
    """
    start, end = (_VIEWS if request.views_only else _FULL)[part]
    return round(start + (end - start) * min(max(share, 0.0), 1.0), 1)


def as_error(status: Status, cancelled: bool) -> str:
    """Why a job lies in `failed/`, also where the process that moved it there died before it could say."""
    if status.error:
        return status.error
    return "cancelled" if cancelled else "it failed, and the reason was lost; `protoscale retry` tries again"


def public_error(status: Status, folder: str, cancelled: bool) -> Any:
    """The error field readers see: set only for jobs that have really failed."""
    return as_error(status, cancelled) if folder == layout.FAILED else None
