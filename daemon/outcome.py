"""What becomes of an attempt. It is decided here and nowhere else:

    finished        the job moves on, or stays in hand where this worker does the next stage too
    BadJob          the job fails, with the reason; so does one with a file that the service may not read
    Cancelled       the job fails, as asked
    EngineError     the job goes back and rests; past its attempts it fails
    disk trouble    the job goes back uncharged, and this worker waits, longer each time
    drained         the job goes back uncharged, and this worker ends
    anything else   our bug: the traceback goes to job.log, the process ends, the supervisor judges (inquest.py)

The same goes for the part of an attempt that `daemon.finisher` does in another process, whenever that ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from daemon import disk, joblog
from daemon.config import Config
from daemon.errors import BadJob, Cancelled, EngineError
from daemon.pulse import Pulse
from daemon.reporter import Drained, tell
from spool import layout, policy, rights, tally
from spool.job import Job
from spool.layout import STAGE_OF_FOLDER, Stage
from spool.spool import Spool
from spool.status import Status, read_attempts, refund_attempt
from spool.tally import Tally
from spool.trouble import Trouble

log = logging.getLogger(__name__)

DISK_PAUSE = 5.0
LONGEST_DISK_PAUSE = 60.0

Work = Callable[[], "Status | None"]
"""What an attempt does: gives the news, or None where a finisher has the rest; raises as in the table above."""
Onward = tuple[Stage, "Status | None"]
"""The stage to go on with, and the news that are not written yet."""


@dataclass(frozen=True)
class Attempt:
    """A stage of a job in a worker's hands, since when (monotonic seconds), and how often it was begun before."""

    job: Job
    stage: Stage
    began: float
    counted_before: int


class Outcomes:
    """Of one worker: moves the jobs, keeps its counts, and knows when it waits for its disk."""

    def __init__(self, spool: Spool, config: Config, tally: Tally, pulse: Pulse) -> None:
        self.spool = spool
        self._config = config
        self._tally = tally
        self._pulse = pulse
        self._troubles = 0
        self._awaited_until = 0.0

    @property
    def waits_for_disk(self) -> bool:
        return time.monotonic() < self._awaited_until

    def believe_the_disk(self) -> None:
        """Wait for it no longer."""
        self._troubles, self._awaited_until = 0, 0.0

    def judge(self, attempt: Attempt, work: Work, goes_on: Callable[[str], bool]) -> Onward | None:
        """Run the `work` of an attempt, and do what the table at the top says about its outcome.

        `goes_on` says whether the worker goes on at once with a job that belongs in that folder next.
        """
        job, stage = attempt.job, attempt.stage
        try:
            return self._settle(attempt, work, goes_on)
        except OSError as error:
            if not disk.is_trouble(error):
                raise
            self._wait_for_disk()
            log.error("job %s: %s; free space or mend the disk under %s", job.id, error, self.spool.root)
            counted = read_attempts(job.path).get(stage.name, 0) > attempt.counted_before
            self.put_back(job, stage, f"waiting: {error.strerror}", refund=counted)
            return None

    def _settle(self, attempt: Attempt, work: Work, goes_on: Callable[[str], bool]) -> Onward | None:
        job, stage = attempt.job, attempt.stage
        try:
            status = work()
        except Cancelled:
            self.cancel(job)
        except BadJob as error:
            self._give_up(job, str(error))
        except PermissionError as error:
            if job.path not in Path(str(error.filename)).parents:
                raise
            name = Path(str(error.filename)).name
            give = rights.give_to_us(self.spool.root / layout.FAILED / job.id)
            self._give_up(job, f"{name} belongs to another user ({error.strerror}); `{give}`, then retry it")
        except EngineError as error:
            self._try_again(job, stage, str(error))
        except Drained:
            self.put_back(job, stage, "put back: the service stopped")
        else:
            return self._finish(attempt, status, goes_on) if status else None
        return None

    def _give_up(self, job: Job, reason: str) -> None:
        self._tally.failure(tally.BAD_JOB)
        log.warning("job %s: %s", job.id, reason)
        self.spool.fail(job.path, reason)

    def cancel(self, job: Job) -> None:
        """Give a job up that somebody asked to stop."""
        self._tally.failure(tally.CANCELLED)
        self.spool.fail(job.path, "cancelled")

    def _finish(self, attempt: Attempt, status: Status, goes_on: Callable[[str], bool]) -> Onward | None:
        job, stage, seconds = attempt.job, attempt.stage, time.monotonic() - attempt.began
        self._tally.stage(stage.name, seconds)
        self.believe_the_disk()
        self._pulse.finish()
        status = replace(status, timings={**status.timings, stage.name: round(seconds, 3)})
        folder = job.next_folder()
        if goes_on(folder):
            log.info("job %s: %s took %.2f s, going on with it", job.id, stage.name, seconds)
            return STAGE_OF_FOLDER[folder], status
        status = replace(status, worker=None)
        if folder in (layout.DONE, layout.HELD):
            status = replace(status, progress=100.0, message="done")
            status.write(job.path, last=True)
        else:
            tell(job, status)
        self.spool.advance(job)
        log.info("job %s: %s took %.2f s, on to %s/", job.id, stage.name, seconds, folder)
        return None

    def _wait_for_disk(self) -> None:
        self._troubles += 1
        pause = min(LONGEST_DISK_PAUSE, DISK_PAUSE * 2.0 ** (self._troubles - 1))
        self._awaited_until = time.monotonic() + pause

    def _try_again(self, job: Job, stage: Stage, reason: str) -> None:
        joblog.append(job.path, f"{stage.name}: {reason}")
        tried = read_attempts(job.path)[stage.name]
        log.warning("job %s: %s failed (attempt %d): %s", job.id, stage.name, tried, reason)
        if tried >= self._config.attempts:
            self._tally.failure(tally.ENGINE)
            self.spool.fail(job.path, f"{stage.name} failed {tried} times; the last time: {reason}")
        else:
            Trouble.read(job.path).resting(policy.rest_after(tried)).write(job.path)
            _say(job, f"trying again: {reason}")
            self.spool.advance(job)

    def put_back(self, job: Job, stage: Stage, message: str, *, refund: bool = True) -> None:
        """Back to its folder, the attempt not counted: it was not the job's fault."""
        if refund:
            refund_attempt(job.path, stage.name)
        _say(job, message)
        self.spool.advance(job)


def _say(job: Job, message: str) -> None:
    """Of a job that nobody works on for now."""
    tell(job, replace(Status.read(job.path), message=message, worker=None))
