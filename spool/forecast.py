"""When each job will start and be done: a small discrete-event model of the queue, with the real `spool.policy`.

It knows no clock and no disk. Whoever asks says what waits, what runs and how long things take, and gets times in
seconds from now. The page and the command line tell them to people; `benchmarks/simulate.py` asks it about machines
that do not exist. The work is O((jobs x stages) log(jobs + posts)), and the same question has the same answer.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from spool import policy
from spool.layout import STAGE_NAMED, STAGE_OF_FOLDER


@dataclass(frozen=True)
class Seat:
    """A post: one worker on one device, and the stages it takes."""

    name: str
    stages: tuple[str, ...]
    usual: Mapping[str, float] = field(default_factory=dict)
    """Seconds it measured of a stage, where it did: by them it leaves jobs to faster ones, as the policy says."""


@dataclass(frozen=True)
class Queued:
    """A job as the queue sees it. `model` is False where it ends with its views, after the geometry.

    Jobs are claimed by `turn`, then by id, which is by age. `since` is in how many seconds it may be claimed at all:
    it rests till then, or has yet to arrive.
    """

    id: str
    quality: str
    model: bool = True
    turn: float = 0.0
    since: float = 0.0


@dataclass(frozen=True)
class Running:
    """A job in a worker's hands: its stage, and the seconds spent on it.

    `finishing` says that the device is free of it already and another process finishes it.
    """

    seat: str
    stage: str
    job: Queued
    spent: float
    finishing: bool = False


@dataclass(frozen=True)
class Span:
    """How long a stage takes: seconds of the device, then seconds in the process beside it that finishes it."""

    device: float
    finish: float = 0.0


Takes = Callable[[str, str, Queued], Span]
"""How long a stage takes: of the seat's name, the stage's name and the job."""


@dataclass(frozen=True)
class Times:
    """Seconds from now. Infinite where no seat takes a stage that the job needs.

    A job that runs already starts at 0.
    """

    starts: float = math.inf
    finishes: float = math.inf


@dataclass(frozen=True)
class Claim:
    """A seat takes a job for a stage: its device is busy from `begins` to `frees`."""

    seat: str
    stage: str
    job: str
    begins: float
    frees: float


@dataclass(frozen=True)
class Forecast:
    """What becomes of every job, by id, and every claim in the order of time."""

    times: Mapping[str, Times]
    claims: Sequence[Claim]


def by_quality(
    medians: Mapping[tuple[str, str], Span], shares: Mapping[tuple[str, str], float] | None = None
) -> Takes:
    """By (stage, quality), times the share of it that a (seat, stage) takes: 1 where none is known."""
    known = shares or {}

    def takes(seat: str, stage: str, job: Queued) -> Span:
        span = medians[stage, job.quality]
        return Span(span.device * known.get((seat, stage), 1.0), span.finish)

    return takes


def forecast(
    seats: Sequence[Seat],
    waiting: Mapping[str, Iterable[Queued]],
    running: Iterable[Running],
    takes: Takes,
) -> Forecast:
    """Play the queue to its end. `waiting` is by folder: `inbox`, `geometry`, `texture`.

    Of seats that are idle together the first takes first. A job that runs longer than its stage takes is expected to
    be over now.
    """
    model = _Model(seats, takes)
    for folder, jobs in waiting.items():
        for job in jobs:
            model.arrive(job, folder)
    for work in running:
        model.resume(work)
    return model.play()


@dataclass
class _Post:
    """A seat while the model plays: what it finishes beside its device."""

    seat: Seat
    rank: int
    busy: bool = False
    finisher_free: float = 0.0
    outstanding: int = 0

    @property
    def may_claim(self) -> bool:
        return not self.busy and self.outstanding < policy.FINISHING


@dataclass
class _Queue:
    """The jobs of one folder in the order they are claimed."""

    jobs: list[tuple[float, str, Queued]] = field(default_factory=list)

    def put(self, job: Queued) -> None:
        heappush(self.jobs, (job.turn, job.id, job))

    def take(self) -> Queued:
        return heappop(self.jobs)[2]


class _Model:
    """The queue between two events. An event is (when, its number, what happens): the number keeps ties in order."""

    def __init__(self, seats: Sequence[Seat], takes: Takes) -> None:
        self._takes = takes
        self._posts = {seat.name: _Post(seat, rank) for rank, seat in enumerate(seats)}
        self._geometry_workers = sum("geometry" in seat.stages for seat in seats)
        self._queues = {folder: _Queue() for folder in STAGE_OF_FOLDER}
        # Seats that take the same stages look into the same folders: they are asked as one, the first idle one first.
        self._idle: dict[tuple[str, ...], list[int]] = {}
        self._ranked = list(self._posts.values())
        self._others = {
            (seat.name, stage): [
                other.usual[stage] for other in seats if other is not seat and stage in other.usual
            ]
            for seat in seats
            for stage in seat.usual
        }
        # Until when which seat leaves what waits in a folder to faster ones, by folder and name.
        self._leaving: dict[str, dict[str, float]] = {folder: {} for folder in STAGE_OF_FOLDER}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._now = 0.0
        self._starts: dict[str, float] = {}
        self._times: dict[str, Times] = {}
        self._claims: list[Claim] = []
        for post in self._ranked:
            self._rest(post)

    def arrive(self, job: Queued, folder: str) -> None:
        """It waits there from `job.since` on."""
        self._times[job.id] = Times()
        self._at(max(0.0, job.since), lambda: self._queues[folder].put(job))

    def resume(self, work: Running) -> None:
        """It runs now, with some of its stage behind it."""
        post, span = self._posts[work.seat], self._takes(work.seat, work.stage, work.job)
        self._starts[work.job.id] = 0.0
        self._times[work.job.id] = Times(0.0)
        if work.finishing:
            self._finish(post, work.stage, work.job, max(0.0, span.device + span.finish - work.spent))
        else:
            left = Span(max(0.0, span.device - work.spent), span.finish)
            self._begin(post, work.stage, work.job, left)

    def play(self) -> Forecast:
        """All events, to the last."""
        while self._events:
            self._now = self._events[0][0]
            while self._events and self._events[0][0] <= self._now:
                heappop(self._events)[2]()
            while self._claim():
                pass
        return Forecast(self._times, self._claims)

    def _at(self, when: float, what: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._events, (when, self._count, what))

    def _claim(self) -> bool:
        """Let the first idle seat that finds a job take it. False where none does."""
        for stages, idle in self._idle.items():
            for folder in policy.order(stages, self._waiting, self._geometry_workers) if idle else ():
                post = self._taker(folder, idle) if self._waiting(folder) else None
                if post:
                    job, stage = self._take(folder), STAGE_OF_FOLDER[folder].name
                    self._starts.setdefault(job.id, self._now)
                    self._times[job.id] = Times(self._starts[job.id])
                    self._begin(post, stage, job, self._takes(post.seat.name, stage, job))
                    return True
        return False

    def _taker(self, folder: str, idle: Sequence[int]) -> _Post | None:
        posts = (self._ranked[rank] for rank in idle)
        return next((post for post in posts if post.may_claim and not self._leaves(post, folder)), None)

    def _leaves(self, post: _Post, folder: str) -> bool:
        """As `daemon.pace` has it: to faster ones, and never for longer than the job would take here."""
        stage, name = STAGE_OF_FOLDER[folder].name, post.seat.name
        mine = post.seat.usual.get(stage, 0.0)
        others = self._others.get((name, stage), ())
        faster = min(others, default=mine) < mine
        if not faster or not policy.leaves_to_faster(mine, others, self._waiting(folder)):
            self._leaving[folder].pop(name, None)
            return False
        if name not in self._leaving[folder]:
            self._leaving[folder][name] = self._now + mine
            self._at(self._now + mine, lambda: None)  # it is asked again then
        return self._now < self._leaving[folder][name]

    def _take(self, folder: str) -> Queued:
        job = self._queues[folder].take()
        if not self._waiting(folder):
            self._leaving[folder].clear()
        return job

    def _waiting(self, folder: str) -> int:
        return len(self._queues[folder].jobs)

    def _begin(self, post: _Post, stage: str, job: Queued, span: Span) -> None:
        if not post.busy:
            self._idle[post.seat.stages].remove(post.rank)
        post.busy = True
        self._claims.append(Claim(post.seat.name, stage, job.id, self._now, self._now + span.device))
        self._at(self._now + span.device, lambda: self._free(post, stage, job, span.finish))

    def _free(self, post: _Post, stage: str, job: Queued, finish: float) -> None:
        """The device's part of the stage is over."""
        if finish > 0:
            self._finish(post, stage, job, finish)
        else:
            self._advance(stage, job)
        self._rest(post)

    def _finish(self, post: _Post, stage: str, job: Queued, seconds: float) -> None:
        """One after the other, beside the device."""
        post.outstanding += 1
        post.finisher_free = max(self._now, post.finisher_free) + seconds

        def over() -> None:
            post.outstanding -= 1
            self._advance(stage, job)

        self._at(post.finisher_free, over)

    def _rest(self, post: _Post) -> None:
        post.busy = False
        idle = self._idle.setdefault(post.seat.stages, [])
        if post.rank not in idle:
            insort(idle, post.rank)

    def _advance(self, stage: str, job: Queued) -> None:
        if stage == "cutout":
            self._queues[STAGE_NAMED["geometry"].folder].put(job)
        elif stage == "geometry" and job.model:
            self._queues[STAGE_NAMED["texture"].folder].put(job)
        else:
            self._times[job.id] = Times(self._starts[job.id], self._now)
