"""`spool.forecast` held against a measured run: told what the service adds to each stage, when is the last job done?

A service with sleeping engines does jobs whose times are drawn before; what it adds is measured in another run, at
the same time.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.figures import Figure
from benchmarks.pipeline import Run, Setting, run_all
from benchmarks.sleeping import Pace
from spool.forecast import Forecast, Queued, Seat, Span, forecast


def against_measured(full: bool) -> list[Figure]:
    """The prediction's error, for each run."""
    pace = Pace((1, 20, 25), 0.04)
    alone = Setting(pace, 0, 60 if full else 12)
    settings = [Setting(pace, 1, 100 if full else 24)]
    if full:
        settings += [Setting(Pace((1, 25, 20), 0.04), 1, 100), Setting(Pace((1, 40, 10), 0.04), 4, 100)]
        settings += [Setting(pace, 1, 100, steady=True)]
    figures = []
    for setting in settings:
        # At the same time, on a machine that is as busy with other things for the one as for the other.
        runs = run_all([alone, setting], 2)
        one, added = runs[setting], Added.seen_in(runs[alone])
        said = predicted(setting, one.arrived, added)
        print(f"{setting.name}: measured {one.seconds:.2f} s, predicted {said:.2f} s", file=sys.stderr)
        error = 100 * abs(said - one.seconds) / one.seconds
        figures.append(Figure(f"prediction of {setting.name}: off by", "%", [error], 3.0))
    figures += [
        Figure(f"the service adds to a {stage}", "ms of the device", [seconds * 1e3])
        for stage, seconds in added.device.items()
    ]
    return figures


@dataclass(frozen=True)
class Added:
    """What the service adds to a stage: seconds of the device, and of the finishing beside it."""

    device: Mapping[str, float]
    finish: Mapping[str, float]

    @classmethod
    def seen_in(cls, one: Run) -> Added:
        """The means of a run in which work always waited: the pause before a stage, and its recorded time less its
        sleep."""
        before, beside = defaultdict(list), defaultdict(list)
        workers = defaultdict(list)
        for slept in one.slept:
            workers[slept.worker].append(slept)
            if slept.stage != "cutout":
                beside[slept.stage].append(one.timings[slept.job][slept.stage] - (slept.ended - slept.began))
        for mine in workers.values():
            for earlier, later in pairwise(mine):
                before[later.stage].append(later.began - earlier.ended)
        return cls(_means(before), _means(beside))


def _means(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {stage: statistics.fmean(values) for stage, values in samples.items()}


def predicted(setting: Setting, arrived: Sequence[float], added: Added) -> float:
    """When the model expects the last job to be done, in seconds from the first arrival."""

    def takes(seat: str, stage: str, job: Queued) -> Span:
        seconds = setting.pace.seconds(stage, int(job.id)) + added.device[stage]
        return Span(seconds, added.finish.get(stage, 0.0))

    seats = [Seat("texture", ("cutout", "texture"))]
    seats += [Seat(f"geometry-{at}", ("geometry",)) for at in range(setting.geometry)]
    jobs = [Queued(f"{at:05}", "high", since=moment) for at, moment in enumerate(arrived)]
    return makespan(forecast(seats, {"inbox": jobs}, [], takes))


def makespan(what: Forecast) -> float:
    """Seconds until the last job is done."""
    return max(times.finishes for times in what.times.values())
