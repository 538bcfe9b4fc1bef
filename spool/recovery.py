"""What becomes of the jobs that a dead worker held, and of those that a broken device was to blame for.

Only the supervisor asks: the worker is dead, or, for a pardon, the job is claimed like any other. Wherever this is
cut off, asking again ends the same, and no attempt is charged twice.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path

from spool import durable, layout, rights
from spool.errors import InvalidRequest, NoSuchJob
from spool.ids import is_job_id
from spool.job import Job
from spool.layout import FAILED, RUNNING, STAGE_OF_FOLDER
from spool.spool import Spool
from spool.status import Status, read_attempts, refund_attempt
from spool.trouble import POISON, SPARES, Charge, Trouble, Verdict


def recover(
    spool: Spool,
    worker: str,
    attempts_allowed: int,
    reason: str,
    *,
    refund: bool = False,
    verdicts: MutableMapping[str, Verdict] | None = None,
) -> list[tuple[str, str]]:
    """Put what a dead worker held back to where it belongs; past the attempts, to `failed/`.

    `reason` says for people how the worker ended. `verdicts` says, by job id, whose fault it was; what it
    does not name is counted or, with `refund`, given back. A verdict is taken out once it is written down, so
    that calling again after an OSError charges nobody twice. A job that this user may not move stays. Returns
    (job id, folder) pairs.
    """
    verdicts = {} if verdicts is None else verdicts
    if refund:
        verdicts = {job_id: Verdict(Charge.REFUNDED) for job_id in spool.waiting(f"{RUNNING}/{worker}")}
    recovered = []
    for path in sorted((spool.root / RUNNING / worker).iterdir()):
        if is_job_id(path.name) and path.is_dir() and rights.may_move(path):
            recovered.append((path.name, _recover_one(spool, path, attempts_allowed, reason, verdicts)))
    return recovered


def _recover_one(
    spool: Spool, path: Path, attempts_allowed: int, reason: str, verdicts: MutableMapping[str, Verdict]
) -> str:
    durable.clear_asides(path)
    try:
        job = Job.read(path)
    except (InvalidRequest, FileNotFoundError) as error:
        spool.fail(path, f"its request cannot be read: {error}")
        return FAILED
    stage = STAGE_OF_FOLDER.get(job.next_folder())
    if stage is None:
        return spool.advance(job)  # it was finished: only the move was missing
    trouble = _charge(path, stage.name, verdicts.get(path.name, Verdict(Charge.COUNTED)))
    verdicts.pop(path.name, None)
    if job.cancelled:
        spool.fail(path, "cancelled")
    elif trouble.killed >= POISON:
        spool.fail(
            path,
            f"poison: it took {trouble.killed} workers down with it, the last time in {stage.name}: {reason}; "
            f"see {layout.LOG}, and retry it when the cause is gone",
        )
    elif read_attempts(path).get(stage.name, 0) >= attempts_allowed:
        spool.fail(path, f"{stage.name} was tried {attempts_allowed} times and never finished: {reason}")
    else:
        return spool.advance(job)
    return FAILED


def pardon(spool: Spool, job_id: str, stage: str, worker: str, rest: float) -> bool:
    """Give a job that waits, or was given up as poison, an attempt at `stage` back: its device was to blame.

    The caller claims it for that moment into its own folder `running/<worker>/`, because only who holds a
    job may write its record. False where the job runs, is finished, was spared often enough, or has gone.
    """
    try:
        found = spool.find(job_id)
    except (NoSuchJob, InvalidRequest):
        return False
    trouble = Trouble.read(found.job.path)
    poisoned = found.folder == FAILED and trouble.killed >= POISON and not found.job.cancelled
    if trouble.spared >= SPARES or not (found.folder in STAGE_OF_FOLDER or poisoned):
        return False
    spool.enlist(worker)
    mine = spool.root / RUNNING / worker / job_id
    try:
        found.job.path.rename(mine)
    except (FileNotFoundError, PermissionError):
        return False
    replace(trouble, killed=max(0, trouble.killed - 1)).write(mine)
    _charge(mine, stage, Verdict(Charge.SPARED, rest))
    replace(Status.read(mine), error=None, message="waiting: its device is out of service").write(mine)
    spool.advance(Job.read(mine))
    return True


def _charge(path: Path, stage: str, verdict: Verdict) -> Trouble:
    """Write down what becomes of the attempt that was cut off, and return the job's troubles with it."""
    trouble = Trouble.read(path)
    charge = verdict.charge
    if charge is Charge.SPARED and trouble.spared >= SPARES:
        charge = verdict.otherwise
    if charge is Charge.KILLED:
        trouble = replace(trouble, killed=trouble.killed + 1)
    elif charge is Charge.SPARED:
        trouble = replace(trouble, spared=trouble.spared + 1)
    if verdict.rest:
        trouble = trouble.resting(verdict.rest)
    if trouble != Trouble.read(path):
        trouble.write(path)
    if charge in (Charge.REFUNDED, Charge.SPARED):
        refund_attempt(path, stage)
    return trouble
