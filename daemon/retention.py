"""Deleting what is older than the limits, or more than the disk is meant to hold; never what somebody reads.

A reader that opens a file in the last instant keeps it all the same: deleting takes the name, not the open file.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from daemon.almanac import Almanac
from daemon.config import Config
from daemon.lease import being_read
from spool import layout, priority, rights
from spool.draft import ADOPTION
from spool.errors import SpoolError
from spool.spool import Spool

DAY = 86400.0
DRAFT_AGE = DAY
"""Seconds after which something in tmp/ belongs to nobody any more: no upload takes this long."""


def sweep(spool: Spool, config: Config, log: logging.Logger, almanac: Almanac) -> None:
    """Remove finished and forgotten jobs past their age or beyond the total size, and abandoned drafts."""
    if almanac.trusted:
        sweep_ages(spool, config, log, almanac)
    sweep_size(spool, config.keep_size, log)
    sweep_tmp(spool, log, almanac)
    priority.sweep(spool.root)


def sweep_ages(spool: Spool, config: Config, log: logging.Logger, almanac: Almanac) -> None:
    """Remove jobs that have rested longer than their folder's limit."""
    limits = (
        (layout.DONE, config.keep_done),
        (layout.FAILED, config.keep_failed),
        (layout.HELD, config.keep_held),
    )
    for folder, days in limits:
        for job_id in spool.waiting(folder) if days else ():
            path = spool.root / folder / job_id
            if almanac.age(_modified(path, almanac)) > days * DAY:
                _remove(spool, path, log, f"deleted after {days:g} days in {folder}/")


def sweep_size(spool: Spool, limit: int, log: logging.Logger) -> None:
    """Remove the oldest of done/ and failed/ until what is left of both takes no more than `limit` bytes."""
    if not limit:
        return
    kept = 0
    resting = [(name, folder) for folder in (layout.DONE, layout.FAILED) for name in spool.waiting(folder)]
    for job_id, folder in sorted(resting, reverse=True):  # newest first
        path = spool.root / folder / job_id
        size = _size(path)
        why = f"deleted from {folder}/, to keep within {limit} bytes"
        if kept + size <= limit or not _remove(spool, path, log, why):
            kept += size


def sweep_tmp(spool: Spool, log: logging.Logger, almanac: Almanac | None = None) -> None:
    """Remove what a cut-off deletion left and, by the `almanac`, drafts that nobody works on any more.

    Never an adoption, however old: it may hold the one copy of a dropped picture, and is finished, not deleted.
    """
    for path in (spool.root / layout.TMP).iterdir():
        if path.name.startswith(ADOPTION):
            continue
        # Without an almanac (at start) only what is surely nobody's: the HTTP server may be writing the rest.
        old = almanac is not None and almanac.age(_modified(path, almanac)) > DRAFT_AGE
        if path.name.startswith("gone-") or (old and not _is_open(path)):
            log.info("removing %s, left over", path)
            shutil.rmtree(path, ignore_errors=True)


def _remove(spool: Spool, path: Path, log: logging.Logger, why: str) -> bool:
    if _is_open(path):
        return False
    try:
        spool.remove(path.name)
    except SpoolError:
        return False  # somebody released or deleted it this instant
    except PermissionError:
        log.warning("%s is to be deleted, and may not be: %s", path, rights.obstacle(path) or "not permitted")
        return False
    log.info("job %s: %s", path.name, why)
    return True


def _is_open(job: Path) -> bool:
    """Whether some process has a file of this job open now. Where the kernel does not tell, nobody is thought to."""
    try:
        return any(being_read(file) for file in _files(job))
    except OSError:
        return False


def _size(job: Path) -> int:
    """Bytes this job takes on the disk; 0 where it has gone, or may not be looked at."""
    try:
        return sum(file.stat().st_blocks * 512 for file in _files(job))
    except (FileNotFoundError, PermissionError):
        return 0


def _files(job: Path) -> Iterator[Path]:
    with os.scandir(job) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _modified(path: Path, almanac: Almanac) -> float:
    """When this directory last changed (once a job rests, only an export does that); now, where it has gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return almanac.now
