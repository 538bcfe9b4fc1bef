"""No orphans: the supervisor is killed at a random moment of its start or its work, and nothing of it may stay.

Every process of the service carries the path of its own spool in its environment, so that one is found whoever its
parent is by now. Run `python -m tests.soak.orphans --times 500`; `tests/test_soak.py` runs the quick form.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spool.layout import RUNNING
from spool.spool import Spool
from tests.service import Service, marked
from tests.support import submit, until

GONE_WITHIN = 30.0
START = 2.0
"""Kills in the start fall within this many seconds; that is where processes are just being made."""


@dataclass
class Tally:
    """What was seen: kills in the start and in the work, processes that were there, the slowest to go, orphans."""

    starting: int = 0
    working: int = 0
    processes: int = 0
    slowest: float = 0.0
    orphans: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.starting + other.starting,
            self.working + other.working,
            self.processes + other.processes,
            max(self.slowest, other.slowest),
            self.orphans + other.orphans,
        )

    def __str__(self) -> str:
        return (
            f"orphans: {self.starting + self.working} supervisors killed ({self.starting} in their start, "
            f"{self.working} in their work), {self.processes} processes of theirs gone within "
            f"{self.slowest:.1f} s, {self.orphans} orphans"
        )


def rounds(folder: Path, u2net_home: Path, times: int, seed: int, *, work_share: float = 0.25) -> Tally:
    """Start the service `times` times and kill its supervisor; jobs wait, and the HTTP server starts too."""
    chance = random.Random(seed)
    service = Service(folder / f"spool-{seed}", u2net_home)
    service.log = folder / f"service-{seed}.log"
    for _ in range(2):
        submit(Spool.open(service.spool.root), quality="draft")
    tally = Tally()
    for at in range(times):
        working = at == 0 or chance.random() < work_share
        service.start(ready=False)
        assert service.process is not None
        seen: set[int] = set()
        try:
            if working:
                _feed(service)
                until(lambda: _is_working(service), 120)
                time.sleep(chance.uniform(0, 0.3))
            else:
                deadline = time.monotonic() + chance.uniform(0, START)
                while time.monotonic() < deadline:
                    seen |= marked("PROTOSCALE_SPOOL", service.spool.root)
                    time.sleep(0.01)
            seen |= marked("PROTOSCALE_SPOOL", service.spool.root)
        finally:
            service.process.kill()
            service.process.wait()
        tally += _aftermath(service, seen, working)
    return tally


def _is_working(service: Service) -> bool:
    """Asked of the folders: the board is written between two sleeps of the supervisor, and may miss a short job."""
    board = service.board()
    if service.process is None or board is None or board.pid != service.process.pid:
        return False  # what lies in running/ is still its predecessor's
    return any(service.spool.waiting(f"{RUNNING}/{worker}") for worker in service.spool.workers())


def _feed(service: Service) -> None:
    """A job that takes a while, for the workers to be killed at."""
    submit(service.spool, quality="high")


def _aftermath(service: Service, seen: set[int], working: bool) -> Tally:
    began = time.monotonic()
    while (left := marked("PROTOSCALE_SPOOL", service.spool.root)) and time.monotonic() - began < GONE_WITHIN:
        seen |= left
        time.sleep(0.01)
    took = time.monotonic() - began
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return Tally(int(not working), int(working), len(seen), took, len(left))


def main() -> int:
    """Run it once, in a few lanes side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--models", type=Path, default=Path("build/u2net"), help="folder with u2netp.onnx")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orphans-") as name, ThreadPoolExecutor(args.lanes) as lanes:
        shares = [args.times // args.lanes + (lane < args.times % args.lanes) for lane in range(args.lanes)]
        run = [
            lanes.submit(rounds, Path(name), args.models.absolute(), share, seed)
            for seed, share in enumerate(shares)
        ]
        total = sum((lane.result() for lane in run), Tally())
    print(total, flush=True)
    return 1 if total.orphans else 0


if __name__ == "__main__":
    raise SystemExit(main())
