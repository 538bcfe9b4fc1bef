"""An outpost whose stages sleep and write a few bytes, to ask what a cluster costs and not what models do.

`SLEEP` in the environment of its machine says for how many seconds a stage sleeps. A module of its own, because the
actor's process imports it by name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from daemon.cluster.outpost import Outpost
from daemon.config import Config
from daemon.devices import Post
from daemon.engines.base import Engine
from daemon.reporter import Reporter
from daemon.stages import PhotoLimits
from spool import durable, layout
from spool.job import Job
from tests.support import SphereEngine

SLEEP = "CLUSTER_TEST_SLEEP"
STEPS = 4


class SleepyOutpost(Outpost):
    """An outpost whose stages take a known time and no CPU."""

    def __init__(self, config: Config, post: Post, release: str) -> None:
        super().__init__(config, post, release)
        self._seconds = float(os.environ[SLEEP])

    def _build(self, post: Post) -> Any:
        from daemon import stages

        stages.WORK = {stage: _asleep(stage, self._seconds) for stage in stages.WORK}
        return SphereEngine()


def _asleep(stage: str, seconds: float) -> Callable[[Job, Engine, PhotoLimits, Reporter], None]:
    def work(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
        progress = report.part(stage)
        for step in range(STEPS):
            progress(step / STEPS, f"{stage} {step}")
            time.sleep(seconds / STEPS)
        for name in _MADE[stage]:
            durable.replace(job.path / name, f"{name} of {job.request.name}\n".encode(), durable=False)

    return work


_MADE: Mapping[str, tuple[str, ...]] = {
    "cutout": (layout.CUTOUT_PNG,),
    "geometry": (layout.GEOMETRY_GLB,),
    "texture": (layout.ANALYSIS, layout.MODEL_GLB),
}
