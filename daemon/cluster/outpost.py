"""The outpost: a Ray actor on a device of another machine. It does stages there by the code that does them here.

    envoy ── begin(parcel) ──▶ outpost      a temporary job directory, the stage's function, the real engine
          ◀── look() ─────────              news: progress; at the end what was made, or what went wrong

One thread of the actor does the work, and another answers. It keeps nothing: a job it had begun when it died is a
job that lies on the head, claimed.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from daemon import joblog
from daemon.cluster import parcel as parcels
from daemon.cluster.finishing import Annex, Kept, Word
from daemon.cluster.parcel import AttemptId, Parcel
from daemon.cluster.roster import Vitals
from daemon.config import Config
from daemon.devices import Post
from daemon.errors import Cancelled, DaemonError, EngineUnavailable
from daemon.garbage import Garbage, resident
from daemon.nvml import Gpus
from daemon.reporter import EVERY, Reporter
from spool import durable, layout
from spool.logs import to_stderr
from spool.settings import read
from spool.status import Status

if TYPE_CHECKING:
    from daemon.engines.base import Engine

log = logging.getLogger(__name__)

ITS_OWN = ("hunyuan_path", "hunyuan_ckpt_dir", "model_path", "u2net_home", "log_level", "log_format")
"""Settings that each machine has for itself, in the environment of its `ray start`; all others are the head's."""
LONGEST_LOOK = 1.0
"""Seconds until a look is answered although there is no news: the head wants to know that somebody is there."""


@dataclass(frozen=True)
class End:
    """How an attempt ended: what it made, and what it raised; `bug` is the traceback of what nobody expected.

    Where something `is_left`, it is to be finished (`Outpost.finish`).
    """

    products: tuple[tuple[str, bytes], ...]
    log: str
    error: DaemonError | OSError | None
    bug: str | None
    vitals: Vitals
    is_left: bool = False


@dataclass(frozen=True)
class News:
    """How far an attempt is; `steps` grows with every real step of the engine."""

    attempt: AttemptId
    steps: int
    status: Status
    end: End | None


class Outpost:
    """The actor. Used by one caller, its envoy."""

    def __init__(self, config: Config, post: Post, release: str) -> None:
        self._post = post
        self._release = release
        self._config = config
        self._bench = ThreadPoolExecutor(1, thread_name_prefix="bench")  # engines want one thread
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._attempt: AttemptId | None = None
        self._report: Reporter | None = None
        self._steps = 0
        self._told = 0
        self._garbage = Garbage()
        self._done: Future[End] | None = None
        self._engine: Engine
        self._annex: Annex

    def open(self) -> Vitals:
        """Get ready, or say in `trouble` why this machine cannot work."""
        return self._bench.submit(self._open).result()

    def begin(self, parcel: Parcel) -> None:
        """Start on a stage; one at a time."""
        if self._done and not self._done.done():
            raise RuntimeError(f"{parcel.attempt} was begun before the end of {self._attempt}")
        self._attempt, self._report = parcel.attempt, None
        self._steps = self._told = 0
        self._stop.clear()
        self._done = self._bench.submit(self._work, parcel)
        self._done.add_done_callback(lambda _: self._wake())

    def look(self, stop: bool = False) -> News:
        """What is new of the attempt, once something is, or after a second. `stop`: it is to end at its next step."""
        if stop:
            self._stop.set()
        assert self._attempt and self._done
        with self._changed:
            # News no more often than they are written down, but an end at once.
            self._changed.wait_for(self._done.done, EVERY)
            self._changed.wait_for(lambda: self._is_over or self._steps > self._told, LONGEST_LOOK - EVERY)
        self._told = self._steps
        status = self._report.status if self._report else Status()
        return News(self._attempt, self._steps, status, self._ended())

    def vitals(self) -> Vitals:
        """How the device is now."""
        ids = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        device = f"cuda:{ids}" if self._on_gpu else self._post.device
        return Vitals(
            device=device,
            engine=self._engine.name,
            pid=os.getpid(),
            memory_bytes=round(resident() / 2**20) * 2**20,
            gpu=_GPUS.look(device, os.getpid()),
        )

    def finish(self, attempt: AttemptId) -> None:
        """Finish what a stage left, beside whatever is begun next."""
        self._annex.submit(attempt)

    def look_at_finishing(self, cancelled: list[AttemptId]) -> list[Word]:
        """News of it."""
        return self._annex.look(cancelled)

    def drop(self) -> None:
        """Forget all that is being finished."""
        self._annex.drop()

    def ping(self) -> None:
        """Somebody is there."""

    def unload(self) -> bool:
        """Give idle models back."""
        return self._bench.submit(lambda: self._engine.unload()).result()

    def step(self) -> None:
        """The engine got further (called by the reporter)."""
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    # --- on the bench ----------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self._done is not None and self._done.done()

    @property
    def _on_gpu(self) -> bool:
        return self._post.device.startswith("cuda")

    def _open(self) -> Vitals:
        # Ray tells an actor to do numerics in one thread. A worker of ours has what its machine was told, and with
        # another number of threads sums come out differently in the last bits.
        if "OMP_NUM_THREADS" not in psutil.Process(os.getppid()).environ():
            os.environ.pop("OMP_NUM_THREADS", None)
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        for left in Path(tempfile.gettempdir()).glob(f"{self._prefix}*"):
            shutil.rmtree(left, ignore_errors=True)  # of one that was killed at its work
        here = read(Config)
        self._config = replace(self._config, **{name: getattr(here, name) for name in ITS_OWN})
        to_stderr(self._config.log_level, self._post.name, self._config.log_format)
        try:
            if version("protoscale") != self._release:
                raise EngineUnavailable(
                    f"ProtoScale {version('protoscale')} is installed there, and {self._release} on the head: "
                    "install the same everywhere"
                )
            # Ray shows an actor its own GPU alone, as number 0.
            post = replace(self._post, device="cuda:0") if self._on_gpu else self._post
            self._engine = self._build(post)
            self._engine.check()
            self._annex = Annex(self._post.name, self._config)
        except EngineUnavailable as error:
            return Vitals(device=self._post.device, trouble=str(error))
        return self.vitals()

    @property
    def _prefix(self) -> str:
        return f"protoscale-{self._post.name}-"

    def _build(self, post: Post) -> Engine:
        from daemon.engines.choose import build

        return build(self._config, post)

    def _work(self, parcel: Parcel) -> End:
        """Raises what is nobody's to expect: the envoy ends with it, as a worker of ours does."""
        from daemon import stages

        self._garbage.collect()
        # Kept where the stage is finished later (`Annex`); else it is gone when this returns.
        folder = tempfile.TemporaryDirectory(prefix=self._prefix)
        job = parcel.unpack(Path(folder.name))
        report = self._report = Reporter(job, parcel.status, self, self._stopped)
        error: DaemonError | OSError | None = None
        rest = None
        try:
            limits = stages.PhotoLimits(self._config.max_pixels, self._config.max_side)
            with durable.passing():  # the job lies on the head, and so will what is made here
                rest = stages.WORK[parcel.attempt.stage](job, self._engine, limits, report)
        except (DaemonError, OSError) as failed:
            error = failed
        given = tuple(name for name, _ in parcel.files)
        left = Kept(folder, job, given, rest, report.status) if rest is not None else None
        end = End(
            parcels.made(job, given), joblog.read(job.path), error, None, self.vitals(), left is not None
        )
        if left:
            self._annex.keep(parcel.attempt, left)
            (job.path / layout.LOG).unlink(missing_ok=True)  # told already
        else:
            folder.cleanup()
        return end

    def _ended(self) -> End | None:
        """The end of what was begun, once it has one."""
        if self._done is None or not self._done.done():
            return None
        bug = self._done.exception()
        if bug is None:
            return self._done.result()
        text = "".join(traceback.format_exception(bug))
        return End((), "", None, text, self.vitals())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _stopped(self) -> bool:
        if self._stop.is_set():
            raise Cancelled("cancelled")
        return False


_GPUS = Gpus()
