"""Past one machine: the real policy played by `spool.forecast` for 1 to 64 cards, and what one spool carries.

    python -m benchmarks.simulate [--full]

First the model is held against a measured run: a service with two workers and a sleeping engine does jobs whose times
are drawn before, and the model, told those times and what the service adds to each stage (measured in another run),
says when the last is done. Then it is asked about machines that are not here.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.figures import Curve, Figure, Plot, Section
from benchmarks.pipeline import ROOT, Run, Setting, drafted, run_all, told, until_done, until_ready
from benchmarks.sleeping import Pace, environ
from spool import durable
from spool.forecast import Forecast, Queued, Seat, Span, Takes, forecast
from spool.layout import QUALITIES, STAGES
from spool.spool import Spool

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
PER_CARD = {True: 100, False: 20}
FINISHING: Mapping[str, float] = {"cutout": 0.0, "geometry": 2.0, "texture": 4.0}
"""Seconds that finishing takes beside the device: assumed. A model without texture needs a second in the end."""


# --- the model against the measured run ----------------------------------------------------------------------


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


# --- machines that are not here ------------------------------------------------------------------------------


def drawn(mix: Sequence[float], seed: int = 0) -> Callable[[int], Queued]:
    """The job number `at` of a mix of presets."""

    def job(at: int, since: float = 0.0) -> Queued:
        quality = random.Random(f"{seed} {at}").choices(QUALITIES, mix)[0]
        return Queued(f"{at:06}", quality, since=since)

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
    jobs = [job(at, moment) for at, moment in enumerate(moments)]  # type: ignore[call-arg]
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


# --- one spool directory -------------------------------------------------------------------------------------

COUNTED = ("fsync", "rename", "openat", "getdents64", "write", "read")


def calls_per_job(jobs: int = 12) -> dict[str, float] | None:
    """System calls of all processes of a service for each job it does, by strace; None where that is not here."""
    if not shutil.which("strace"):
        return None
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        folder = Path(name)
        spool, trace = Spool.open(folder / "spool"), folder / "trace"
        trace.mkdir()
        variables = environ(spool.root, Pace((1, 20, 25), 0.005), trace, ("cpu",), "auto")
        service = subprocess.Popen([sys.executable, "-m", "benchmarks.sleeping"], cwd=ROOT, env=variables)
        try:
            drafts = [drafted(spool, at) for at in range(jobs + 1)]
            until_ready(spool, service)
            drafts.pop().publish("inbox")  # what is loaded by the first job is no other's
            until_done(spool, 1, service)
            with counting(service.pid, folder / "counts"):
                for draft in drafts:
                    draft.publish("inbox")
                until_done(spool, jobs + 1, service)
        finally:
            service.terminate()
            service.wait()
        lines = (folder / "counts").read_text().splitlines()
    found = (re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line) for line in lines)
    return {match[2]: int(match[1]) / jobs for match in found if match and match[2] != "total"}


@contextmanager
def counting(pid: int, counts: Path) -> Iterator[None]:
    """Count the system calls of a process and all its children, those to come too, into the file `counts`."""
    family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    options = [part for one in family for part in ("-p", str(one))]
    with subprocess.Popen(
        ["strace", "-f", "-c", "-o", str(counts), *options], stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr
        for _ in family:
            strace.stderr.readline()  # "Process ... attached"
        yield
        strace.send_signal(signal.SIGINT)
        strace.communicate()


def seconds_per_call(rounds: int) -> dict[str, list[float]]:
    """A rename of a folder, a small file written durably, and a folder's fsync, on the disk that benchmarks use."""
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        one, other = Path(name) / "one", Path(name) / "other"
        for folder in (one, other, one / "job"):
            folder.mkdir()
        for at in range(rounds):
            source, target = (one, other) if at % 2 == 0 else (other, one)
            times["rename"].append(timed(lambda: (source / "job").rename(target / "job")))  # noqa: B023
            file = target / "job" / "file"
            file.write_bytes(b"x" * 400)
            times["fsync of a small file"].append(timed(lambda: durable.fsync(file)))  # noqa: B023
            times["fsync of a folder"].append(timed(lambda: durable.fsync(target)))  # noqa: B023
    return times


def timed(what: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


# --- the section ---------------------------------------------------------------------------------------------


def measure(full: bool) -> Section:
    """Run the comparison, play the farms, count the calls."""
    facts: dict[str, str] = {}
    figures = against_measured(full)
    figures += one_directory(facts)
    counts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if full else (1, 2, 4, 8, 16, 64)
    farms = {
        name: [best_split(cards, mix, PER_CARD[full]) for cards in counts] for name, mix in MIXES.items()
    }
    for name, row in farms.items():
        worst = min(row, key=lambda farm: farm.bound / farm.seconds)
        figures.append(
            Figure(
                f"policy, {name}: worst of 1 to 64 cards (at {worst.cards})",
                "share of the bound",
                [worst.bound / worst.seconds],
            )
        )
        facts[f"best split, {name}"] = ", ".join(
            f"{farm.cards} cards: {farm.texture} + {farm.cards - farm.texture}"
            for farm in row
            if farm.cards > 1
        )
    for hours in (False, True):
        for name in ("all high", "mostly drafts"):
            farm, waited = cards_for(10_000, MIXES[name], hours, 600.0)
            when = "two thirds of them in eight hours" if hours else "at any time"
            figures.append(Figure(f"10,000 jobs a day, {name}, {when}", "cards", [farm.cards]))
            facts[f"10,000 a day, {name}, {when}"] = (
                f"{farm.texture} cards for background removal and texture, {farm.cards - farm.texture} for geometry; "
                f"median {statistics.median(waited):.0f} s, 95 of 100 within {waited[int(0.95 * len(waited))]:.0f} s"
            )
    return Section(
        "simulate", "By simulation", HOW.replace("{}", str(PER_CARD[full])), figures, plots(farms), facts
    )


_TIMES = ", ".join(f"{name} {row[0]:g}+{row[1]:g}+{row[2]:g} s" for name, row in SECONDS.items())
HOW = (
    "The model is `spool.forecast` with the policy that the workers use. Its stage times for cards are assumed "
    f"({_TIMES}, jittered by a fifth; {FINISHING['geometry']:g} s and {FINISHING['texture']:g} s of finishing beside "
    "the device); {} jobs a card wait at the start. The bound is the work of the busier kind of card, shared evenly, "
    "between the shortest stages that must come before and after."
)


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


def one_directory(facts: dict[str, str]) -> list[Figure]:
    """What a job costs in calls, and how many jobs a day those allow."""
    times = seconds_per_call(200)
    figures = [Figure(name, "us", [1e6 * second for second in samples]) for name, samples in times.items()]
    calls = calls_per_job()
    if calls is None:
        facts["system calls"] = "strace is not here: not counted"
        return figures
    figures += [Figure(f"{name} per job", "calls", [calls.get(name, 0.0)]) for name in COUNTED]
    figures.append(Figure("system calls per job", "calls", [sum(calls.values())]))
    syncs = calls.get("fsync", 0.0)
    each = statistics.fmean(statistics.median(times[name]) for name in times if name.startswith("fsync"))
    renames = calls.get("rename", 0.0) * statistics.median(times["rename"])
    # One after the other, as if the disk did one thing at a time: what a journal does with fsyncs.
    figures.append(Figure("one spool directory carries", "jobs a day", [DAY / (syncs * each + renames)]))
    return figures


def plots(farms: Mapping[str, Sequence[Farm]]) -> list[Plot]:
    """Two pictures: how close to the bounds, and how many jobs a day."""
    close = [
        Curve(name, [farm.cards for farm in row], [farm.bound / farm.seconds for farm in row])
        for name, row in farms.items()
    ]
    cut = [
        Curve(
            f"{name}, of an even share",
            [farm.cards for farm in row],
            [farm.whole / farm.seconds for farm in row],
        )
        for name, row in farms.items()
    ]
    many = [
        Curve(name, [farm.cards for farm in row], [farm.per_day for farm in row])
        for name, row in farms.items()
    ]
    return [
        Plot("cards", "The policy against the bound of its split", "cards", "share", close, log_x=True),
        Plot("split", "Against work that could be cut anywhere", "cards", "share", cut, log_x=True),
        Plot("per_day", "Jobs a day", "cards", "jobs", many, log_x=True, log_y=True),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    print(told(measure(parser.parse_args().full)))
