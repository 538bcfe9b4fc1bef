"""The worker path against calling Hunyuan3D-2.1's shape pipeline directly: same tiny weights, one run, alternating.

    python benchmarks/adapter.py [--jobs 20] [--step 1.0]

What is compared is the time that the device is taken: a direct call of the pipeline, and what a worker with its
finisher spends from one claim to the next (claiming, attempts on the disk, status, progress, handing the rest over).
`--step` sleeps that many seconds in all within the model step, as a GPU would work, so that the share of overhead is
that of a step of a real size. Then `--soak` jobs more, to see whether time or memory grow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.figures import Figure, Section
from daemon.devices import GEOMETRY_STAGES, Post
from spool.job import Request
from spool.settings import read
from spool.spool import Spool

if TYPE_CHECKING:
    from daemon.engines.hunyuan.engine import HunyuanEngine
    from daemon.worker import Worker

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
LIMITS = "steps=5,octree=32,faces=3000"
STEPS = 5
POST = Post("geometry-cpu", "cpu", GEOMETRY_STAGES)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--soak", type=int, default=100)
    parser.add_argument("--step", type=float, default=1.0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            engine, worker = made(Path(folder))
        try:
            compare(engine, worker, options.jobs, options.step)
            soak(worker, options.soak)
        finally:
            assert worker.finisher
            worker.finisher.stop()


def made(folder: Path) -> tuple[HunyuanEngine, Worker]:
    """A worker on a spool of its own with tiny weights made here."""
    from daemon.config import Config
    from daemon.engines.choose import hunyuan
    from daemon.engines.hunyuan import code
    from daemon.engines.hunyuan.checkout import Checkout
    from daemon.finisher import Finisher
    from daemon.pulse import Pulse
    from daemon.worker import Worker

    checkout = Checkout(ROOT / "build" / "hunyuan" / "code")
    code.shape_modules(checkout)
    from tests.hunyuan import tiny_shape

    tiny_shape.write(folder / "weights")
    config = read(
        Config,
        {
            "PROTOSCALE_SPOOL": str(folder / "spool"),
            "ENGINE": "hunyuan",
            "HUNYUAN_PATH": str(checkout.root),
            "MODEL_PATH": str(folder / "weights"),
            "ENABLE_TEXTURE": "false",
            "PROTOSCALE_HUNYUAN_LIMITS": LIMITS,
            "PROTOSCALE_LOG_LEVEL": "error",
        },
    )
    spool = Spool.open(config.spool)
    spool.enlist(POST.name)
    engine = hunyuan(config, POST)
    finisher = Finisher(POST.name, config)
    return engine, Worker(spool, config, POST, engine, Pulse(), finisher=finisher)


def measure(full: bool) -> Section:
    """Through the worker and directly, in turns. Raises EngineUnavailable where the engine's code is not here."""
    jobs, step = (20, 1.0) if full else (5, 1.0)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            engine, worker = made(Path(folder))
        try:
            direct, through = in_turns(engine, worker, jobs, step)
        finally:
            assert worker.finisher
            worker.finisher.stop()
    ratios = [mine / theirs for (theirs, _), (mine, _) in zip(direct, through, strict=True)]
    return Section(
        "adapter",
        "Adapter of Hunyuan3D-2.1",
        f"hy3dshape with tiny weights, {jobs} pairs; {step:g} s of sleep in the model's steps, as on a device",
        [
            Figure("worker's step to a direct call", "x", ratios, 1.03),
            Figure("direct call", "ms", [1e3 * wall for wall, _ in direct]),
            Figure("worker's step", "ms", [1e3 * wall for wall, _ in through]),
            Figure("CPU of a direct call", "ms", [1e3 * used for _, used in direct]),
            Figure("CPU of a worker's step", "ms", [1e3 * used for _, used in through]),
        ],
    )


def in_turns(
    engine: HunyuanEngine, worker: Worker, jobs: int, step: float
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Seconds by the clock and of CPU, of direct calls and of the worker's steps."""
    photo = cutout()
    run_one(worker)  # loads the model
    wait_for_finisher(worker)
    with sleeping(engine, step):
        direct, through = [], []
        for _ in range(jobs):
            direct.append(timed(lambda: call(engine, photo)))
            job = queue(worker.spool)
            through.append(timed(lambda: worker.step()))
            assert job
            # The finisher's work is not the device's time; wait, so that it does not slow the next direct call.
            wait_for_finisher(worker)
    return direct, through


def compare(engine: HunyuanEngine, worker: Worker, jobs: int, step: float) -> None:
    """Alternate direct calls and jobs; print medians and the overhead."""
    direct, through = in_turns(engine, worker, jobs, step)
    for unit, at in (("wall clock", 0), ("CPU time", 1)):
        one, other = (statistics.median(times[at] for times in taken) for taken in (direct, through))
        least = [1e3 * min(times[at] for times in taken) for taken in (direct, through)]
        print(f"{unit:<11} direct call {one * 1e3:8.1f} ms (least {least[0]:.1f}), ", end="")
        print(f"worker's step {other * 1e3:8.1f} ms (least {least[1]:.1f}): ", end="")
        print(f"{1e3 * (other - one):+.1f} ms, {100 * (other - one) / max(step, one):+.2f} % of the step")


def soak(worker: Worker, jobs: int) -> None:
    """Many jobs; print the first and the last quarter."""
    process, seconds, resident = psutil.Process(), [], []
    for _ in range(jobs):
        seconds.append(timed(lambda: run_one(worker))[1])
        wait_for_finisher(worker)
        resident.append(process.memory_info().rss)
    quarter = max(1, jobs // 4)
    first, last = statistics.median(seconds[:quarter]), statistics.median(seconds[-quarter:])
    print(
        f"{jobs} jobs: first quarter {first * 1e3:.1f} ms, last quarter {last * 1e3:.1f} ms of CPU time (medians)"
    )
    low, high = statistics.median(resident[quarter : 2 * quarter]), statistics.median(resident[-quarter:])
    print(f"resident memory: second quarter {low / 2**20:.0f} MiB, last quarter {high / 2**20:.0f} MiB")


def call(engine: HunyuanEngine, photo: Image.Image) -> Any:
    """The pipeline as a script would call it."""
    import torch

    pipeline = engine._shape._pipeline
    return pipeline(
        image=photo,
        num_inference_steps=STEPS,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(1),
        octree_resolution=32,
        num_chunks=8000,
        enable_pbar=False,
    )[0]


@contextlib.contextmanager
def sleeping(engine: HunyuanEngine, seconds: float) -> Iterator[None]:
    """Each of the diffusion's steps takes its share of `seconds` longer, for direct calls and jobs alike."""
    hook = engine._shape._pipeline.model.register_forward_hook(lambda *_: time.sleep(seconds / STEPS))
    yield
    hook.remove()


def run_one(worker: Worker) -> None:
    """One job's device part."""
    queue(worker.spool)
    assert worker.step()


def wait_for_finisher(worker: Worker) -> None:
    """Until everything handed over is done."""
    assert worker.finisher
    while worker.finisher.outstanding:
        worker.rest()
        worker.collect()


def queue(spool: Spool) -> str:
    """A job whose cut-out is made already."""
    request = Request.new(source="cli", name="photo.png", suffix=".png", quality="draft", seed=1)
    draft = spool.draft(request)
    cutout().save(draft.input)
    job = draft.publish("geometry")
    text = PngInfo()
    text.add_text("protoscale", json.dumps({"facts": {}, "notes": []}))
    cutout().save(job.path / "cutout.png", pnginfo=text)
    return job.id


def cutout() -> Image.Image:
    """An orange ellipse on nothing."""
    from tests.support import picture

    return Image.open(io.BytesIO(picture()))


def timed(what: Any) -> tuple[float, float]:
    """Seconds that a call takes: by the clock, and of this process's CPU time, which a busy machine changes less."""
    began, used = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
