"""How well the devices are used: the real service with an engine that sleeps, against what no schedule could beat.

    python -m benchmarks.pipeline [--full]

One device removes backgrounds and textures, one (or two, or four) makes geometry. Jobs come all at once, or one by
one as fast as the busiest device can take them. Sequential running, one worker that takes each job through all its
stages, is measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from threading import Barrier

from benchmarks.figures import Figure, Section
from benchmarks.sleeping import Pace, Slept, environ, photo
from spool.board import Board
from spool.draft import Draft
from spool.job import Request
from spool.layout import DONE, FAILED, STAGES
from spool.spool import Spool
from spool.status import Status

ROOT = Path(__file__).resolve().parent.parent
RATIOS = ((1.0, 20.0, 25.0), (1.0, 25.0, 20.0), (1.0, 40.0, 10.0))
REACH = 0.98
JOBS = {True: 200, False: 40}
PERIOD = {True: 2.0, False: 0.6}
"""Seconds of the busiest device for a job, in full and quick: a tenth, and a fortieth, of what a card takes."""
TOGETHER = {True: 3, False: 2}
"""Services at once: they sleep. All of them are ready before the first job comes."""
PATIENCE = 3600.0


@dataclass(frozen=True)
class Setting:
    """One run: the pace, how many devices make geometry (0: one device does everything), and how jobs come."""

    pace: Pace
    geometry: int
    jobs: int
    steady: bool = False

    @property
    def name(self) -> str:
        """For people: `1:20:25, 2 geometry devices, steady`."""
        ratio = ":".join(f"{part:g}" for part in self.pace.ratio)
        if not self.geometry:
            return f"{ratio}, one worker, one job after the other"
        devices = "1 geometry device" if self.geometry == 1 else f"{self.geometry} geometry devices"
        return f"{ratio}, {devices}, {'steady' if self.steady else 'burst'}"

    @property
    def interval(self) -> float:
        """Seconds between two arrivals: what the busiest device needs for a job."""
        if not self.steady:
            return 0.0
        cutout, geometry, texture = self.pace.ratio
        return self.pace.unit * max(cutout + texture, geometry / self.geometry)


@dataclass(frozen=True)
class Run:
    """What one run gave. `arrived` are the seconds at which each job was there, from the first one's arrival.

    `timings` are those that the service recorded, job by job: a stage with its finishing.
    """

    setting: Setting
    arrived: Sequence[float]
    seconds: float
    slept: Sequence[Slept]
    timings: Sequence[Mapping[str, float]]

    @property
    def bound(self) -> float:
        return least(self.setting, self.arrived)

    @property
    def efficiency(self) -> float:
        return self.bound / self.seconds

    def pauses(self, stage: str) -> list[float]:
        """Seconds between two stages of a device, the second being `stage`, whose job was there already."""
        there = {(slept.job, slept.stage): slept.ended for slept in self.slept}
        before = {"cutout": None, "geometry": "cutout", "texture": "geometry"}[stage]
        workers = defaultdict(list)
        for slept in self.slept:
            workers[slept.worker].append(slept)
        return [
            later.began - earlier.ended
            for mine in workers.values()
            for earlier, later in pairwise(mine)
            if later.stage == stage
            # Finished beside its device by then, and moved: a tenth of a second, and then some.
            and (before is None or there[later.job, before] < earlier.ended - 0.5)
        ]

    @property
    def of_the_busiest(self) -> float:
        """The busiest device's share of the time, with the filling and draining of the pipeline counted as lost."""
        totals: dict[str, float] = defaultdict(float)
        for slept in self.slept:
            totals[slept.worker] += slept.ended - slept.began
        return max(totals.values()) / self.seconds


def least(setting: Setting, arrived: Sequence[float]) -> float:
    """Seconds from the first arrival to the last model that no schedule of these jobs can do with less.

    From each arrival on, for the jobs that come then or later: the first device has all their cut-outs and textures
    to do; the others share all their geometries, which begin after the quickest cut-out and end before the quickest
    texture. And each job takes its own three stages. Work, that is; not one instant for the service.
    """
    known = range(setting.jobs)
    cutout, geometry, texture = ([setting.pace.seconds(stage.name, at) for at in known] for stage in STAGES)
    alone = max(arrived[at] + cutout[at] + geometry[at] + texture[at] for at in known)
    if not setting.geometry:
        return max(
            alone, *(arrived[k] + sum(sum(times[k:]) for times in (cutout, geometry, texture)) for k in known)
        )
    first = max(arrived[k] + sum(cutout[k:]) + sum(texture[k:]) for k in known)
    others = max(
        arrived[k] + min(cutout[k:]) + sum(geometry[k:]) / setting.geometry + min(texture[k:]) for k in known
    )
    return max(alone, first, others)


def run_all(settings: Sequence[Setting], together: int) -> dict[Setting, Run]:
    """Every one of them, some at once: those begin with their work together, so that none starts beside another's."""
    runs: dict[Setting, Run] = {}
    for at in range(0, len(settings), together):
        batch = settings[at : at + together]
        everybody = Barrier(len(batch))
        with ThreadPoolExecutor(len(batch)) as pool:
            runs.update(zip(batch, pool.map(lambda one: run(one, everybody), batch), strict=True))  # noqa: B023
    return runs


def run(setting: Setting, everybody: Barrier | None = None) -> Run:
    """Start a service, let the jobs come (when `everybody` is ready), wait until the last is done."""
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        folder = Path(name)
        spool, trace = Spool.open(folder / "spool"), folder / "trace"
        trace.mkdir()
        devices = ("cpu",) * max(1, setting.geometry)
        variables = environ(spool.root, setting.pace, trace, devices, "auto" if setting.geometry else "cpu")
        service = subprocess.Popen([sys.executable, "-m", "benchmarks.sleeping"], cwd=ROOT, env=variables)
        try:
            drafts = [drafted(spool, at) for at in range(setting.jobs)]
            until_ready(spool, service)
            if everybody:
                everybody.wait()
            began, arrived = arrive(drafts, setting.interval)
            ended = until_done(spool, setting.jobs, service)
        finally:
            service.terminate()
            service.wait()
        done = [spool.root / DONE / job_id for job_id in spool.waiting(DONE)]
        timings = [Status.read(path).timings for path in done]
        return Run(setting, arrived, ended - began, Slept.all_in(trace), timings)


def drafted(spool: Spool, at: int) -> Draft:
    """The job number `at`, ready to appear."""
    draft = spool.draft(Request.new(source="cli", name="photo.png", suffix=".png", views=False, seed=at))
    photo(at).save(draft.input)
    return draft


def until_ready(spool: Spool, service: subprocess.Popen[bytes]) -> None:
    """Until every worker waits for work."""
    deadline = time.monotonic() + PATIENCE
    while not (board := Board.read(spool.root)) or any(slot.state != "idle" for slot in board.workers):
        assert service.poll() is None and time.monotonic() < deadline, "the service did not start"
        time.sleep(0.05)


def arrive(drafts: Sequence[Draft], interval: float) -> tuple[float, list[float]]:
    """Publish one after the other; when the first was there (monotonic), and when each was, from then on."""
    times: list[float] = []
    for at, draft in enumerate(drafts):
        if times:
            time.sleep(max(0.0, times[0] + at * interval - time.monotonic()))
        draft.publish("inbox")
        times.append(time.monotonic())
    return times[0], [moment - times[0] for moment in times]


def until_done(spool: Spool, jobs: int, service: subprocess.Popen[bytes]) -> float:
    """When (monotonic) the last job was in `done/`."""
    deadline = time.monotonic() + PATIENCE
    done = spool.root / DONE
    while len(os.listdir(done)) < jobs:
        assert service.poll() is None and time.monotonic() < deadline, "the service ended"
        assert not os.listdir(spool.root / FAILED), "a job failed"
        time.sleep(0.01)
    return time.monotonic()


def setting(ratio: tuple[float, float, float], geometry: int, full: bool, *, steady: bool = False) -> Setting:
    """At a pace at which the busiest device needs `PERIOD` seconds for a job."""
    busiest = max(ratio[0] + ratio[2], ratio[1] / max(1, geometry))
    return Setting(Pace(ratio, PERIOD[full] / busiest), geometry, JOBS[full], steady)


def settings(full: bool) -> list[Setting]:
    """What is run."""
    if not full:
        return [setting(ratio, 1, full) for ratio in RATIOS] + [setting(RATIOS[0], 1, full, steady=True)]
    bursts = [setting(ratio, devices, full) for devices in (1, 2, 4) for ratio in RATIOS]
    return bursts + [setting(ratio, 1, full, steady=True) for ratio in RATIOS]


def measure(full: bool) -> Section:
    """Run everything; the figures are shares of what was possible."""
    beside = settings(full)
    ratios = RATIOS if full else RATIOS[:1]
    alone = [replace(setting(ratio, 1, full), geometry=0, jobs=JOBS[full] // 5) for ratio in ratios]
    runs = run_all([*beside, *alone], TOGETHER[full])
    figures = [
        Figure(
            name.name, "share of the bound", [runs[name].efficiency], REACH if full else None, at_most=False
        )
        for name in beside
    ]
    figures += [
        Figure(f"{name.name}: the busiest device works", "share of the time", [runs[name].of_the_busiest])
        for name in beside
        if not name.steady
    ]
    for ratio, one in zip(ratios, alone, strict=True):
        rates = [runs[name].setting.jobs / runs[name].seconds for name in (setting(ratio, 1, full), one)]
        most = sum(ratio) / max(ratio[0] + ratio[2], ratio[1])
        text = ":".join(f"{part:g}" for part in ratio)
        what = f"{text}: two workers over one that does all, of {most:.2f} possible"
        figures.append(Figure(what, "times the jobs", [rates[0] / rates[1]]))
    for stage in STAGES:
        pauses = [
            1e3 * pause for name in beside if not name.steady for pause in runs[name].pauses(stage.name)
        ]
        figures.append(Figure(f"a device waits before a {stage.name} that is there", "ms", pauses))
    return Section("pipeline", "Pipeline", HOW.format(JOBS[full], PERIOD[full]), figures, facts=FACTS[full])


HOW = (
    "The real supervisor, workers, stages and files with an engine that sleeps: {} jobs, each stage's time jittered "
    "by a fifth, at a pace at which the busiest device needs {:g} s for a job; two or three services run at once. "
    "The bound is the least time that any schedule needs for the drawn times: all the work of the busiest device, "
    "begun when its first work can be there and followed by the shortest stage that must follow. "
    "The service gets nothing of it. Steady jobs come exactly as fast as the busiest device can take them."
)
FACTS: Mapping[bool, Mapping[str, str]] = {
    True: {},
    False: {
        "quick": "40 jobs are too few for a reach: filling and draining the pipeline weighs five times as much"
    },
}


def told(section: Section) -> str:
    """For people who run it alone."""
    lines = [section.title, "", section.how, ""]
    for figure in section.figures:
        reached = (
            "" if figure.reached is None else ("  reached" if figure.reached else f"  NOT {figure.reach}")
        )
        lines.append(f"{figure.what:<70} {figure.median:10.4g} {figure.unit}{reached}")
    lines += [f"{name}: {fact}" for name, fact in section.facts.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    print(told(measure(parser.parse_args().full)))
