"""The real supervisor and the real workers with stages that do nothing but publish tiny products.

    python -m benchmarks.noop [none | decode | sleep]

`decode` decodes the photo as the real cutout does; with `sleep` a photo that begins so says how long geometry sleeps.
The seams are two: `daemon.process.spawn`, so that the workers begin here, and in them `stages.WORK` and
`choose.build`. Claims, attempts, status, products, moves and fsyncs are the service's own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

from daemon import process
from daemon.config import Config
from daemon.devices import Post
from daemon.pulse import Pulse
from spool import durable, layout
from spool.job import Job
from spool.logs import to_stderr
from spool.notify import Systemd
from spool.settings import read

SLEEP = "BENCH_SLEEP"
"""Environment variable: the name of a file that says for how many seconds geometry sleeps while it is there."""


def main() -> int:
    """What `protoscale run` does."""
    from daemon.supervisor import Supervisor

    config = read(Config)
    to_stderr(config.log_level, "supervisor")
    process.spawn = partial(process.spawn, target=partial(_work, sys.argv[1:]))
    return Supervisor(config, Systemd({}), with_http=config.http).run()


def _work(
    ways: list[str], parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int
) -> None:
    from daemon import stages
    from daemon.engines import choose
    from tests.support import SphereEngine

    # Checked, and asked for its name; the stages below never use it.
    choose.build = lambda config, post: SphereEngine()
    vars(stages)["WORK"] = no_work(decode="decode" in ways)
    process.main(parent, config, post, pulse, geometry_workers)


def no_work(*, decode: bool = False) -> Mapping[str, Callable[..., None]]:
    """Stages by name that publish what decides where a job goes next."""
    from daemon import stages
    from daemon.decoding import decode as decoded
    from daemon.engines.base import Engine
    from daemon.reporter import Reporter
    from daemon.stages import PhotoLimits

    def cutout(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
        report.part("cutout")(0.0, "reading the photo")
        if decode:
            decoded(job.input, limits.max_pixels, limits.max_side, stages.MIN_SIDE, stages.LONGEST_SIDE)
        durable.replace(job.path / layout.CUTOUT_PNG, b"a cut-out", named=False)

    def geometry(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
        report.part("geometry")(0.0, "making the shape")
        if seconds := _seconds():  # even a sleep of nothing gives the processor away
            time.sleep(seconds)
        durable.replace(job.path / layout.GEOMETRY_GLB, b"a mesh", named=False)

    def texture(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
        report.part("texture")(0.0, "reading the shape")
        durable.replace(job.path / layout.MODEL_GLB, b"a model", named=False)

    return {"cutout": cutout, "geometry": geometry, "texture": texture}


def _seconds() -> float:
    try:
        with open(os.environ[SLEEP]) as file:  # noqa: PTH123 (once a job: as little as can be)
            return float(file.read())
    except (KeyError, FileNotFoundError):
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
