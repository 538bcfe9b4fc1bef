"""A worker: one process, one device, one engine. It claims jobs for its stages and works on them.

What becomes of an attempt is decided in `daemon.outcome`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from daemon.config import Config
from daemon.devices import Post
from daemon.engines.base import Engine
from daemon.finisher import Finished, Finisher, Finishing
from daemon.garbage import Garbage, resident
from daemon.outcome import Attempt, Onward, Outcomes
from daemon.pace import Pace
from daemon.pulse import Pulse
from daemon.reporter import Reporter
from daemon.wake import Wake
from spool import layout, pause, policy
from spool.job import Job
from spool.layout import STAGE_OF_FOLDER, Stage
from spool.line import LONG, Head, count_in, first_in
from spool.room import room_left
from spool.spool import Spool
from spool.status import Status, read_attempts
from spool.tally import Tally

if TYPE_CHECKING:
    from daemon.stages import Rest

log = logging.getLogger(__name__)

BREATH = 0.05
"""Seconds that a worker which could claim nothing sleeps at least, whatever seems to wait."""
LEFT_TO_OTHERS = 1.0
"""Seconds until a worker looks again for jobs that it left to faster devices."""


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
        self._drain_by: float | None = None
        self._retires = False
        self._worked = time.monotonic()
        self._loaded = False
        self._attempts = 0
        self._garbage = Garbage()
        self._heads = heads_of(spool, post)
        self._tally = Tally(spool.root, post.name)
        self.outcomes = Outcomes(spool, config, self._tally, pulse)
        self._pace = Pace(spool.root, post.name, self._tally, partial(count_in, spool.root, most=LONG))

    def drain(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """End after the running stage, or at its next step once the drain limit has passed."""
        if self._drain_by is None:
            self._drain_by = time.monotonic() + self.config.drain_limit

    def retire(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """End after the running stage, however long it takes: a fresh worker goes on."""
        self._retires = True

    @property
    def draining(self) -> bool:
        return self._retires or self._drain_by is not None

    def run(self) -> None:
        """Work until drained or retired."""
        self.spool.enlist(self.post.name)
        while not self.draining:
            self.pulse.beat()
            if not self.step():
                self.rest()
            elif self.outgrown():
                log.info("this worker outgrew PROTOSCALE_MAX_WORKER_JOBS or _MEMORY: a fresh one takes over")
                break
        self.wind_up()

    def step(self) -> bool:
        """Claim one job and work on it until something goes before it. False where there was nothing to do."""
        self.collect()
        if self._may_not_claim:
            return False
        for folder in self._folders():
            job = self.spool.claim(folder, self.post.name, self._heads[folder])
            if job:
                onward: Onward | None = (STAGE_OF_FOLDER[folder], None)
                while onward:
                    onward = self.take(job, *onward)
                return True
        return False

    def _folders(self) -> Iterator[str]:
        """Where to claim from, best first."""
        geometry_workers = self._pace.workers_for("geometry", self._geometry_workers)
        waiting = partial(count_in, self.spool.root, most=geometry_workers)
        folders = policy.order(self.post.stages, waiting, geometry_workers)
        return (folder for folder in folders if not self._pace.leaves(folder))

    def outgrown(self) -> bool:
        """Whether this process did or keeps more than it may: libraries leak and decay a little with every job."""
        most = self.config.max_worker_jobs
        if most and self._attempts >= most:
            return True
        limit = self.config.max_worker_memory
        return bool(limit) and self.resident() > limit

    def rest(self) -> None:
        """Nothing to do: give idle models back, and sleep until a file event, a signal or the next scan."""
        self._tally.settle()
        idle_for = time.monotonic() - self._worked
        if self._loaded and idle_for >= self.config.idle_timeout:
            self._loaded = False
            if self.engine.unload():
                log.info("models unloaded after %.0f s without work", idle_for)
        seconds = self._patience()
        if self._loaded:
            seconds = min(seconds, max(0.0, self.config.idle_timeout - idle_for))
        if self.finisher and self.finisher.outstanding:
            self.wake.wait(min(seconds, 1.0), self.finisher.descriptors)
        else:
            self.wake.wait(seconds)

    def collect(self) -> None:
        """Move the jobs on whose finishing in the other process is over."""
        for finished in self.finisher.ended() if self.finisher else ():
            self._worked = time.monotonic()
            work = finished.work
            counted_before = work.status.attempts[work.stage.name] - 1
            attempt = Attempt(work.job, work.stage, work.began, counted_before)
            self.outcomes.judge(attempt, partial(_outcome, finished), goes_on=lambda folder: False)

    def wind_up(self) -> None:
        """Wait for what is being finished, as long as a drain allows, and put the others back uncharged."""
        while self.finisher and self.finisher.outstanding and not self._drain_is_over():
            self.pulse.beat()
            self.rest()
            self.collect()
        self._tally.settle()
        for work in self.finisher.stop() if self.finisher else ():
            self.outcomes.put_back(work.job, work.stage, "put back: the service stopped")

    @property
    def _may_not_claim(self) -> bool:
        """Whether this worker has its hands full or waits for the disk, or the queue is paused."""
        if self.finisher and self.finisher.full:
            return True
        if self.outcomes.waits_for_disk or pause.is_paused(self.spool.root):
            return True
        return not room_left(self.spool.root, self.config.reserve)

    def _patience(self) -> float:
        """Seconds until there may be something to do: the next scan, or the end of a waiting job's rest."""
        if self._may_not_claim:
            return self.config.scan_every
        if self._pace.leaving:
            return min(self.config.scan_every, LEFT_TO_OTHERS)
        rests = [
            self.spool.rest_left(folder, job)
            for folder in self._heads
            for job in first_in(self.spool.root, folder, LONG)
        ]
        return max(BREATH, min([self.config.scan_every, *rests]))

    def take(self, job: Job, stage: Stage, news: Status | None = None) -> Onward | None:
        """Do one claimed job's stage, and move the job to where it belongs then.

        `news` is the status where nobody wrote it yet. Returns what to do next where the job is still in hand.
        """
        if job.cancelled:
            self.outcomes.cancel(job)
        elif job.next_folder() != stage.folder:
            self.spool.advance(job)  # resumed: the product of this stage is there already
        else:
            return self._attempt(job, stage, news)
        return None

    def _attempt(self, job: Job, stage: Stage, news: Status | None) -> Onward | None:
        # From here to `end` the job answers for what becomes of this process; a bug leaves it answering.
        self.pulse.begin(job.id, stage.name)
        counted_before = (news.attempts if news else read_attempts(job.path)).get(stage.name, 0)
        attempt = Attempt(job, stage, time.monotonic(), counted_before)
        onward = self.outcomes.judge(attempt, partial(self._work, attempt, news), self._goes_on_with)
        self.pulse.end()
        self._worked = time.monotonic()
        self._garbage.collect(self._worked - attempt.began)
        return onward

    def _work(self, attempt: Attempt, news: Status | None) -> Status | None:
        """Do an attempt, but for what a finisher does meanwhile: None says that it has something to do."""
        job, stage = attempt.job, attempt.stage
        attempts = self.spool.begin(job, stage.name)
        before = news or Status.read(job.path)
        status = replace(
            before,
            stage=stage.name,
            worker=self.post.name,
            engine=self.engine.name,
            error=None,
            attempts=attempts,
            device={name: seconds for name, seconds in before.device.items() if name != stage.name},
        )
        usual = self._tally.usual(stage.name)
        report = Reporter(job, status, self.pulse, self._drain_is_over, usual=usual)
        self._loaded = True
        self._attempts += 1
        with report:
            rest = self.perform(stage.name, job, report)
        if rest is None or self.finisher is None:
            return report.status
        device = {**report.status.device, stage.name: round(time.monotonic() - attempt.began, 3)}
        status = replace(report.status, device=device)
        self.finisher.submit(Finishing(job, stage, status, rest, attempt.began))
        return None

    def perform(self, stage: str, job: Job, report: Reporter) -> Rest | None:
        """Do a stage of a claimed job, but for what a finisher does better."""
        # Here: an envoy, whose stages are done elsewhere, does without the mesh libraries.
        from daemon import stages

        limits = stages.PhotoLimits(self.config.max_pixels, self.config.max_side)
        rest = stages.WORK[stage](job, self.engine, limits, report)
        if rest is not None and self.finisher is None:
            stages.finish(job, rest, report)
            return None
        return rest

    def resident(self) -> int:
        """Bytes of memory that what does the work keeps."""
        return resident()

    def _drain_is_over(self) -> bool:
        return self._drain_by is not None and time.monotonic() >= self._drain_by

    def _goes_on_with(self, folder: str) -> bool:
        """Whether a job that belongs in `folder` now is what this worker would claim next.

        It is then not laid into that folder to be taken out again. Whatever waits, be it behind this job, ends that:
        who goes first is decided in the folders. So do jobs at the finisher, which are collected between two claims.
        """
        if self.finisher and self.finisher.outstanding:
            return False
        if folder not in self._heads or self.draining or self._may_not_claim or self.outgrown():
            return False
        for better in self._folders():
            if count_in(self.spool.root, better, most=1):
                return False
            if better == folder:
                return True
        return False


def heads_of(spool: Spool, post: Post) -> dict[str, Head]:
    """The lines that a worker of this post claims from, by folder."""
    folders = [layout.STAGE_NAMED[stage].folder for stage in post.stages]
    return {folder: Head(spool.root, folder) for folder in folders}


def _outcome(finished: Finished) -> Status:
    if finished.error is not None:
        raise finished.error
    return finished.status
