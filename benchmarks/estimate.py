"""How far the estimates that people are told are from what then happens.

    python -m benchmarks.estimate [--full]

The real service with the engine silhouette makes a few models first, which are its history. Then a mixed batch of all
qualities comes at once, and twice a second every job that waits or runs is asked for its estimate. Each answer is
compared with the moment at which that job was really taken up, or done. Needs the background-removal model where
U2NET_HOME says (`protoscale models pull u2netp`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, Section
from benchmarks.service import PHOTO, Service
from spool import layout
from spool.job import Request
from spool.reader import Found
from spool.spool import Spool
from spool.view import estimated

EVERY = 0.5
"""Seconds between two rounds of questions."""
LOOK = 0.02
"""Seconds between two looks at where the jobs are: what a moment is measured to."""
LIMIT = 1800.0


@dataclass(frozen=True)
class Told:
    """An estimate that a job was given at a moment (of the monotonic clock); `folder` is where it lay."""

    job: str
    folder: str
    moment: float
    start: float
    finish: float


@dataclass(frozen=True)
class Happened:
    """When a job left the folders in which it waited, and when it was done."""

    taken: Mapping[tuple[str, str], float]
    done: Mapping[str, float]


def measure(full: bool) -> Section:
    """Run the batch and compare."""
    jobs = 60 if full else 16
    learned = layout.QUALITIES * (3 if full else 2)
    with Service(PROTOSCALE_SCAN_EVERY="1") as service:
        spool = service.spool
        for quality in learned:
            submit(spool, quality)
        wait_for(spool, len(learned))
        ids = [submit(spool, layout.QUALITIES[at % len(layout.QUALITIES)]) for at in range(jobs)]
        answers, happened = watch(spool, ids)
    return Section(
        "estimate",
        "Estimated and real times",
        f"{jobs} jobs of all qualities at once, after a history of {len(learned)}; engine silhouette, one photo; "
        f"{len(answers)} estimates, asked every {EVERY} s of each job until it ended. The absolute error, in "
        "seconds and as a share of what was really left.",
        figures(answers, happened),
    )


def submit(spool: Spool, quality: str) -> str:
    """One job of the example photo."""
    draft = spool.draft(Request.new(source="cli", name=PHOTO.name, suffix=PHOTO.suffix, quality=quality))
    draft.input.write_bytes(PHOTO.read_bytes())
    return draft.publish(layout.INBOX).id


def wait_for(spool: Spool, count: int) -> None:
    """Until so many are done. Raises SystemExit where one fails or it takes too long."""
    deadline = time.monotonic() + LIMIT
    while len(spool.waiting(layout.DONE)) < count:
        if spool.waiting(layout.FAILED) or time.monotonic() > deadline:
            raise SystemExit("a job failed or took too long; see the log above")
        time.sleep(LOOK)


def watch(spool: Spool, ids: Sequence[str]) -> tuple[list[Told], Happened]:
    """Ask until all are done, and see where they are meanwhile."""
    answers: list[Told] = []
    taken: dict[tuple[str, str], float] = {}
    done: dict[str, float] = {}
    asked, deadline = 0.0, time.monotonic() + LIMIT
    at: dict[str, str] = {}
    while len(done) < len(ids):
        now = time.monotonic()
        if spool.waiting(layout.FAILED) or now > deadline:
            raise SystemExit("a job failed or took too long; see the log above")
        found = {job_id: spool.find(job_id) for job_id in ids if job_id not in done}
        for job_id, seen in found.items():
            before = at.get(job_id, layout.INBOX)
            if seen.folder != before and before in layout.STAGE_OF_FOLDER:
                taken.setdefault((job_id, before), now)
            at[job_id] = seen.folder
            if seen.folder == layout.DONE:
                done[job_id] = now
        if now - asked >= EVERY:
            asked = now
            answers += ask(spool, found)
        time.sleep(LOOK)
    return answers, Happened(taken, done)


def ask(spool: Spool, found: Mapping[str, Found]) -> list[Told]:
    """What each job that waits or runs is told now."""
    told = []
    for job_id, seen in found.items():
        answer = estimated(spool, seen)
        if answer:
            told.append(Told(job_id, seen.folder, time.monotonic(), answer["start"], answer["finish"]))
    return told


def figures(answers: Sequence[Told], happened: Happened) -> list[Figure]:
    """The errors of every answer."""
    starts = [
        (abs(told.start - (left := taken - told.moment)), left)
        for told in answers
        if (taken := happened.taken.get((told.job, told.folder))) and taken > told.moment
    ]
    ends = [
        (abs(told.finish - (left := happened.done[told.job] - told.moment)), left)
        for told in answers
        if happened.done[told.job] > told.moment
    ]
    return [
        figure
        for what, errors in (("start", starts), ("finish", ends))
        for figure in (
            Figure(f"error of the {what}, seconds", "s", [error for error, _ in errors]),
            Figure(
                f"error of the {what}, relative", "", [error / left for error, left in errors if left >= 1]
            ),
        )
    ]


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--full", action="store_true", help="60 jobs instead of 16")
    section = measure(options.parse_args().full)
    print(table(section))
    print(f"\nmean of the finish errors: {statistics.mean(section.figures[2].samples):.2f} s")
    return 0


def table(section: Section) -> str:
    """The errors for people."""
    rows = (
        f"| {figure.what} | {figure.median:.2f} | {figure.percentile(0.9):.2f} | {max(figure.samples):.2f} "
        f"| {len(figure.samples)} |"
        for figure in section.figures
    )
    head = ("| what | median | 90th percentile | worst | answers |", "|---|---:|---:|---:|---:|")
    return "\n".join((f"{section.title}: {section.how}\n", *head, *rows))


if __name__ == "__main__":
    sys.exit(main())
