"""How well the devices are used: the real service with an engine that sleeps, against what no schedule could beat.

    python -m benchmarks.pipeline [--full]

One device removes backgrounds and textures, one (or two, or four) makes geometry. Jobs come all at once, or one by one
as fast as the busiest device can take them. Sequential running, one worker that takes each job through all its stages,
is measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Section
from benchmarks.sleeping import Pace, Slept, environ, photo
from spool.board import Board
from spool.draft import Draft
from spool.job import Request
from spool.layout import DONE, FAILED, STAGES
from spool.spool import Spool

ROOT = Path(__file__).resolve().parent.parent
RATIOS = ((1.0, 20.0, 25.0), (1.0, 25.0, 20.0), (1.0, 40.0, 10.0))
REACH = 0.98
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
    """What one run gave. `arrived` are the seconds at which each job was there, from the first one's arrival."""

    setting: Setting
    arrived: Sequence[float]
    seconds: float
    slept: Sequence[Slept]

    @property
    def bound(self) -> float:
        return least(self.setting, self.arrived)

    @property
    def efficiency(self) -> float:
        return self.bound / self.seconds

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


def run(setting: Setting) -> Run:
    """Start a service, let the jobs come, wait until the last is done."""
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
            began, arrived = arrive(drafts, setting.interval)
            ended = until_done(spool, setting.jobs, service)
        finally:
            service.terminate()
            service.wait()
        return Run(setting, arrived, ended - began, Slept.all_in(trace))


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
    # The number of links of a folder is two more than its folders, on file systems that count; names are sure.
    while len(os.listdir(done)) < jobs:
        assert service.poll() is None and time.monotonic() < deadline, "the service ended"
        assert not os.listdir(spool.root / FAILED), "a job failed"
        time.sleep(0.01)
    return time.monotonic()


def settings(full: bool) -> list[Setting]:
    """What is run."""
    jobs = 200 if full else 40
    unit = 0.025
    made = [Setting(Pace(ratio, unit), 1, jobs) for ratio in RATIOS]
    made += [Setting(Pace(RATIOS[0], unit), 1, jobs, steady=True)]
    if full:
        made += [Setting(Pace(ratio, unit), 1, jobs, steady=True) for ratio in RATIOS[1:]]
        made += [
            Setting(Pace(ratio, unit), devices, jobs, steady)
            for devices in (2, 4)
            for ratio in RATIOS
            for steady in (False, True)
        ]
    return made


def measure(full: bool) -> Section:
    """Run everything; the figures are shares of what was possible."""
    runs = [run(setting) for setting in settings(full)]
    figures = [
        Figure(one.setting.name, "share of the bound", [one.efficiency], REACH, at_most=False) for one in runs
    ]
    figures += [
        Figure(f"{one.setting.name}: the busiest device works", "share of the time", [one.of_the_busiest])
        for one in runs
    ]
    facts = {}
    for ratio in RATIOS if full else RATIOS[:1]:
        alone = run(Setting(Pace(ratio, runs[0].setting.pace.unit), 0, 40 if full else 10))
        beside = next(one for one in runs if one.setting.pace.ratio == ratio and not one.setting.steady)
        rates = [one.setting.jobs / one.seconds for one in (beside, alone)]
        text = ":".join(f"{part:g}" for part in ratio)
        figures.append(
            Figure(f"{text}: two workers over one that does all", "times the jobs", [rates[0] / rates[1]])
        )
        facts[f"{text}, at most"] = (
            f"{sum(ratio) / max(ratio[0] + ratio[2], ratio[1]):.2f} times by the stage times"
        )
    return Section(
        "pipeline",
        "Pipeline",
        f"The real supervisor, workers, stages and files with an engine that sleeps: {runs[0].setting.jobs} jobs, a "
        f"unit of {runs[0].setting.pace.unit * 1e3:g} ms, each stage's time jittered by a fifth. The bound is the "
        "least time that any schedule needs for the drawn times: all the work of the busiest device, begun when its "
        "first work can be there and followed by the shortest stage that must follow. The service gets nothing.",
        figures,
        facts=facts,
    )


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
