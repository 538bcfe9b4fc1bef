"""Who goes first among the jobs that wait in a folder: age decides, and a priority is a head start in age.

A `high` job counts as a day older than it is, a `low` one as a day younger. So a high job goes before every normal
one of the last day, and nothing starves: whatever waits long enough is older than everything that comes.

The priority of a job is an empty file `priority/<id>.high` or `.low`, and jobs without one are normal: it is laid
before the job appears, may change while the job waits, and lies outside the job so that a claim need not open
100,000 requests to find the one that is urgent. The supervisor sweeps the marks of jobs that are gone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from spool import durable, filesystem
from spool.errors import InvalidRequest, NoSuchJob
from spool.ids import is_job_id
from spool.layout import TMP
from spool.reader import Reader

HIGH = "high"
NORMAL = "normal"
LOW = "low"
PRIORITIES = (HIGH, NORMAL, LOW)
FOLDER = "priority"

HEAD_START = 86_400_000
"""Milliseconds that a high job counts as older, and a low one as younger."""
_AHEAD = {HIGH: HEAD_START, NORMAL: 0, LOW: -HEAD_START}


def check(wanted: str) -> str:
    """The priority itself. Raises InvalidRequest for what is none."""
    if wanted not in PRIORITIES:
        raise InvalidRequest(f"priority {wanted!r} is not one of {', '.join(PRIORITIES)}")
    return wanted


def mark(root: Path, job_id: str, wanted: str) -> None:
    """Give a job this priority, on the disk when this returns. Raises InvalidRequest for what is none.

    At any moment of this, and after a crash in it, the job has the old priority or the new one. Of two who ask at
    once one wins, or both marks stay, and then high counts.
    """
    check(wanted)
    folder = root / FOLDER
    durable.make_folder(folder)
    with contextlib.suppress(FileNotFoundError):  # somebody else changed it this instant
        now = of(root, job_id)
        if wanted == now:
            return
        if wanted == NORMAL:
            (folder / f"{job_id}.{now}").unlink()
        elif now == NORMAL:
            (folder / f"{job_id}.{wanted}").touch()
        else:
            (folder / f"{job_id}.{now}").rename(folder / f"{job_id}.{wanted}")
    durable.fsync(folder)


def of(root: Path, job_id: str) -> str:
    """The priority of a job."""
    return marked(root).get(job_id, NORMAL)


def changed_at(root: Path) -> int:
    """When a priority last changed (nanoseconds since 1970); 0 where no job ever had one."""
    try:
        return os.stat(f"{root}/{FOLDER}").st_mtime_ns  # noqa: PTH116 (each status asks)
    except FileNotFoundError:
        return 0


_kept: dict[Path, tuple[int, Mapping[str, str]]] = {}
"""The last reading, with the folder's time: every status asks."""


def marked(root: Path) -> Mapping[str, str]:
    """The priority of every job that has one other than normal."""
    stamp = changed_at(root)
    if not stamp:
        return {}
    known = _kept.get(root)
    if known and known[0] == stamp:
        return known[1]
    now = time.time_ns()
    found: dict[str, str] = {}
    for name in sorted(os.listdir(root / FOLDER), reverse=True):  # of two marks of one job, high comes last
        job_id, _, wanted = name.partition(".")
        if is_job_id(job_id) and wanted in (HIGH, LOW):
            found[job_id] = wanted
    if filesystem.is_past(stamp, now):
        _kept[root] = (stamp, found)
    return found


def place(job_id: str, wanted: str) -> str:
    """What a job is sorted by: its id, whose first 48 bits are its age, with the head start taken into them."""
    ahead = _AHEAD[wanted]
    if not ahead:
        return job_id
    made = max(0, int(job_id[:8] + job_id[9:13], 16) - ahead)
    digits = f"{made:012x}"
    return f"{digits[:8]}-{digits[8:]}{job_id[13:]}"


def sweep(root: Path) -> None:
    """Remove the marks of jobs that exist no more: those whose directory is in none of the folders."""
    for job_id, wanted in marked(root).items():
        if not _exists(root, job_id):
            (root / FOLDER / f"{job_id}.{wanted}").unlink(missing_ok=True)


def _exists(root: Path, job_id: str) -> bool:
    if (root / TMP / job_id).exists():  # its mark is made before it appears
        return True
    try:
        Reader(root).find(job_id)  # a job may move while it is looked for
    except NoSuchJob:
        return False
    except InvalidRequest:
        pass
    return True
