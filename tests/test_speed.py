"""Cards differ: whose a finished stage was, how fast each worker is, and what is told where two are unequal."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from daemon.devices import Post
from daemon.pulse import Pulse
from daemon.worker import Worker
from spool import estimate, history, lock
from spool.board import IDLE, Board, Slot
from spool.estimate import outlook
from spool.forecast import Forecast, Queued, Seat, Span, forecast
from spool.history import Sample, medians, samples_of
from spool.speed import Learned, learned
from spool.spool import Spool
from spool.status import Status
from spool.tally import Spent, Tally
from tests.support import SphereEngine, config, submit

FAST, SLOW, PAINTER = "geometry-0", "geometry-1", "texture-0"
SECONDS = {FAST: 10.0, SLOW: 52.0}
RATIO = {"draft": 0.5, "balanced": 1.0, "high": 1.0, "ultra": 2.0}


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    """A spool where a fast and a slow card make shapes and a third paints them; nothing is kept between two looks."""
    for module in (history, estimate):
        monkeypatch.setattr(module, "GOOD_FOR", 0.0)
        monkeypatch.setattr(module, "PATIENCE", 0.0)
    made = Spool.open(tmp_path / "spool")
    stages = {SLOW: ("geometry",), FAST: ("geometry",), PAINTER: ("cutout", "texture")}
    slots = [
        Slot(name, name.partition("-")[0], "cpu", taken, IDLE, None, None, 1, 0, 0.0, None, 0)
        for name, taken in stages.items()
    ]
    for slot in slots:
        made.enlist(slot.name)
    held = lock.take(made.root)
    Board(os.getpid(), "2026-01-01T00:00:00+00:00", "sphere", None, (), tuple(slots)).write(made.root)
    yield made
    os.close(held)


def finished(spool: Spool, whose: Mapping[str, Tally], worker: str, seconds: float) -> None:
    """A job whose shape a worker made in so many seconds, as the worker leaves it behind."""
    whose[worker].stage("geometry", seconds)
    whose[worker].settle()
    job = submit(spool, "done")
    Status(engine="sphere", timings={"cutout": 1.0, "geometry": seconds, "texture": 2.0}).write(job.path)


def test_a_job_on_two_unequal_cards_is_told_when_it_will_be_done(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tallies = {worker: Tally(spool.root, worker) for worker in (FAST, SLOW)}
    for at in range(18):  # five of six are the fast one's, as they are while jobs wait
        worker = SLOW if at % 6 == 5 else FAST
        finished(spool, tallies, worker, SECONDS[worker] + at / 1000)
    jobs = [submit(spool, "geometry", views=True, model=False).id for _ in range(11)]

    def finishes() -> list[float]:
        seen = outlook(spool.root)
        assert seen
        return sorted(round(seen.times[job].finishes) for job in jobs)

    # The slow one does one till 52 and leaves the four that wait by then to the fast one, which is sooner done.
    assert finishes() == [10, 20, 30, 40, 50, 52, 60, 70, 80, 90, 100]
    with monkeypatch.context() as before:
        before.setattr(estimate, "learned", lambda samples, tallies: Learned(medians(samples), {}))
        before.setattr(estimate, "usual_of", lambda tally, stages: {})
        assert finishes() == [10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 60]


def test_what_a_worker_counts_tells_which_jobs_were_its_own(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool")
    stages = ("cutout", "texture", "geometry")
    for name in ("all-0", "all-1"):
        spool.enlist(name)
        worker = Worker(spool, config(spool.root), Post(name, "cpu", stages), SphereEngine(), Pulse())
        submit(spool)
        while worker.step():
            pass
        worker.wind_up()
        worker.wake.close()
    tallies = {name: Tally(spool.root, name) for name in ("all-0", "all-1")}
    second, first = samples_of(spool.root)  # the newest first
    for name, sample in (("all-0", first), ("all-1", second)):
        counted = {stage: spent.recent for stage, spent in tallies[name].stages.items()}
        assert counted == {stage: [seconds] for stage, seconds in sample.seconds.items()}


def worked_off(
    speeds: Mapping[str, float], mix: Sequence[int], seed: int
) -> tuple[list[Sample], dict[str, Tally]]:
    """The history of 150 jobs of a mix of qualities, done by devices that take so much longer than each other."""
    chance = random.Random(seed)
    jobs = [Queued(f"{at:04}", chance.choices(list(RATIO), mix)[0], model=False) for at in range(150)]
    quality = {job.id: job.quality for job in jobs}
    spans: dict[tuple[str, str], Span] = {}

    def takes(seat: str, stage: str, job: Queued) -> Span:
        jittered = 20 * RATIO[job.quality] * speeds[seat] * chance.gammavariate(100, 0.01)
        return spans.setdefault((seat, job.id), Span(round(jittered, 3)))

    played: Forecast = forecast([Seat(name, ("geometry",)) for name in speeds], {"geometry": jobs}, [], takes)
    tallies = {name: Tally(Path("nowhere"), name) for name in speeds}
    samples = []
    for claim in sorted(played.claims, key=lambda claim: claim.frees):
        span = spans[claim.seat, claim.job]
        tallies[claim.seat].stages.setdefault("geometry", Spent()).add(span.device)
        samples.append(Sample("e", quality[claim.job], {"geometry": span}, {"geometry": span.device}))
    return samples[::-1][: history.NEWEST], tallies


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mix", [(0, 0, 1, 0), (1, 1, 1, 1), (1, 0, 0, 1)])
@pytest.mark.parametrize("others", [[4.0], [1.0], [1.5], [3.0, 3.0, 3.0]])
def test_the_speed_of_each_is_found_whatever_mix_each_had(
    others: list[float], mix: tuple[int, ...], seed: int
) -> None:
    speeds = {"fast": 1.0, **{f"other-{at}": share for at, share in enumerate(others)}}
    samples, tallies = worked_off(speeds, mix, seed)
    known = learned(samples, tallies)
    errors = [
        abs(known.spans["geometry", quality].device * known.shares[name, "geometry"] / true - 1)
        for name, share in speeds.items()
        for quality in RATIO
        if ("geometry", quality) in known.spans
        for true in [20 * RATIO[quality] * share]
    ]
    assert sum(errors) / len(errors) < 0.15


def test_who_did_too_little_or_works_alone_has_no_share() -> None:
    samples, tallies = worked_off({"fast": 1.0, "slow": 4.0}, (0, 0, 1, 0), 0)
    alone = learned(samples, {"fast": tallies["fast"]})
    assert alone.shares == {} and alone.spans == medians(samples)
    tallies["slow"].stages["geometry"].recent = tallies["slow"].stages["geometry"].recent[:2]
    assert set(learned(samples, tallies).shares) == {("fast", "geometry")}
    assert learned([], tallies) == Learned({}, {})
