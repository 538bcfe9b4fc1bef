"""A worker: one process, one device, one engine. It claims jobs for its stages and works on them.

What becomes of an attempt is decided here and nowhere else:

    finished        the job moves on
    BadJob          the job fails, with the reason
    Cancelled       the job fails, as asked
    EngineError     the job goes back; past its attempts it fails
    disk trouble    the job goes back uncharged, and this worker waits
    drained         the job goes back uncharged, and this worker ends
    anything else   our bug: the traceback goes to job.log, the process ends, the supervisor puts the job back

The same goes for the part of an attempt that `daemon.finisher` does in another process, whenever that ends.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FrameType

import psutil

from daemon import joblog, policy, stages
from daemon.config import Config
from daemon.devices import Post
from daemon.engines.base import Engine
from daemon.errors import BadJob, Cancelled, EngineError
from daemon.finisher import Finished, Finisher, Finishing
from daemon.pulse import Pulse
from daemon.reporter import Drained, Reporter
from daemon.stages import PhotoLimits, Rest
from daemon.wake import Wake
from spool import layout
from spool.job import Job
from spool.layout import STAGE_OF_FOLDER, Stage
from spool.settings import room_left
from spool.spool import Spool
from spool.status import Status, read_attempts, refund_attempt

log = logging.getLogger(__name__)

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
DISK_PAUSE = 5.0


class Worker:
    """The loop of one post. `step` is one turn of it."""

    def __init__(
        self,
        spool: Spool,
        config: Config,
        post: Post,
        engine: Engine,
        pulse: Pulse,
        geometry_workers: int = 1,
        finisher: Finisher | None = None,
    ) -> None:
        self.spool = spool
        self.config = config
        self.post = post
        self.engine = engine
        self.pulse = pulse
        self.wake = Wake()
        self.finisher = finisher
        self._geometry_workers = geometry_workers
        self._limits = PhotoLimits(config.max_pixels, config.max_side)
        self._drain_by: float | None = None
        self._worked = time.monotonic()
        self._loaded = False
        self._pause = 0.0
        self._attempts = 0

    def drain(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """End after the running stage, or at its next step once the drain limit has passed."""
        if self._drain_by is None:
            self._drain_by = time.monotonic() + self.config.drain_limit

    @property
    def draining(self) -> bool:
        return self._drain_by is not None

    def run(self) -> None:
        """Work until drained."""
        self.spool.enlist(self.post.name)
        while not self.draining:
            if not self.step():
                self.rest()
            elif self.outgrown():
                log.info("this worker outgrew PROTOSCALE_MAX_WORKER_JOBS or _MEMORY: a fresh one takes over")
                break
        self.wind_up()

    def step(self) -> bool:
        """Claim one job and work on it. False where there was nothing to do."""
        self.collect()
        if self.finisher and self.finisher.full:
            return False
        if not room_left(self.spool.root, self.config.reserve):
            self._pause = DISK_PAUSE
            return False
        for folder in policy.order(self.post.stages, self._waiting, self._geometry_workers):
            job = self.spool.claim(folder, self.post.name)
            if job:
                self.take(job, STAGE_OF_FOLDER[folder])
                return True
        return False

    def outgrown(self) -> bool:
        """Whether this process did or keeps more than it may: libraries leak and decay a little with every job."""
        most = self.config.max_worker_jobs
        if most and self._attempts >= most:
            return True
        limit = self.config.max_worker_memory
        return bool(limit) and psutil.Process().memory_info().rss > limit

    def rest(self) -> None:
        """Nothing to do: give idle models back, and sleep until a file event, a signal or the next scan."""
        idle_for = time.monotonic() - self._worked
        if self._loaded and idle_for >= self.config.idle_timeout:
            self._loaded = False
            if self.engine.unload():
                log.info("models unloaded after %.0f s without work", idle_for)
        seconds = min(self._pause or self.config.scan_every, self.config.scan_every)
        if self._loaded:
            seconds = min(seconds, max(0.0, self.config.idle_timeout - idle_for))
        self._pause = 0.0
        if self.finisher and self.finisher.outstanding:
            self.wake.wait(min(seconds, 1.0), self.finisher.descriptors)
        else:
            self.wake.wait(seconds)

    def collect(self) -> None:
        """Move the jobs on whose finishing in the other process is over."""
        for finished in self.finisher.ended() if self.finisher else ():
            self._worked = time.monotonic()
            self._judge(
                finished.work.job, finished.work.stage, finished.work.began, partial(_outcome, finished)
            )

    def wind_up(self) -> None:
        """Wait for what is being finished, as long as a drain allows, and put the others back uncharged."""
        while self.finisher and self.finisher.outstanding and not self._drain_is_over():
            self.rest()
            self.collect()
        for work in self.finisher.stop() if self.finisher else ():
            self._put_back(work.job, work.stage, "put back: the service stopped")

    def take(self, job: Job, stage: Stage) -> None:
        """Do one claimed job's stage and move the job to where it belongs then."""
        if job.cancelled:
            self.spool.fail(job.path, "cancelled")
        elif job.next_folder() != stage.folder:
            self.spool.advance(job)  # resumed: the product of this stage is there already
        else:
            self._attempt(job, stage)

    def _waiting(self, folder: str) -> int:
        return len(self.spool.waiting(folder))

    def _attempt(self, job: Job, stage: Stage) -> None:
        attempts = self.spool.begin(job, stage.name)
        status = replace(
            Status.read(job.path),
            stage=stage.name,
            worker=self.post.name,
            engine=self.engine.name,
            error=None,
            attempts=attempts,
        )
        report = Reporter(job, status, self.pulse, self._drain_is_over)
        began = time.monotonic()
        self.pulse.begin()
        self._loaded = True
        self._attempts += 1
        try:
            self._judge(job, stage, began, partial(self._work, job, stage, report))
        finally:
            self.pulse.end()
            self._worked = time.monotonic()

    def _work(self, job: Job, stage: Stage, report: Reporter) -> tuple[Status, Rest | None]:
        rest = stages.WORK[stage.name](job, self.engine, self._limits, report)
        if rest is not None and self.finisher is None:
            stages.finish(job, rest, report)
            rest = None
        return report.status, rest

    def _judge(
        self,
        job: Job,
        stage: Stage,
        began: float,
        work: Callable[[], tuple[Status, Rest | None]],
    ) -> None:
        """Run the `work` of an attempt, and do what the table at the top says about its outcome."""
        try:
            status, rest = work()
        except Cancelled:
            self.spool.fail(job.path, "cancelled")
        except BadJob as error:
            log.warning("job %s: %s", job.id, error)
            self.spool.fail(job.path, str(error))
        except EngineError as error:
            self._try_again(job, stage, str(error))
        except Drained:
            self._put_back(job, stage, "put back: the service stopped")
        except OSError as error:
            if error.errno not in DISK_TROUBLE:
                raise
            self._pause = DISK_PAUSE
            self._put_back(job, stage, f"waiting: {error.strerror}")
            log.error("job %s: %s; free space or mend the disk under %s", job.id, error, self.spool.root)
        else:
            if rest is not None and self.finisher:
                self.finisher.submit(Finishing(job, stage, status, rest, began))
            else:
                self._finish(job, stage, status, time.monotonic() - began)

    def _drain_is_over(self) -> bool:
        return self._drain_by is not None and time.monotonic() >= self._drain_by

    def _finish(self, job: Job, stage: Stage, status: Status, seconds: float) -> None:
        timings = {**status.timings, stage.name: round(seconds, 3)}
        resting = job.next_folder() in (layout.DONE, layout.HELD)
        if resting:
            status = replace(status, progress=100.0, message="done")
        replace(status, timings=timings, worker=None).write(job.path, durable_too=resting)
        folder = self.spool.advance(job)
        log.info("job %s: %s took %.2f s, on to %s/", job.id, stage.name, seconds, folder)

    def _try_again(self, job: Job, stage: Stage, reason: str) -> None:
        joblog.append(job.path, f"{stage.name}: {reason}")
        tried = read_attempts(job.path)[stage.name]
        log.warning("job %s: %s failed (attempt %d): %s", job.id, stage.name, tried, reason)
        if tried >= self.config.attempts:
            self.spool.fail(job.path, f"{stage.name} failed {tried} times; the last time: {reason}")
        else:
            replace(Status.read(job.path), message=f"trying again: {reason}", worker=None).write(job.path)
            self.spool.advance(job)

    def _put_back(self, job: Job, stage: Stage, message: str) -> None:
        """Back to its folder, the attempt not counted: it was not the job's fault."""
        refund_attempt(job.path, stage.name)
        replace(Status.read(job.path), message=message, worker=None).write(job.path)
        self.spool.advance(job)


def _outcome(finished: Finished) -> tuple[Status, None]:
    if finished.error is not None:
        raise finished.error
    return finished.status, None
