"""What a worker has done, counted: how long stages took and why jobs failed, for /metrics.

One file per process that counts, `<spool>/tally/<who>.json`, replaced whole by that process alone; readers add them
up. The numbers only grow, over restarts too. They are news, not record: power loss may take the last of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spool import durable

TALLY = "tally"
EVERY = 1.0
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the buckets, in seconds; the last bucket has none."""
RECENT = 15
ENOUGH = 3
"""How many of the last stages are remembered one by one, and how many it takes to say what is usual."""
CANCELLED, BAD_JOB, ENGINE, WORKER_DIED = KINDS = ("cancelled", "bad_job", "engine", "worker_died")


@dataclass
class Spent:
    """The seconds one stage took, over all its finished attempts."""

    total: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    recent: list[float] = field(default_factory=list)
    """The last of them, oldest first."""

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.total += seconds
        self.recent = [*self.recent, round(seconds, 3)][-RECENT:]
        self.buckets[next((at for at, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1


class Tally:
    """The counts of one process. Reading and writing never raise: no job fails for its statistics.

    Stages are written once a second at most, and by `settle`, which whoever counts calls before it sleeps or ends.
    """

    def __init__(self, root: Path, who: str) -> None:
        self.stages: dict[str, Spent] = {}
        self.failures: dict[str, int] = {}
        self._path = root / TALLY / f"{who}.json"
        self._written = float("-inf")
        self._owed = False
        self._read()

    def stage(self, name: str, seconds: float) -> None:
        """A stage was finished."""
        self.stages.setdefault(name, Spent()).add(seconds)
        self._owed = True
        if time.monotonic() - self._written >= EVERY:
            self._write()

    def usual(self, name: str) -> float | None:
        """Seconds that a stage took here of late, the median; None while there are too few to say."""
        recent = self.stages[name].recent if name in self.stages else []
        return median(recent) if len(recent) >= ENOUGH else None

    def failure(self, kind: str) -> None:
        """A job was given up for one of `KINDS`."""
        self.failures[kind] = self.failures.get(kind, 0) + 1
        self._write()

    def settle(self) -> None:
        """Write what is not written yet."""
        if self._owed:
            self._write()

    def _read(self) -> None:
        try:
            value = json.loads(self._path.read_bytes())
            self.stages = {name: Spent(**spent) for name, spent in value["stages"].items()}
            self.failures = dict(value["failures"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self.stages, self.failures = {}, {}

    def _write(self) -> None:
        value = {
            "stages": {name: vars(spent) for name, spent in self.stages.items()},
            "failures": self.failures,
        }
        self._written, self._owed = time.monotonic(), False
        try:
            self._path.parent.mkdir(exist_ok=True)
            durable.replace_json(self._path, value, durable=False, has_ballast=False)
        except OSError:
            pass  # a full disk: the jobs themselves say so, and the counts are written with the next one


def every(root: Path) -> Iterator[Tally]:
    """The counts of every process that ever counted here."""
    for path in sorted((root / TALLY).glob("*.json")):
        yield Tally(root, path.stem)


def added_up(root: Path) -> tuple[Mapping[str, Spent], Mapping[str, int]]:
    """Stages and failures over all of them."""
    stages: dict[str, Spent] = {}
    failures = dict.fromkeys(KINDS, 0)
    for tally in every(root):
        for name, spent in tally.stages.items():
            sum_ = stages.setdefault(name, Spent())
            sum_.total += spent.total
            sum_.buckets = [a + b for a, b in zip(sum_.buckets, spent.buckets, strict=False)]
        for kind, count in tally.failures.items():
            failures[kind] = failures.get(kind, 0) + count
    return stages, failures


def median(values: Iterable[float]) -> float:
    """The middle of one value or more. `statistics` would cost more to import than the whole spool."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
