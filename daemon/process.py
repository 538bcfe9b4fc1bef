"""The first lines of a worker process: everything that must be true before a job is claimed."""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from daemon import disk, garbage, joblog
from daemon.config import Config
from daemon.devices import Post
from daemon.errors import EngineUnavailable
from daemon.pulse import Pulse
from spool import layout, pause
from spool.logs import to_stderr
from spool.parent import die_with
from spool.spool import Spool

if TYPE_CHECKING:
    from daemon.worker import Worker

log = logging.getLogger(__name__)

EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_IOERR = 74
EX_CONFIG = 78
"""Exit codes from sysexits.h: the machine behind an envoy is gone, our bug, the disk failed us, and "starting me
again will not help"."""


def main(parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    """The target of the spawned process. Ends with an exit code that tells the supervisor what happened."""
    die_with(parent)
    # Ctrl-C at a terminal, and its SIGHUP when it is closed, reach the whole group; the supervisor alone answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    to_stderr(config.log_level, post.name, config.log_format)
    spool = Spool(config.spool)
    spool.enlist(post.name)
    # On SIGABRT (the supervisor's answer to a hang) and on a crash in native code, every thread's stack goes
    # here; the supervisor carries it to the log of the job that was running.
    # The stacks say what a core file would, and a core file of a process with a GPU's models is as large as they are.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    stacks = joblog.stacks_file(spool, post.name).open("w")
    faulthandler.enable(stacks)
    if not post.berth:
        see_only(post.device)
    try:
        _work(spool, config, post, pulse, geometry_workers)
    except EngineUnavailable as error:
        log.error("%s", error)
        pulse.cannot_start(str(error))
        sys.exit(EX_CONFIG)
    except Exception as error:
        if isinstance(error, OSError) and disk.is_trouble(error):
            log.error("the disk failed this worker (%s): it ends, and a new one tries again", error)
            sys.exit(EX_IOERR)
        # The one broad catch of the daemon: whatever it is, it is our bug, and this process ends.
        log.exception("a bug in this worker: it ends, and a new one takes over")
        joblog.append_all(spool, post.name, traceback.format_exc())
        sys.exit(EX_SOFTWARE)
    # To take down an interpreter with the mesh libraries costs a third of a second, for what the kernel does anyway.
    logging.shutdown()
    os._exit(0)


def see_only(device: str) -> None:
    """Make `device` the only card of this process, as card 0: the code of the engines says "cuda:0" in places.

    Before torch is imported anywhere, which reads these variables once.
    """
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    # Cards are counted as the driver's tools count them; CUDA itself would put the fastest first.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if device.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = device.partition(":")[2]


def _work(spool: Spool, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    if post.berth:
        from daemon.cluster import envoy

        envoy.work(spool, config, post, pulse, geometry_workers, partial(_ready, pulse))
        return
    # Imported here: the mesh libraries come along, and only now is the environment as they must find it.
    import daemon.stages  # noqa: F401 (a worker that is ready has all its libraries)
    from daemon import decoding
    from daemon.engines.choose import LEAVES_WORK, build
    from daemon.finisher import Finisher
    from daemon.worker import Worker

    if "cutout" in post.stages:
        decoding.warm()  # it imports while the engine is looked at
    engine = build(config, post)
    engine.check()
    leaves_work = engine.name in LEAVES_WORK and post.stages != ("cutout",)
    finisher = Finisher(post.name, config) if leaves_work else None
    garbage.keep_imports()
    worker = Worker(spool, config, post, engine, pulse, geometry_workers, finisher)
    _ready(pulse, worker)
    worker.run()


def _ready(pulse: Pulse, worker: Worker) -> None:
    """What is left to do before a worker runs."""
    post = worker.post
    signal.signal(signal.SIGTERM, worker.drain)
    signal.signal(signal.SIGHUP, worker.retire)
    worker.wake.on_signals()
    root = worker.spool.root
    folders = [root / layout.STAGE_NAMED[stage].folder for stage in post.stages]
    worker.wake.on_arrivals(folders, root / pause.FOLDER)
    pulse.ready()
    where = f"{post.node} {post.device}".strip()
    log.info("ready on %s for %s with engine %s", where, ", ".join(post.stages), worker.engine.name)


def spawn(
    config: Config, post: Post, pulse: Pulse, geometry_workers: int, target: Callable[..., None] = main
) -> BaseProcess:
    """Start a worker process. From the main thread only (see `spool.parent.die_with`).

    `target` begins it in the place of `main`: with another engine, say, for a test or a benchmark.
    """
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=target, args=(os.getpid(), config, post, pulse, geometry_workers), name=post.name
    )
    process.start()
    return process
