"""The crash-state explorer: every prefix of recorded lives, every way the disk may look then, the real recovery.

`python -m tests.crash.explore [--full]` prints its figures in the last line; exit code 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from spool.job import Job
from tests.crash import disk
from tests.crash.ledger import Event, expectations
from tests.crash.life import Life
from tests.crash.lives import LIVES
from tests.crash.random_life import random_life
from tests.crash.recovery import Recovery, fast_folder, judged, ready
from tests.crash.shim import CHANGES, Call, Shim

RANDOM_LIVES = 24
SAMPLES = 24
QUICK = 1
"""States at each moment in the quick form."""
ENOUGH = 5
"""A life is given up after so many violations: they are all of one kind by then."""


@dataclass
class Moment:
    """A point of a recorded life: the disk may be cut off here."""

    call: str
    trees: list[tuple[bytes, disk.Tree]]
    promises: int


@dataclass
class Figures:
    """What an exploration saw."""

    lives: int = 0
    calls: int = 0
    trees: set[bytes] = field(default_factory=set)
    checks: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        self.lives += other.lives
        self.calls += other.calls
        self.trees |= other.trees
        self.checks += other.checks
        self.wrong += other.wrong

    def line(self) -> str:
        return (
            f"crash-explore: {self.lives} lives, {self.calls} calls, {len(self.trees)} distinct crash states, "
            f"{self.checks} recoveries checked (each twice), {len(self.wrong)} violations"
        )


class Recorder(disk.Disk):
    """A disk that keeps, after every change, what a crash then could leave."""

    def __init__(self, base: Path, chance: random.Random, samples: int, limit: int) -> None:
        super().__init__(base)
        self.events: list[Event] = []
        self.moments: list[Moment] = []
        self._chance = chance
        self._samples = samples
        self._limit = limit

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._keep(" ".join(event))

    def after(self, call: Call) -> None:
        super().after(call)
        if call.name in CHANGES:
            self._keep(f"{call.name} {call.path} {call.target}")

    def _keep(self, what: str) -> None:
        trees = {disk.digest(tree): tree for tree in self.crashes(self._chance, self._samples)}
        chosen = sorted(trees)
        if self._limit and len(chosen) > self._limit:
            chosen = self._chance.sample(chosen, self._limit)
        self.moments.append(Moment(what, [(state, trees[state]) for state in chosen], len(self.events)))


def explore(
    live: Callable[[Life], None], recovery: Recovery, *, samples: int, seed: int = 0, limit: int = 0
) -> Figures:
    """Record one life and check everything that a crash in it could leave; with `limit`, at most so many states
    at each moment."""
    figures = Figures(lives=1)
    with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
        base = Path(name) / "recorded"
        base.mkdir()
        recorder = Recorder(base, random.Random(seed), samples, limit)
        life = Life(base / "spool", recorder.tell, recovery)
        with Shim(base, recorder).installed():
            live(life)
        figures.calls = recorder.calls
        seen: set[tuple[bytes, int]] = set()
        for moment in recorder.moments:
            for state, tree in moment.trees:
                figures.trees.add(state)
                if (state, moment.promises) in seen:
                    continue
                seen.add((state, moment.promises))
                figures.checks += 1
                wrong = _check(tree, Path(name), recorder, moment, recovery)
                figures.wrong += [f"{_name(live)}: cut after {moment.call}: {text}" for text in wrong]
                if len(figures.wrong) >= ENOUGH:
                    return figures
    return figures


def _check(
    tree: disk.Tree, scratch: Path, recorder: Recorder, moment: Moment, recovery: Recovery
) -> list[str]:
    """Lay one crash state out and judge what the real recovery makes of it."""
    base = scratch / "cut"
    disk.lay(tree, str(base))
    expected = expectations(recorder.events[: moment.promises])

    def whole(job: Job, file: str) -> set[bytes]:
        # Recovery itself rewrites these, whole, and they are parsed by whoever checks them.
        own = {(job.path / file).read_bytes()} if file in ("attempts.json", "request.json") else set[bytes]()
        return recorder.whole(job.id, file) | own

    try:
        return judged(recovery, base / "spool", expected, whole)
    except Exception as error:  # noqa: BLE001 - an explorer must tell which state broke the recovery
        return [f"{type(error).__name__}: {error}"]
    finally:
        shutil.rmtree(base)


def _name(live: Callable[[Life], None]) -> str:
    return getattr(live, "__name__", None) or f"random life {getattr(live, 'keywords', {}).get('seed')}"


def _one(at: int, samples: int, limit: int) -> Figures:
    lives: list[Callable[[Life], None]] = [*LIVES]
    live = lives[at] if at < len(lives) else partial(random_life, seed=at)
    with ready() as recovery:
        return explore(live, recovery, samples=samples, seed=at, limit=limit)


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="random lives too, and more random cuts")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--seed", type=int, default=0, help="first number of the random lives")
    given = options.parse_args()
    figures = Figures()
    numbers = [*range(len(LIVES))]
    if given.full:
        numbers += [len(LIVES) + given.seed + at for at in range(RANDOM_LIVES)]
    work = partial(_one, samples=SAMPLES if given.full else 2, limit=0 if given.full else QUICK)
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for found in pool.map(work, numbers):
            figures.add(found)
            for text in found.wrong:
                print(text)
    print(figures.line())
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
