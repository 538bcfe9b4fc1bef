"""How fast each worker is beside the others: cards differ, and what is usual here is usual for none of them.

A worker counts the seconds of each stage in its tally, and the same number stands in the job's `timings`: so a
finished job tells who did its stages. Its share is how long that took beside what is usual for the job's quality,
so that it does not matter which worker had the longer jobs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spool.forecast import Span
from spool.history import Sample, medians
from spool.tally import ENOUGH, Tally, median

ROUNDS = 3
"""Of the two medians by turns: where nearly as many jobs come from a slow worker as from a fast one, the first median
of a quality may be of either."""


@dataclass(frozen=True)
class Learned:
    """What a stage takes at a quality, and the share of that which each worker takes, by (worker, stage)."""

    spans: Mapping[tuple[str, str], Span]
    shares: Mapping[tuple[str, str], float]


def learned(samples: Sequence[Sample], tallies: Mapping[str, Tally]) -> Learned:
    """Of finished jobs of one engine, newest first. A worker of which too few are known has no share."""
    whose = _whose(tallies)
    spans = medians(samples)
    shares = _shares(samples, spans, whose)
    for _ in range(ROUNDS if shares else 0):
        spans = medians([_as_usual(sample, whose, shares) for sample in samples])
        shares = _shares(samples, spans, whose)
    return Learned(spans, shares)


def usual_of(tally: Tally, stages: Iterable[str]) -> Mapping[str, float]:
    """Seconds that these stages took a worker of late, where enough were counted."""
    return {stage: seconds for stage in stages if (seconds := tally.usual(stage)) is not None}


def _whose(tallies: Mapping[str, Tally]) -> Mapping[tuple[str, float], str]:
    """The worker by stage and seconds, where only one counted that number; of stages that several workers do."""
    doing = Counter(stage for tally in tallies.values() for stage in tally.stages)
    counted = Counter(
        (stage, seconds)
        for tally in tallies.values()
        for stage, spent in tally.stages.items()
        for seconds in set(spent.recent)
    )
    return {
        (stage, seconds): worker
        for worker, tally in tallies.items()
        for stage, spent in tally.stages.items()
        for seconds in spent.recent
        if doing[stage] > 1 and counted[stage, seconds] == 1
    }


def _shares(
    samples: Iterable[Sample], spans: Mapping[tuple[str, str], Span], whose: Mapping[tuple[str, float], str]
) -> Mapping[tuple[str, str], float]:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples:
        for stage, span in sample.spans.items():
            worker, usual = whose.get((stage, sample.seconds[stage])), spans[stage, sample.quality].device
            if worker and usual > 0:
                found[worker, stage].append(span.device / usual)
    return {key: median(shares) for key, shares in found.items() if len(shares) >= ENOUGH}


def _as_usual(
    sample: Sample, whose: Mapping[tuple[str, float], str], shares: Mapping[tuple[str, str], float]
) -> Sample:
    """What its stages would have taken the worker whose share is 1."""

    def usual(stage: str, span: Span) -> Span:
        worker = whose.get((stage, sample.seconds[stage]), "")
        return Span(span.device / shares.get((worker, stage), 1.0), span.finish)

    return replace(sample, spans={stage: usual(stage, span) for stage, span in sample.spans.items()})
