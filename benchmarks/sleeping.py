"""The real supervisor and the real workers with an engine that sleeps: `python -m benchmarks.sleeping`.

The seam is `daemon.process.spawn`: the worker processes begin here, put `SleepingEngine` in the place of
`daemon.engines.choose.build`, and run `daemon.process.main` as always. Spool, stages, files, fsyncs, policy, finisher
and supervisor are the product's; photos and models are tiny, so that what is left is the time the engine sleeps.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from trimesh import Trimesh

from daemon import process
from daemon.config import Config
from daemon.devices import Post
from daemon.engines import choose
from daemon.engines.base import Cutout, Order, Progress, Unfinished
from daemon.pulse import Pulse
from spool.layout import STAGES
from spool.logs import to_stderr
from spool.notify import Systemd
from spool.settings import read
from tests.support import SphereEngine

PACE = "BENCH_PACE"
TRACE = "BENCH_TRACE"
"""Environment variables: how long things take, as JSON; a folder for what the engines did when."""
STEPS = 10
"""Progress callbacks of a stage."""


@dataclass(frozen=True)
class Pace:
    """How long each job's stages take: `unit` seconds times the ratio, with a jitter of a fifth (gamma)."""

    ratio: tuple[float, float, float]
    unit: float
    seed: int = 0
    slow: str = ""
    slower: float = 1.0
    """A worker whose device takes so many times as long as the others'."""

    def seconds(self, stage: str, at: int, worker: str = "") -> float:
        """Of the job number `at`: drawn from its number alone, so every process knows."""
        jitter = random.Random(f"{self.seed} {stage} {at}").gammavariate(25.0, 1 / 25.0)
        times = self.slower if worker and worker == self.slow else 1.0
        return self.unit * self.ratio[[known.name for known in STAGES].index(stage)] * jitter * times

    def told(self) -> str:
        """As the environment variable has it."""
        return json.dumps(asdict(self))

    @classmethod
    def heard(cls) -> Pace:
        """As the environment variable says."""
        value = json.loads(os.environ[PACE])
        return cls(**{**value, "ratio": tuple(value["ratio"])})


@dataclass(frozen=True)
class Slept:
    """What an engine did: seconds of the monotonic clock."""

    worker: str
    stage: str
    job: int
    began: float
    ended: float

    @classmethod
    def all_in(cls, folder: Path) -> list[Slept]:
        """Everything the workers wrote down, in the order of time."""
        lines = [line for path in folder.iterdir() for line in path.read_text().splitlines()]
        return sorted((cls(**json.loads(line)) for line in lines), key=lambda slept: slept.began)


def photo(at: int) -> Image.Image:
    """A small photo that says which job it is: the engine is told no more of a photo than its pixels."""
    image = Image.new("RGBA", (32, 32), (230, 120, 30, 255))
    image.putpixel((0, 0), (at >> 8, at & 255, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    return image


class SleepingEngine(SphereEngine):
    """Sleeps as long as the pace says, on its device; leaves the making of a small sphere to the finisher."""

    name = "silhouette"
    """As the supervisor is told: only what its engine finished is what estimates learn from."""

    def __init__(self, worker: str, pace: Pace, trace: Path) -> None:
        super().__init__()
        self._worker = worker
        self._pace = pace
        self._trace = (trace / f"{worker}-{os.getpid()}").open("a", buffering=1)

    def cutout(self, photo: Image.Image, remove_bg: bool, progress: Progress) -> Cutout:
        """The photo itself."""
        high, low = photo.getpixel((0, 0))[:2]  # type: ignore[index]
        self._sleep("cutout", int(high) * 256 + int(low), progress)
        return Cutout(photo.convert("RGBA"), (), {"alpha": "kept"})

    def geometry(self, cutout: Image.Image, order: Order, progress: Progress) -> Unfinished:
        """A sphere, later."""
        self._sleep("geometry", order.seed, progress)
        return Unfinished(_shaped, (cutout, order))

    def texture(self, mesh: Trimesh, cutout: Image.Image, order: Order, progress: Progress) -> Unfinished:
        """A painted sphere, later."""
        self._sleep("texture", order.seed, progress)
        return Unfinished(_painted, (mesh, cutout, order))

    def _sleep(self, stage: str, at: int, progress: Progress) -> None:
        began = time.monotonic()
        seconds = self._pace.seconds(stage, at, self._worker)
        for step in range(STEPS):
            time.sleep(max(0.0, began + seconds * (step + 1) / STEPS - time.monotonic()))
            progress((step + 1) / STEPS, f"{stage}: {step + 1} of {STEPS}")
        slept = Slept(self._worker, stage, at, began, time.monotonic())
        self._trace.write(json.dumps(asdict(slept)) + "\n")


def _shaped(cutout: Image.Image, order: Order, progress: Progress) -> Trimesh:
    return SphereEngine().geometry(cutout, order, progress)


def _painted(mesh: Trimesh, cutout: Image.Image, order: Order, progress: Progress) -> Trimesh:
    return SphereEngine().texture(mesh, cutout, order, progress)


def environ(root: Path, pace: Pace, trace: Path, geometry: Sequence[str], texture: str) -> dict[str, str]:
    """What the service is told; `geometry` and `texture` name devices."""
    return {
        **os.environ,
        PACE: pace.told(),
        TRACE: str(trace),
        "PROTOSCALE_SPOOL": str(root),
        "PROTOSCALE_RESERVE": "1M",
        "PROTOSCALE_LOG_LEVEL": "warning",
        "ENGINE": "silhouette",
        "GEOMETRY_DEVICE": ",".join(geometry),
        "TEXTURE_DEVICE": texture,
    }


def main() -> int:
    """What `protoscale run --no-http` does."""
    from daemon.supervisor import Supervisor

    config = read(Config)
    to_stderr(config.log_level, "supervisor")
    process.spawn = partial(process.spawn, target=_work)
    return Supervisor(config, Systemd({}), with_http=False).run()


def _work(parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    choose.build = lambda config, post: SleepingEngine(post.name, Pace.heard(), Path(os.environ[TRACE]))
    vars(choose)["LEAVES_WORK"] = (SleepingEngine.name,)
    process.main(parent, config, post, pulse, geometry_workers)


if __name__ == "__main__":
    raise SystemExit(main())
