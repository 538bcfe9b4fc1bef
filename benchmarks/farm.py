"""Machines that are not here: so many cards, split between the kinds of work, with a queue or a day of jobs.

`spool.forecast` plays them, with the policy that the workers use. What a stage takes on a card is assumed.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.prediction import makespan
from spool.forecast import Queued, Seat, Span, Takes, forecast
from spool.layout import QUALITIES, STAGES

DAY = 86400.0
SECONDS: Mapping[str, tuple[float, float, float]] = {
    "draft": (1.0, 12.0, 0.0),
    "balanced": (1.0, 20.0, 0.0),
    "high": (1.0, 20.0, 25.0),
    "ultra": (1.0, 40.0, 35.0),
}
"""Cut-out, geometry and texture on the device, per preset: assumed after the ratios of the seed's table, not measured
on a card. A preset without texture still passes through its stage, which takes no time of the device."""
MIXES: Mapping[str, tuple[float, float, float, float]] = {
    "all high": (0, 0, 1, 0),
    "mostly drafts": (0.6, 0.2, 0.15, 0.05),
    "all presets alike": (0.25, 0.25, 0.25, 0.25),
    "high and ultra": (0, 0, 0.6, 0.4),
}
FINISHING: Mapping[str, float] = {"cutout": 0.0, "geometry": 2.0, "texture": 4.0}
"""Seconds that finishing takes beside the device: assumed. A model without texture needs a second in the end."""


def drawn(mix: Sequence[float], seed: int = 0) -> Callable[[int], Queued]:
    """The job number `at` of a mix of presets."""

    def job(at: int) -> Queued:
        return Queued(f"{at:06}", random.Random(f"{seed} {at}").choices(QUALITIES, mix)[0])

    return job


def seconds_of(stage: str, job: Queued) -> float:
    """Of the device, with a jitter of a fifth that the job's number decides."""
    at = [known.name for known in STAGES].index(stage)
    jitter = random.Random(f"{stage} {job.id}").gammavariate(25.0, 1 / 25.0)
    return SECONDS[job.quality][at] * jitter


def on_cards(seat: str, stage: str, job: Queued) -> Span:
    """What the model is told of a stage."""
    untextured = stage == "texture" and not SECONDS[job.quality][2]
    return Span(seconds_of(stage, job), 1.0 if untextured else FINISHING[stage])


def split(texture: int, geometry: int) -> list[Seat]:
    """So many cards for background removal and texture, so many for geometry; one card does everything."""
    if texture + geometry == 1:
        return [Seat("all", ("cutout", "texture", "geometry"))]
    seats = [Seat(f"texture-{at}", ("cutout", "texture")) for at in range(texture)]
    return seats + [Seat(f"geometry-{at}", ("geometry",)) for at in range(geometry)]


def bound(seats: Sequence[Seat], jobs: Sequence[Queued], takes: Takes) -> float:
    """Seconds that no schedule beats on these cards: the work of the busier kind, shared evenly, and the stages that
    must come before and after it; and the longest job."""
    totals, heads, tails, longest = [0.0, 0.0], [], [], 0.0
    for job in jobs:
        cutout, geometry, texture = (takes("", stage.name, job) for stage in STAGES)
        totals[0] += cutout.device + texture.device
        totals[1] += geometry.device
        heads.append(cutout.device)
        tails.append(geometry.finish + texture.device + texture.finish)
        longest = max(longest, sum(span.device + span.finish for span in (cutout, geometry, texture)))
    if len(seats) == 1:
        return max(longest, sum(totals))
    first = sum("texture" in seat.stages for seat in seats)
    return max(longest, totals[0] / first, min(heads) + totals[1] / (len(seats) - first) + min(tails))


@dataclass(frozen=True)
class Farm:
    """So many cards at their best split, with a queue of jobs: how the policy does."""

    cards: int
    texture: int
    seconds: float
    bound: float
    whole: float
    """The bound if every card could do every stage and the work could be cut anywhere."""
    jobs: int

    @property
    def per_day(self) -> float:
        return self.jobs / self.seconds * DAY


def best_split(cards: int, mix: Sequence[float], per_card: int) -> Farm:
    """The split of `cards` that ends a queue of `per_card` jobs a card soonest, by the model."""
    job = drawn(mix)
    jobs = [job(at) for at in range(cards * per_card)]
    work = [sum(seconds_of(stage.name, one) for one in jobs) for stage in STAGES]
    ideal = cards * (work[0] + work[2]) / sum(work)
    found = []
    # The best is beside the split of the work; the others need not be played.
    for texture in sorted({min(max(1, at), max(1, cards - 1)) for at in (int(ideal), int(ideal) + 1)}):
        seats = split(texture, cards - texture)
        seconds = makespan(forecast(seats, {"inbox": jobs}, [], on_cards))
        found.append(
            Farm(cards, texture, seconds, bound(seats, jobs, on_cards), sum(work) / cards, len(jobs))
        )
    return min(found, key=lambda farm: farm.seconds)


def arrivals(jobs: int, working_hours: bool, seed: int = 1) -> list[float]:
    """When `jobs` come in a day: at any time, or two thirds of them within eight hours."""
    chance = random.Random(seed)

    def moment() -> float:
        if working_hours and chance.random() < 2 / 3:
            return chance.uniform(DAY / 3, DAY * 2 / 3)
        return chance.uniform(0, DAY)

    return sorted(moment() for _ in range(jobs))


def waits(cards: int, texture: int, mix: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Seconds from each arrival to its model."""
    job = drawn(mix)
    jobs = [replace(job(at), since=moment) for at, moment in enumerate(moments)]
    done = forecast(split(texture, cards - texture), {"inbox": jobs}, [], on_cards).times
    return sorted(done[one.id].finishes - one.since for one in jobs)


def cards_for(
    jobs: int, mix: Sequence[float], working_hours: bool, patience: float
) -> tuple[Farm, list[float]]:
    """The fewest cards with which 95 of 100 jobs of a day are done within `patience` seconds."""
    moments = arrivals(jobs, working_hours)
    mean = statistics.fmean(
        sum(SECONDS[quality]) * share for quality, share in zip(QUALITIES, mix, strict=True)
    )
    cards = max(2, int(jobs * 4 * mean / DAY))
    while True:
        farm = best_split(cards, mix, 20)
        waited = waits(cards, farm.texture, mix, moments)
        if waited[int(0.95 * len(waited))] <= patience:
            return farm, waited
        cards += 1
