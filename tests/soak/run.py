"""The soak: four workers, a fast engine, and everything that can die, hang or lie does so again and again.

Run `python -m tests.soak.run --jobs 10000`; `tests/test_soak.py` runs the quick form.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from spool.board import Board
from spool.draft import Draft
from spool.job import Request
from spool.spool import Spool
from tests.service import ROOT, alive
from tests.soak.census import Census
from tests.soak.clock import WallClock
from tests.soak.serve import CLOCK, FORK, MISCHIEF
from tests.support import picture, until

BACKLOG = 150
PEACE = 15
"""The last jobs, which finish without further strikes."""
PATIENCE = 20.0
"""Seconds without a job coming to rest after which the next strike falls all the same."""
DAY = 86400.0
BURST = 9_000
"""File events (two files in turn) that overflow the kernel's queue of 16,384 while the supervisor is stopped."""


class Soak:
    """One service under fire. `step` submits, strikes and looks; `run` steps until every job is at rest."""

    def __init__(
        self,
        root: Path,
        jobs: int,
        seed: int,
        *,
        every: int = 15,
        reserve: str = "1M",
        mischief: float = 0.001,
        log: Path | None = None,
        fork: bool = False,
    ) -> None:
        self.spool = Spool.open(root / "spool")
        self.jobs = jobs
        self.census = Census(self.spool)
        self.strikes: Counter[str] = Counter()
        self.log = log or root / "service.log"
        self._chance = random.Random(seed)
        self._every = every
        self._next = 0
        self.patience = PATIENCE
        self.least = 0
        """So many strikes are made before the last jobs come, however quick the machine is."""
        self._due = 0.0
        self._clock = WallClock(root / "clock")
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            CLOCK: str(root / "clock"),
            MISCHIEF: str(mischief),
            "PROTOSCALE_SPOOL": str(self.spool.root),
            "PROTOSCALE_RESERVE": reserve,
            "PROTOSCALE_QUALITY": "draft",
            "PROTOSCALE_SCAN_EVERY": "1",
            "PROTOSCALE_SETTLE": "1",
            "PROTOSCALE_STEP_LIMIT": "30",
            "PROTOSCALE_DRAIN_LIMIT": "5",
            "PROTOSCALE_KEEP_DONE": "1",  # days: a clock that jumps must not make retention delete anything
            "PROTOSCALE_KEEP_FAILED": "1",
            **({FORK: "1"} if fork else {}),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "GEOMETRY_DEVICE": "cpu,cpu",
            "TEXTURE_DEVICE": "cpu,cpu",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._picture = picture((48, 40))
        self._given: list[str] = []
        self._began = time.monotonic()

    def run(self, limit: float, submit_for: float = float("inf")) -> str:
        """Everything; returns the line of figures. Raises AssertionError for anything lost, doubled or left.

        After `submit_for` seconds no more jobs come, and those that came are the whole.
        """
        try:
            while self.census.look() < self.jobs:
                if time.monotonic() - self._began > submit_for:
                    self.jobs = len(self._given)
                assert time.monotonic() - self._began < limit, self._stuck()
                self.step()
            self._end()
        finally:
            self.stop()
        return self._verdict()

    def step(self) -> None:
        """One turn."""
        self.keep_running()
        self.submit(BACKLOG - (len(self._given) - self.census.look()))
        at_rest = self.census.look()
        # By work done, not by time: a slow machine must get somewhere between two strikes. The time is for
        # strikes that stop everything, and the last jobs finish in peace.
        if (at_rest >= self._next or time.monotonic() > self._due) and at_rest < self.jobs - PEACE:
            self._strike()
            self._next = at_rest + self._chance.randint(1, 2 * self._every)
            self._due = time.monotonic() + self.patience
        time.sleep(0.05)

    # --- what people do --------------------------------------------------------------------------------

    def submit(self, count: int) -> None:
        """Hand in `count` more photos, or as many as are still to come: some as jobs, some dropped as files."""
        for _ in range(min(count, self._to_come)):
            name = f"{len(self._given)}.png"
            if self._chance.random() < 0.3:
                self._drop(name)
            else:
                request = Request.new(source="cli", name=name, suffix=".png", views=False, quality="draft")
                draft = Draft.begin(self.spool.root, request)
                draft.input.write_bytes(self._picture)
                draft.publish("inbox")
            self._given.append(name)

    @property
    def _to_come(self) -> int:
        """How many photos may come now: the last ones wait for the strikes."""
        held_back = PEACE + 1 if self.strikes.total() < self.least else 0
        return self.jobs - held_back - len(self._given)

    def _drop(self, name: str) -> None:
        with (self.spool.root / "inbox" / name).open("wb") as file:
            file.write(self._picture)

    # --- what goes wrong -------------------------------------------------------------------------------

    def _strike(self) -> None:
        strikes = {
            self._hit_worker: 12,
            self._kill_supervisor: 1,
            self._stop_supervisor: 1,
            self._reload: 1,
            self._set_clock: 2,
            self.overflow: 1,
        }
        (strike,) = self._chance.choices(list(strikes), list(strikes.values()))
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it died of something else meanwhile
            strike()

    def _hit_worker(self) -> None:
        workers = [child for child in self._supervisor().children() if _is_worker(child)]
        if workers:
            kinds = ("SIGKILL", "SIGKILL", "SIGSTOP", "SIGABRT", "SIGTERM", "SIGSEGV")
            kind = self._chance.choice(kinds)
            self._chance.choice(workers).send_signal(getattr(signal, kind))
            self.strikes[kind] += 1

    def _kill_supervisor(self) -> None:
        self._supervisor().kill()
        self.strikes["supervisor SIGKILL"] += 1

    def _stop_supervisor(self) -> None:
        supervisor = self._supervisor()
        supervisor.suspend()
        time.sleep(self._chance.uniform(0.1, 1.0))
        supervisor.resume()
        self.strikes["supervisor SIGSTOP"] += 1

    def _reload(self) -> None:
        if not self.is_ready():
            return  # it does not listen yet, and a SIGHUP would end it as it ends any program
        self._supervisor().send_signal(signal.SIGHUP)
        self.strikes["reload"] += 1

    def _set_clock(self) -> None:
        self._clock.set(self._chance.choice((0.0, DAY, -DAY, 365 * DAY, -365 * DAY)))
        self.strikes["clock set"] += 1

    def overflow(self) -> None:
        """While the supervisor does not read, more events than the kernel keeps; then photos it never hears of."""
        supervisor = self._supervisor()
        supervisor.suspend()
        try:
            noise = [self.spool.root / "inbox" / f".noise-{at}" for at in range(2)]
            for _ in range(BURST):
                for file in noise:
                    file.open("wb").close()
            for _ in range(min(20, self._to_come)):
                self._drop(f"{len(self._given)}.png")
                self._given.append(f"{len(self._given)}.png")
            for file in noise:
                file.unlink()
        finally:
            supervisor.resume()
        self.strikes["event overflow"] += 1

    # --- the service -----------------------------------------------------------------------------------

    def keep_running(self) -> bool:
        """Start the service, again where it was killed. True; raises AssertionError where it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            assert self._process.returncode == -signal.SIGKILL, self.log_text()[-4000:]
            self._process = None
        if self._process is None:
            with self.log.open("ab") as log:
                command = [sys.executable, "-m", "tests.soak.serve"]
                self._process = subprocess.Popen(command, env=self._environ, cwd=ROOT, stdout=log, stderr=log)
        return True

    def _supervisor(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def _end(self) -> None:
        """Drain: nothing may be left of the processes or in the folders."""
        self.census.due = 0.0
        self.census.look()
        self.keep_running()
        assert self._process is not None
        until(lambda: not self.census.left_over(), 60)
        children = self._supervisor().children(recursive=True)
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        until(lambda: not [child for child in children if alive(child)], 60)

    def is_ready(self) -> bool:
        """Whether the present supervisor has begun its work."""
        board = Board.read(self.spool.root)
        return board is not None and board.pid == self._supervisor().pid

    def log_text(self) -> str:
        """What the service said so far."""
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Whatever happened, leave no process."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _verdict(self) -> str:
        names, given = self.census.names(), Counter(self._given)
        lost, doubled = list((given - names).elements()), list((names - given).elements())
        twice, left, litter = self.census.twice(self.log), self.census.left_over(), self.census.litter()
        reasons = self.census.reasons()
        done = len(self.census.seen)
        line = (
            f"soak: {self.jobs} jobs in {time.monotonic() - self._began:.0f} s: {done} done, "
            f"{sum(reasons.values())} failed with a reason ({_list(reasons)}), {len(lost)} lost, "
            f"{len(doubled) + len(twice)} published twice, {len(left)} left over in running/ or tmp/, "
            f"{len(litter)} half-written files; {sum(self.strikes.values())} strikes ({_list(self.strikes)})"
        )
        assert not (lost or doubled or twice or left or litter or reasons[""]), (
            line,
            lost,
            doubled,
            twice,
            left,
            litter,
        )
        return line

    def _stuck(self) -> str:
        board = self.spool.root / "supervisor.json"
        said = board.read_text() if board.exists() else "no board"
        return f"not at rest in time: {self.census.left_over()[:20]}; {said}; {self.log_text()[-4000:]}"


def _is_worker(child: psutil.Process) -> bool:
    return not any("resource_tracker" in word for word in child.cmdline())


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def main() -> int:
    """Run it once, with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="submit no longer than this")
    parser.add_argument("--every", type=int, default=40, help="jobs between two strikes, on average")
    parser.add_argument(
        "--fork", action="store_true", help="start workers by fork, not spawn: many more strikes"
    )
    parser.add_argument("--limit", type=float, default=7200, help="seconds after which it counts as stuck")
    parser.add_argument("--folder", type=Path, help="where the spool is made (default: the temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", dir=args.folder) as folder:
        print(
            Soak(Path(folder), args.jobs, args.seed, every=args.every, fork=args.fork).run(
                args.limit, args.minutes * 60
            ),
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
