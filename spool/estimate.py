"""In how many seconds a job will start, and be done: the queue played to its end (`spool.forecast`) with what this
machine's last jobs took (`spool.history`), with what runs now and how long it has been running.

The first `WINDOW` jobs are played; those behind them follow at the rate these go. Nothing here is a record: each
process plays the queue for itself, at most once a second and for at most a twentieth of its time, when it is asked.
"""

from __future__ import annotations

import heapq
import math
import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spool import layout, pause
from spool.board import OUT, STOPPING, Board
from spool.errors import InvalidRequest
from spool.forecast import Forecast, Queued, Running, Seat, Times, by_quality, forecast
from spool.history import samples_of, spans_for
from spool.ids import only
from spool.job import Job
from spool.layout import STAGE_OF_FOLDER
from spool.line import PATIENCE, Line, line_in
from spool.speed import learned, usual_of
from spool.status import Status
from spool.tally import Tally
from spool.trouble import Trouble

WINDOW = 400
GOOD_FOR = 1.0
"""Seconds that a forecast is told on, counted down meanwhile."""
RESTING = 50
"""Jobs at the front of which it is asked whether they rest between two attempts."""


@dataclass(frozen=True)
class Estimate:
    """Seconds from now until a job is taken by a worker (0 where it is running), and until it is done."""

    start: float
    finish: float

    def as_json(self) -> dict[str, float]:
        """As it is told: what is far away is not known to the tenth."""
        return {"start": _rounded(self.start), "finish": _rounded(self.finish)}


@dataclass(frozen=True)
class Outlook:
    """The queue as it was forecast at one moment (of the monotonic clock). Times are seconds from that moment."""

    moment: float
    times: Mapping[str, Times]
    lines: Mapping[str, Line]
    """What waited at that moment."""
    tail: Tail | None
    """Where jobs wait behind those that were played."""

    def knows(self, job_id: str | None) -> bool:
        """Whether something can be told of it."""
        return job_id is None or self.tail is not None or job_id in self.times

    def of(self, folder: str, job_id: str) -> Estimate | None:
        """What is to be expected for a job that waits in `folder` or runs; None where nobody can say."""
        told = self.times.get(job_id)
        if told is None and self.tail and folder in self.lines:
            told = self.tail.at(self._rank(folder, job_id))
        if told is None or not math.isfinite(told.finishes):
            return None
        gone = time.monotonic() - self.moment
        return Estimate(max(0.0, told.starts - gone), max(0.0, told.finishes - gone))

    def _rank(self, folder: str, job_id: str) -> int:
        """How many of all that wait are before this job."""
        place = self.lines[folder].at.get(job_id, job_id)
        return sum([bisect_left(line.places, place) for line in self.lines.values()])

    def all_done(self) -> Estimate | None:
        """When the last of what runs and waits will be done."""
        ends = [told.finishes for told in self.times.values()]
        if self.tail:
            ends.append(self.tail.at(sum(map(len, self.lines.values())) - 1).finishes)
        if not ends or not math.isfinite(max(ends)):
            return None
        return Estimate(0.0, max(0.0, max(ends) - (time.monotonic() - self.moment)))


@dataclass(frozen=True)
class Tail:
    """How it goes on behind the jobs that were played: a straight line through the middle half of them."""

    played: int
    first: Times
    """At a quarter of the jobs played ..."""
    third: Times
    """... and at three quarters, each in the order in which jobs start, and are done."""

    @classmethod
    def behind(cls, times: Sequence[Times]) -> Tail:
        starts, finishes = sorted(told.starts for told in times), sorted(told.finishes for told in times)
        low, high = len(times) // 4, 3 * len(times) // 4
        return cls(len(times), Times(starts[low], finishes[low]), Times(starts[high], finishes[high]))

    def at(self, rank: int) -> Times:
        """The job that waits in that place."""
        low, high = self.played // 4, 3 * self.played // 4
        steps = (rank - high) / max(1, high - low)
        first, third = self.first, self.third
        starts = third.starts + steps * (third.starts - first.starts)
        finishes = third.finishes + steps * (third.finishes - first.finishes)
        return Times(min(starts, finishes), finishes)


@dataclass(frozen=True)
class _Made:
    """The last forecast of this process: also one that found nothing to go by."""

    root: Path
    outlook: Outlook | None
    good_until: float
    best_until: float
    """Until then it is told on even to a job that it does not know."""


_last: _Made | None = None


def estimate(root: Path, folder: str, job_id: str) -> Estimate | None:
    """What is to be expected for a job that waits in `folder` or runs; None where there is nothing to go by.

    That is: nothing like it was finished here yet, nobody works here, or the queue is paused.
    """
    if folder not in STAGE_OF_FOLDER and folder != layout.RUNNING:
        return None
    seen = outlook(root, job_id)
    return seen.of(folder, job_id) if seen else None


def outlook(root: Path, job_id: str | None = None) -> Outlook | None:
    """The forecast of now; made anew for a job that the last one does not know."""
    global _last
    now, last = time.monotonic(), _last
    if last and (last.root is root or last.root == root):
        seen = last.outlook
        if now < last.best_until or (now < last.good_until and (seen is None or seen.knows(job_id))):
            return seen
    seen = _look(root, now)
    cost = time.monotonic() - now
    _last = _Made(root, seen, now + cost + max(GOOD_FOR, PATIENCE * cost), now + cost + PATIENCE * cost)
    return seen


def _look(root: Path, now: float) -> Outlook | None:
    board = Board.read(root)
    if board is None or pause.is_paused(root):
        return None
    slots = [slot for slot in board.workers if slot.state not in (OUT, STOPPING)]
    tallies = {slot.name: Tally(root, slot.name) for slot in slots}
    seats = [Seat(slot.name, slot.stages, usual_of(tallies[slot.name], slot.stages)) for slot in slots]
    lines = {folder: line_in(root, folder) for folder in STAGE_OF_FOLDER}
    waiting: dict[str, list[Queued]] = {folder: [] for folder in STAGE_OF_FOLDER}
    for rank, (folder, job_id) in enumerate(first_of(lines, WINDOW)):
        if told := _facts(root / folder / job_id):
            rest = Trouble.read(root / folder / job_id).rest_left if rank < RESTING else 0.0
            waiting[folder].append(Queued(job_id, *told, turn=rank, since=rest))
    running = [work for seat in seats for work in _running(root, seat.name)]
    _forget(waiting, running)
    jobs = [job for queued in waiting.values() for job in queued]
    samples = [sample for sample in samples_of(root) if sample.engine == board.engine]
    known = learned(samples, tallies)
    spans = spans_for(known.spans, {job.quality for job in (*jobs, *(work.job for work in running))})
    if spans is None:
        return None
    played = forecast(seats, waiting, running, by_quality(spans, known.shares))
    return Outlook(now, played.times, lines, _tail(lines, jobs, played))


def _tail(lines: Mapping[str, Line], jobs: Sequence[Queued], played: Forecast) -> Tail | None:
    if sum(map(len, lines.values())) <= WINDOW or not jobs:
        return None
    return Tail.behind([played.times[job.id] for job in jobs])


def first_of(lines: Mapping[str, Line], count: int) -> Iterator[tuple[str, str]]:
    """The first of all that wait, in order of priority and age: (folder, job id)."""

    def places(folder: str) -> Iterator[tuple[str, str, str]]:
        line = lines[folder]
        for place in line.places:
            yield place, folder, line.moved.get(place, place)

    merged = heapq.merge(*(places(folder) for folder in lines))
    for _, (_, folder, job_id) in zip(range(count), merged, strict=False):
        yield folder, job_id


_quality: dict[str, tuple[str, bool]] = {}
"""What a waiting job wants, of those that want a model: that is for good, and not read again for each forecast."""


def _facts(path: Path) -> tuple[str, bool] | None:
    """Quality, and whether the model is wanted; None where the job moved on."""
    if known := _quality.get(path.name):
        return known
    try:
        request = Job.read(path).request
    except (FileNotFoundError, InvalidRequest):
        return None
    wants = (request.quality, request.model)
    if request.model:  # who has asked for the views alone may still ask for it
        _quality[path.name] = wants
    return wants


def _forget(waiting: Mapping[str, Sequence[Queued]], running: Sequence[Running]) -> None:
    if len(_quality) > 4 * WINDOW:
        ids = {job.id for jobs in waiting.values() for job in jobs} | {work.job.id for work in running}
        for job_id in _quality.keys() - ids:
            _quality.pop(job_id, None)


def _running(root: Path, worker: str) -> Sequence[Running]:
    """What a worker has in its hands. Its device has the one that was begun last; the others are being finished."""
    found = []
    folder = root / layout.RUNNING / worker
    try:
        ids = only(os.listdir(folder))
    except FileNotFoundError:
        return []
    for job_id in ids:
        told = _facts(folder / job_id)
        try:
            stage = STAGE_OF_FOLDER.get(Job.read(folder / job_id).next_folder())
            # The attempt is counted when the stage begins, and at no other time.
            began = (folder / job_id / layout.ATTEMPTS).stat().st_mtime
        except (FileNotFoundError, InvalidRequest):
            continue
        if told and stage:
            # The status says so only once the finishing has begun: others may still wait for their turn.
            finishing = stage.name in Status.read(folder / job_id).device
            spent = max(0.0, time.time() - began)
            found.append(Running(worker, stage.name, Queued(job_id, *told), spent, finishing))
    found.sort(key=lambda work: work.spent, reverse=True)
    return [*(replace(work, finishing=True) for work in found[:-1]), *found[-1:]]


def _rounded(seconds: float) -> float:
    if seconds < 10:
        return round(seconds, 1)
    step = 1 if seconds < 60 else 5 if seconds < 600 else 30
    return float(step * round(seconds / step))
