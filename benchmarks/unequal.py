"""How far estimates are off where two cards make geometry and one takes four times as long as the other.

    python -m benchmarks.unequal [--full]

The real supervisor and workers with an engine that sleeps (`benchmarks.sleeping`). Some jobs are done first, from
which the estimates learn; then a batch comes at once and is watched as `benchmarks.estimate` watches its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.estimate import EVERY, figures, table, watch
from benchmarks.figures import Section
from benchmarks.pipeline import ROOT, drafted, until_done, until_ready
from benchmarks.sleeping import Pace, environ
from spool.spool import Spool

PACE = Pace((1, 20, 5), 0.04, slow="geometry-cpu-2", slower=4.0)
LEARNED = 20
"""Jobs that are done before: the slow card has at least three of them."""


def measure(full: bool) -> Section:
    """Run the batch and compare."""
    jobs = 60 if full else 24
    with tempfile.TemporaryDirectory(prefix="protoscale-bench-") as name:
        spool, trace = Spool.open(Path(name) / "spool"), Path(name) / "trace"
        trace.mkdir()
        variables = environ(spool.root, PACE, trace, ("cpu", "cpu"), "auto")
        service = subprocess.Popen([sys.executable, "-m", "benchmarks.sleeping"], cwd=ROOT, env=variables)
        try:
            until_ready(spool, service)
            for at in range(LEARNED):
                drafted(spool, at).publish("inbox")
            until_done(spool, LEARNED, service)
            ids = [drafted(spool, LEARNED + at).publish("inbox").id for at in range(jobs)]
            answers, happened = watch(spool, ids)
        finally:
            service.terminate()
            service.wait()
    return Section(
        "unequal",
        "Estimated and real times on unequal cards",
        f"{jobs} jobs at once, after a history of {LEARNED}; an engine that sleeps, two devices for geometry of "
        f"which one takes {PACE.slower:g} times as long; {len(answers)} estimates, asked every {EVERY} s of each "
        "job until it ended. The absolute error, in seconds and as a share of what was really left.",
        figures(answers, happened),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="60 jobs instead of 24")
    print(table(measure(parser.parse_args().full)))
