"""Progress of one attempt: from the engine's real steps to status.json, the supervisor and the cancel mark."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from daemon import disk
from daemon.engines.base import Progress
from daemon.errors import Cancelled
from spool.job import Job
from spool.status import Status, progress_over_job

EVERY = 0.2
"""Seconds between two rewrites of status.json: it is news, and five a second is plenty."""


class Drained(BaseException):
    """The service stops and this stage did not finish in time; the job goes back uncharged.

    Not an Exception, so that no engine's clean-up code mistakes it for a failed step.
    """


class Beat(Protocol):
    """Somebody who wants to know that the work gets on."""

    def step(self) -> None: ...


def tell(job: Job, status: Status) -> None:
    """Write a job's news. Trouble with the disk lets them go by: the job matters more."""
    with disk.unimportant(f"status of job {job.id}"):
        status.write(job.path)


class Reporter:
    """Hands out progress callbacks for the parts of a job and writes what they say."""

    def __init__(
        self,
        job: Job,
        status: Status,
        pulse: Beat,
        drained: Callable[[], bool],
        *,
        usual: float | None = None,
    ) -> None:
        """`usual` says how many seconds such an attempt takes, where that is known.

        What is over before anybody could read of it is not announced: its first news are due as all others are.
        """
        self._job = job
        self.status = status
        self._pulse = pulse
        self._drained = drained
        self._announced = False
        self._written = time.monotonic() if usual is not None and usual < EVERY else float("-inf")

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Where an attempt that was never announced ends early: whoever judges it goes on from what is written."""
        if kind and not self._announced:
            tell(self._job, self.status)

    def part(self, name: str) -> Progress:
        """The callback for one part (a stage, or `finishing`) of the job."""

        def progress(share: float, message: str) -> None:
            self._pulse.step()
            self._heed()
            self._tell(name, progress_over_job(self._job.request, name, share), message)

        return progress

    def relay(self, news: Status) -> None:
        """Pass on what another machine says of this attempt. Raises as a progress callback does."""
        self._heed()
        self.note(*news.notes)
        if news.stage:
            self._tell(news.stage, news.progress, news.message)

    def _heed(self) -> None:
        """Stop where somebody asks for it."""
        if self._drained():
            raise Drained
        if self._job.cancelled:
            raise Cancelled("cancelled")

    def _tell(self, part: str, overall: float, message: str) -> None:
        # A second attempt starts over, but what people see never goes back.
        self.status = replace(
            self.status, stage=part, progress=max(self.status.progress, overall), message=message
        )
        now = time.monotonic()
        if now - self._written >= EVERY:
            self._written, self._announced = now, True
            tell(self._job, self.status)

    def note(self, *notes: str) -> None:
        """Tell the person who sent the photo something, once."""
        fresh = tuple(note for note in notes if note not in self.status.notes)
        self.status = replace(self.status, notes=(*self.status.notes, *fresh))
