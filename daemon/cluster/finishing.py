"""Finishing on another machine: its device takes the next job while a child of the outpost finishes this one.

As on one machine (`daemon.finisher`), with the wire in between: the envoy's loop holds a `FarFinisher` where a
worker's holds a `Finisher`, and the outpost's `Annex` holds the real one. What is left of a stage (`Rest`) never
travels; its products do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from daemon import joblog
from daemon.cluster import parcel
from daemon.cluster.parcel import AttemptId
from daemon.config import Config
from daemon.errors import DaemonError
from daemon.finisher import Finished, Finisher, Finishing
from daemon.reporter import tell
from spool import policy
from spool.job import Job
from spool.layout import STAGE_NAMED
from spool.status import Status

if TYPE_CHECKING:
    from daemon.stages import Rest


@dataclass(frozen=True)
class Word:
    """What is told of one finishing: its news, and once it `is_over` what it made or raised."""

    attempt: AttemptId
    status: Status
    is_over: bool = False
    products: tuple[tuple[str, bytes], ...] = ()
    log: str = ""
    error: BaseException | None = None


@dataclass(frozen=True)
class Kept:
    """A job directory on the outpost whose stage is not finished. `given` came with it."""

    folder: TemporaryDirectory[str]
    job: Job
    given: tuple[str, ...]
    rest: Rest
    status: Status


class Annex:
    """The outpost's side. Used by the thread that answers, because the child dies with the thread that made it."""

    def __init__(self, worker: str, config: Config) -> None:
        self._worker = worker
        self._config = config
        self._kept: dict[AttemptId, Kept] = {}
        self._finisher: Finisher | None = None  # made when an engine first leaves something

    def keep(self, attempt: AttemptId, kept: Kept) -> None:
        """Hold on to what a stage left, until it is submitted."""
        self._kept[attempt] = kept

    def submit(self, attempt: AttemptId) -> None:
        """Have it finished after what was submitted before."""
        kept = self._kept[attempt]
        if self._finisher is None:
            self._finisher = Finisher(self._worker, self._config)
        stage = STAGE_NAMED[attempt.stage]
        self._finisher.submit(Finishing(kept.job, stage, kept.status, kept.rest, began=0.0))

    def look(self, cancelled: Iterable[AttemptId]) -> list[Word]:
        """News of everything that was submitted; the `cancelled` stop at their next step."""
        for attempt in cancelled:
            if attempt in self._kept:
                (self._kept[attempt].job.path / "cancel").touch()
        over = [self._over(finished) for finished in (self._finisher.ended() if self._finisher else ())]
        # In one step: the bench may be keeping the next one.
        kept = list(self._kept.items())
        return [*over, *(Word(attempt, Status.read(each.job.path)) for attempt, each in kept)]

    def drop(self) -> None:
        """Forget everything."""
        if self._finisher:
            self._finisher.stop()
            self._finisher = None
        for kept in self._kept.values():
            kept.folder.cleanup()
        self._kept.clear()

    def _over(self, finished: Finished) -> Word:
        attempt = next(key for key, kept in list(self._kept.items()) if kept.job == finished.work.job)
        kept = self._kept.pop(attempt)
        word = Word(
            attempt,
            finished.status,
            is_over=True,
            products=parcel.made(kept.job, kept.given),
            log=joblog.read(kept.job.path),
            error=finished.error,
        )
        kept.folder.cleanup()
        return word


class FarFinisher:
    """The envoy's side: what a worker's loop asks of a `Finisher`. `call` asks the outpost."""

    descriptors: tuple[int, ...] = ()

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._works: dict[AttemptId, Finishing] = {}

    @property
    def outstanding(self) -> int:
        return len(self._works)

    @property
    def full(self) -> bool:
        return self.outstanding >= policy.FINISHING

    def submit(self, work: Finishing) -> None:
        """Have it finished over there."""
        attempt = AttemptId.of(work.job, work.stage.name)
        self._works[attempt] = work
        self._call("finish", attempt)

    def ended(self) -> list[Finished]:
        """What ended since the last look, published; of the rest the news."""
        if not self._works:
            return []
        words: list[Word] = self._call(
            "look_at_finishing", [at for at, work in self._works.items() if work.job.cancelled]
        )
        found = []
        for word in words:
            if word.is_over:
                found.append(self._received(word, self._works.pop(word.attempt)))
            elif word.status.stage and (work := self._works.get(word.attempt)):
                tell(work.job, _merged(work.status, word.status))
        return found

    def stop(self) -> list[Finishing]:
        """Give up for good what is not finished."""
        left = list(self._works.values())
        if left:
            self._call("drop")
        self._works.clear()
        return left

    def _received(self, word: Word, work: Finishing) -> Finished:
        joblog.carry(work.job.path, word.log)
        error = word.error
        try:
            parcel.publish(work.job, word.attempt, word.products)
        except (DaemonError, OSError) as failed:
            error = failed
        return Finished(work, _merged(work.status, word.status), error)


def _merged(ours: Status, theirs: Status) -> Status:
    """Our record of the attempt with their news of it."""
    progress = max(ours.progress, theirs.progress)
    return replace(ours, stage=theirs.stage, progress=progress, message=theirs.message, notes=theirs.notes)
