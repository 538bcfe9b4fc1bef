"""job.log: what a person needs to see when a job went wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

from daemon import disk
from spool import layout
from spool.spool import Spool


def append(job: Path, text: str) -> None:
    """Add lines to the log of the job directory `job`; on a full disk the lines are lost, the job is not."""
    with disk.unimportant(f"log of job {job.name}"), (job / layout.LOG).open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} pid {os.getpid()} {text.rstrip()}\n")


def read(job: Path) -> str:
    """The log of the job directory `job`; empty where there is none."""
    file = job / layout.LOG
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def carry(job: Path, lines: str) -> None:
    """Add what another machine wrote into its log of the same job."""
    if not lines:
        return
    with disk.unimportant(f"log of job {job.name}"), (job / layout.LOG).open("a", encoding="utf-8") as file:
        file.write(lines)


def append_all(spool: Spool, worker: str, text: str) -> None:
    """Add lines to the log of every job that `worker` holds."""
    for job_id in spool.waiting(f"{layout.RUNNING}/{worker}"):
        append(spool.root / layout.RUNNING / worker / job_id, text)


def stacks_file(spool: Spool, worker: str) -> Path:
    """Where a worker's stacks go when it is aborted or crashes; no job id, so nobody takes it for a job."""
    return spool.root / layout.RUNNING / worker / "stacks"


def carry_stacks(spool: Spool, worker: str, how: str) -> None:
    """Move what a dead worker left in its stacks file into the logs of the jobs it held."""
    file = stacks_file(spool, worker)
    left = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    if left:
        append_all(spool, worker, f"the worker {how}; its threads were at:\n{left}")
        os.truncate(file, 0)
