"""A worker of the test's own, with an engine that needs milliseconds, and turns of its loop."""

from __future__ import annotations

import time

from daemon.config import Config
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.pulse import Pulse
from daemon.worker import Worker
from spool import layout
from spool.spool import Spool
from tests.support import SphereEngine

ALL = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))


def worker(spool: Spool, settings: Config, post: Post = ALL) -> Worker:
    spool.enlist(post.name)
    return Worker(spool, settings, post, SphereEngine(), Pulse())


def engine(of: Worker) -> SphereEngine:
    assert isinstance(of.engine, SphereEngine)
    return of.engine


def work_off(of: Worker) -> int:
    """Work until nothing waits, through rests and pauses; how many jobs were claimed."""
    steps = 0
    while True:
        # Looked at before the step: a rest that ends between the two is worth another step.
        resting = of.outcomes.waits_for_disk or any(
            of.spool.rest_left(stage.folder, job)
            for stage in layout.STAGES
            for job in of.spool.waiting(stage.folder)
        )
        if of.step():
            steps += 1
        elif resting:
            time.sleep(0.01)
        else:
            return steps
