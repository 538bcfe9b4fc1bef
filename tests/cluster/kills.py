"""Random kills of actors, machines, envoys and the head while jobs run: nothing is lost, nothing is published twice.

Run `python -m tests.cluster.kills --jobs 2000 --kills 200`; `tests/cluster/test_cluster.py` runs the quick form. The
stages sleep (`tests.cluster.serve`), everything else is real: Ray, its nodes, the supervisor, envoys and outposts.
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

from spool import layout
from spool.job import Request
from spool.spool import Spool
from tests.cluster.machines import Machine, Rig, namespaces_missing, rig
from tests.cluster.sleepy import SLEEP
from tests.service import ROOT, alive
from tests.soak.census import Census
from tests.support import picture, until

PEACE = 0.97
"""Share of the jobs after which no more strikes fall, so that the last ones finish."""


class Head:
    """The supervisor on a cluster, with no worker of its own; killed, it is started again by `keep_running`."""

    def __init__(self, cluster: Rig, root: Path, **environ: str) -> None:
        self.spool = Spool.open(root / "spool")
        self.log = root / "service.log"
        self.environ = {
            **{name: value for name, value in cluster.environ.items() if name.startswith(("PATH", "RAY_"))},
            "HOME": str(root),
            "PROTOSCALE_SPOOL": str(self.spool.root),
            "PROTOSCALE_RESERVE": "1M",
            "PROTOSCALE_SCAN_EVERY": "1",
            "PROTOSCALE_STEP_LIMIT": "60",
            "CLUSTER": cluster.address,
            "GEOMETRY_DEVICE": "none",
            "TEXTURE_DEVICE": "none",
            "OMP_NUM_THREADS": "1",
            **environ,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def keep_running(self) -> bool:
        """Start it, again where it was killed. Raises AssertionError where it ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            assert self.process.returncode == -signal.SIGKILL, self.log.read_text()[-4000:]
            self.process = None
        if self.process is None:
            with self.log.open("ab") as log:
                command = [sys.executable, "-m", "tests.cluster.serve"]
                self.process = subprocess.Popen(command, env=self.environ, cwd=ROOT, stdout=log, stderr=log)
        return True

    def envoys(self) -> list[psutil.Process]:
        """Its children that may be envoys."""
        assert self.process
        found = []
        for child in psutil.Process(self.process.pid).children():
            if not any("resource_tracker" in word for word in child.cmdline()):
                found.append(child)
        return found

    def stop(self) -> None:
        """Drain it; whatever happens, nothing of it is left."""
        if self.process is None or self.process.poll() is not None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
            until(lambda: not [child for child in children if alive(child)], 60)
        finally:
            for process in children:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.kill()
            self.process.wait()


class Kills:
    """Jobs, strikes and a census."""

    def __init__(self, cluster: Rig, root: Path, jobs: int, kills: int, seed: int) -> None:
        self.cluster = cluster
        self.head = Head(cluster, root)
        self.jobs = jobs
        self.kills = kills
        self.census = Census(self.head.spool)
        self.strikes: Counter[str] = Counter()
        self.poisoned = 0
        self._chance = random.Random(seed)
        self._names = [f"{at}.png" for at in range(jobs)]
        self._down: dict[Machine, float] = {}
        self._cut: dict[Machine, float] = {}
        self._next = 5
        self._due = 0.0
        self._began = time.monotonic()

    def run(self, limit: float) -> str:
        """Everything; returns the line of figures. Raises AssertionError for anything lost or doubled."""
        try:
            for name in self._names:
                self._submit(name)
            while (at_rest := self.census.look()) < self.jobs:
                assert time.monotonic() - self._began < limit, self._stuck()
                self.head.keep_running()
                self._repair(all_of_it=at_rest >= self.jobs * PEACE)
                self._maybe_strike(at_rest)
                time.sleep(0.1)
            self.census.due = 0.0
            self.census.look()
            until(lambda: not self.census.left_over(), 120)
        finally:
            self._repair(all_of_it=True)
            self.head.stop()
        return self._verdict()

    def _submit(self, name: str) -> None:
        request = Request.new(source="cli", name=name, suffix=".png", views=False)
        draft = self.head.spool.draft(request)
        draft.input.write_bytes(PICTURE)
        draft.publish(layout.INBOX)

    # --- what goes wrong -------------------------------------------------------------------------------

    def _maybe_strike(self, at_rest: int) -> None:
        """By work done, not by time: between two strikes something must get finished, or a while must pass."""
        if self._struck >= self.kills or at_rest >= self.jobs * PEACE:
            return
        if at_rest < self._next and time.monotonic() < self._due:
            return
        kinds = {self._kill_actor: 12, self._kill_envoy: 3, self._kill_machine: 3, self._kill_head: 2}
        if self.cluster.net.namespaces:
            kinds[self._cut_network] = 2
        (strike,) = self._chance.choices(list(kinds), list(kinds.values()))
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            strike()
        self._next = at_rest + self._chance.randint(
            1, max(1, round(1.7 * self.jobs * PEACE / self.kills) - 1)
        )
        self._due = time.monotonic() + 20.0

    @property
    def _struck(self) -> int:
        return sum(count for name, count in self.strikes.items() if not name.startswith("("))

    def _kill_actor(self) -> None:
        outposts = [actor for machine in self._up() for actor in machine.outposts()]
        if outposts:
            self._chance.choice(outposts).kill()
            self.strikes["actor"] += 1

    def _kill_envoy(self) -> None:
        if envoys := self.head.envoys():
            self._chance.choice(envoys).kill()
            self.strikes["envoy or lookout"] += 1

    def _kill_machine(self) -> None:
        if not self._down and (up := self._up()):
            machine = self._chance.choice(up)
            machine.kill()
            self._down[machine] = time.monotonic() + self._chance.uniform(0, 8)
            self.strikes["machine"] += 1

    def _cut_network(self) -> None:
        if not self._cut and (up := self._up()):
            machine = self._chance.choice(up)
            machine.cut()
            self._cut[machine] = time.monotonic() + self._chance.uniform(0.5, 12)
            self.strikes["network cut"] += 1

    def _kill_head(self) -> None:
        assert self.head.process
        self.head.process.kill()
        self.head.process.wait()
        self.strikes["supervisor"] += 1

    def _repair(self, *, all_of_it: bool = False) -> None:
        """Bring machines back whose time has come, and those whose Ray ended because it was cut off for too long."""
        now = time.monotonic()
        for machine, due in list(self._cut.items()):
            if all_of_it or now >= due:
                machine.mend()
                del self._cut[machine]
        for machine, due in list(self._down.items()):
            if all_of_it or now >= due:
                del self._down[machine]
                machine.start()
        for machine in self.cluster.machines[1:]:
            if not machine.running and machine not in self._down and machine not in self._cut:
                machine.kill()
                machine.start()
                self.strikes["(Ray of a cut-off machine started again)"] += 1

    def _up(self) -> list[Machine]:
        return [
            machine
            for machine in self.cluster.machines[1:]
            if machine.running and machine not in self._cut and machine not in self._down
        ]

    # --- what became of it -----------------------------------------------------------------------------

    def _verdict(self) -> str:
        names, given = self.census.names(), Counter(self._names)
        lost, doubled = list((given - names).elements()), list((names - given).elements())
        twice, left, litter = self.census.twice(self.head.log), self.census.left_over(), self.census.litter()
        reasons = self.census.reasons()
        spool = self.head.spool
        wrong = [
            job
            for job in spool.waiting(layout.DONE)
            if (found := spool.find(job).job).path.joinpath(layout.MODEL_GLB).read_text()
            != f"{layout.MODEL_GLB} of {found.request.name}\n"
        ]
        strikes = ", ".join(f"{count} {name}" for name, count in sorted(self.strikes.items()))
        line = (
            f"kills: {self.jobs} jobs in {time.monotonic() - self._began:.0f} s: {len(self.census.seen)} done, "
            f"{reasons.total()} failed with a reason ({dict(reasons)}), {len(lost)} lost, "
            f"{len(doubled) + len(twice)} published twice, {len(wrong)} with a foreign model, "
            f"{len(left)} left over, {len(litter)} half-written files; {self._struck} kills ({strikes})"
        )
        assert not (lost or doubled or twice or wrong or left or litter or reasons[""]), (
            line,
            lost,
            doubled,
            twice,
        )
        return line

    def _stuck(self) -> str:
        board = self.head.spool.root / "supervisor.json"
        said = board.read_text() if board.exists() else "no board"
        return f"not at rest in time: {self.census.left_over()[:20]}; {said}; {self.head.log.read_text()[-4000:]}"


PICTURE = picture((48, 40))


def fire(
    root: Path, jobs: int, kills: int, seed: int, limit: float, *, machines: int = 2, each: int = 1
) -> str:
    """Run it on a cluster of its own."""
    with rig(environ={SLEEP: "0.1"}) as cluster:
        for _ in range(machines):
            cluster.add({"protoscale_all": each}).start()
        return Kills(cluster, root, jobs, kills, seed).run(limit)


def main() -> int:
    """Run it once, with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--each", type=int, default=2, help="devices of each machine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=7200, help="seconds after which it counts as stuck")
    parser.add_argument("--keep", type=Path, help="an empty folder for spool and log, which stay")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root = args.keep or Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        line = fire(
            root, args.jobs, args.kills, args.seed, args.limit, machines=args.machines, each=args.each
        )
    where = "network namespaces" if namespaces_missing() is None else "loopback addresses"
    print(
        f"{line}; {args.machines} machines in {where}, {args.each} devices each; load {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
