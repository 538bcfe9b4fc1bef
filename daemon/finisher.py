"""The finisher: one child process of a worker that does what needs no device, while the device takes the next job.

The job stays in the worker's `running/` folder until its finishing is over, so that whoever recovers the worker's
jobs finds it. The child writes the job's products and its news; the worker alone moves it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from daemon import garbage, joblog
from daemon.config import Config
from daemon.errors import Cancelled, DaemonError, EngineError
from daemon.garbage import Garbage
from daemon.reporter import Reporter
from spool.job import Job
from spool.layout import Stage
from spool.logs import to_stderr
from spool.parent import die_with
from spool.policy import FINISHING
from spool.status import Status

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from daemon.stages import Rest

log = logging.getLogger(__name__)

BEAT = 0.2
"""Seconds between two signs of life."""
CANCEL_GRACE = 5.0
"""Seconds a cancelled finishing has to notice by itself before its process is killed: some steps have no steps."""


@dataclass(frozen=True)
class Finishing:
    """A stage whose model step is over. `began` is when the stage began, in seconds of the monotonic clock."""

    job: Job
    stage: Stage
    status: Status
    rest: Rest
    began: float


@dataclass(frozen=True)
class Finished:
    """How a finishing ended: `error` is what it raised, None where it is done."""

    work: Finishing
    status: Status
    error: BaseException | None


class Finisher:
    """The worker's side. Used by one thread; `ended` does all the reading, so call it whenever you pass by."""

    def __init__(self, worker: str, config: Config) -> None:
        self._worker = worker
        self._config = config
        self._queue: deque[Finishing] = deque()
        self._current: Finishing | None = None
        self._heard = 0.0
        self._stopped = False
        self._line: Connection
        self._start()

    @property
    def outstanding(self) -> int:
        return len(self._queue) + (self._current is not None)

    @property
    def full(self) -> bool:
        return self.outstanding >= FINISHING

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Readable when the child says something or is dead."""
        return (self._line.fileno(),) if self._current else ()

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def submit(self, work: Finishing) -> None:
        """Have it done after what was submitted before."""
        self._queue.append(work)
        self._feed()

    def ended(self) -> list[Finished]:
        """What ended since the last look, in order."""
        found = []
        while self._current and (finished := self._look(self._current)):
            found.append(finished)
            self._current = None
            self._feed()
        return found

    def stop(self) -> list[Finishing]:
        """End the child for good, at once; returns what it had not finished."""
        left = [*([self._current] if self._current else []), *self._queue]
        self._current = None
        self._queue.clear()
        if not self._stopped:
            self._kill()
            self._stopped = True
        return left

    def _feed(self) -> None:
        if self._current is None and self._queue:
            self._current = self._queue.popleft()
            if not self._child.is_alive():  # died while it had nothing to do: nobody's attempt
                log.error("the finisher died while idle (%s); a new one takes over", self._kill())
                self._start()
            self._heard = time.monotonic()
            try:
                self._line.send(self._current)
            except (BrokenPipeError, ConnectionResetError):
                log.debug("the finisher died just now")  # the next look finds its line at an end

    def _look(self, work: Finishing) -> Finished | None:
        """Read what the child said of `work`."""
        try:
            while self._line.poll():
                self._heard, self._up = time.monotonic(), True
                said = self._line.recv()
                if said is not None:
                    status, error = said
                    return Finished(work, status, error)
        except (EOFError, ConnectionResetError):
            code = self._kill()
            self._start()
            return Finished(
                work, work.status, EngineError(f"the process that finished the model died ({code})")
            )
        # What it imports takes a busy machine long, so silence counts from its first word.
        silent = time.monotonic() - self._heard if self._up else 0.0
        if silent > CANCEL_GRACE and work.job.cancelled:
            return self._cut_short(work, Cancelled("cancelled"))
        if silent > self._config.step_limit.of(work.stage.name):
            return self._cut_short(work, EngineError(f"finishing got no further for {silent:.0f} s"))
        return None

    def _cut_short(self, work: Finishing, error: DaemonError) -> Finished:
        self._kill()
        self._start()
        return Finished(work, work.status, error)

    def _start(self) -> None:
        self._up = False
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._child: BaseProcess = context.Process(
            target=main,
            args=(os.getpid(), self._worker, self._config, theirs),
            name=f"{self._worker}-finisher",
        )
        self._child.start()
        theirs.close()  # so that the line ends when the child does

    def _kill(self) -> int | None:
        self._child.kill()
        self._child.join()
        code = self._child.exitcode
        self._child.close()
        self._line.close()
        return code


class _Beat:
    """A pulse for the child's reporter: each step is a sign of life to the worker."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._last = 0.0

    def step(self) -> None:
        if time.monotonic() - self._last >= BEAT:
            self._last = time.monotonic()
            self._line.send(None)


def main(parent: int, worker: str, config: Config, line: Connection) -> None:
    """The target of the child: finish what comes down the line until it ends."""
    die_with(parent)
    # The worker decides when this ends; what a terminal sends, and a unit's SIGTERM, reach the whole group.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Below the worker: what feeds the device comes first.
    os.nice(5)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    to_stderr(config.log_level, worker, config.log_format)
    import daemon.stages  # noqa: F401 (it is ready once that is there)

    garbage.keep_imports()
    left = Garbage()
    line.send(None)
    while True:
        try:
            work: Finishing = line.recv()
        except EOFError:
            return
        _finish(work, line)
        del work  # it holds the model
        left.collect()


def _finish(work: Finishing, line: Connection) -> None:
    from daemon import stages

    report = Reporter(work.job, work.status, _Beat(line), lambda: False)
    error: BaseException | None = None
    began = time.monotonic()
    try:
        stages.finish(work.job, work.rest, report)
    except (DaemonError, OSError) as failed:
        error = failed
    except Exception:
        joblog.append(work.job.path, traceback.format_exc())
        raise
    spent = {**report.status.finishing, work.stage.name: round(time.monotonic() - began, 3)}
    line.send((replace(report.status, finishing=spent), error))
