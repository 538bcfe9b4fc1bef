"""Deleting what is older than the limits. A job that a reader has open stays readable: deleting takes the name."""

from __future__ import annotations

import logging
import shutil
import time

from daemon.config import Config
from spool import layout
from spool.errors import SpoolError
from spool.spool import Spool

DAY = 86400.0
DRAFT_AGE = DAY
"""Seconds after which something in tmp/ belongs to nobody any more: no upload takes this long."""


def sweep(spool: Spool, config: Config, log: logging.Logger) -> None:
    """Remove finished and forgotten jobs past their age, and abandoned drafts."""
    sweep_tmp(spool, log)
    limits = (
        (layout.DONE, config.keep_done),
        (layout.FAILED, config.keep_failed),
        (layout.HELD, config.keep_held),
    )
    for folder, days in limits:
        for job_id in spool.waiting(folder) if days else ():
            if _age(spool, folder, job_id) > days * DAY:
                try:
                    spool.remove(job_id)
                    log.info("job %s: deleted after %g days in %s/", job_id, days, folder)
                except SpoolError:
                    continue  # somebody released or deleted it this instant


def sweep_tmp(spool: Spool, log: logging.Logger) -> None:
    """Remove drafts that nobody works on any more, and what a cut-off deletion left."""
    for path in (spool.root / layout.TMP).iterdir():
        age = time.time() - path.stat().st_mtime
        if path.name.startswith("gone-") or age > DRAFT_AGE:
            log.info("removing %s, left over", path)
            shutil.rmtree(path, ignore_errors=True)


def _age(spool: Spool, folder: str, job_id: str) -> float:
    """Seconds since the job directory last changed: after it came to rest only a new export touches it."""
    try:
        return time.time() - (spool.root / folder / job_id).stat().st_mtime
    except FileNotFoundError:
        return 0.0
