"""The first lines of a worker process: everything that must be true before a job is claimed."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import traceback
from multiprocessing.process import BaseProcess

from daemon import joblog
from daemon.config import Config
from daemon.devices import Post
from daemon.errors import EngineUnavailable
from daemon.pulse import Pulse
from spool import layout
from spool.logs import to_stderr
from spool.parent import die_with
from spool.spool import Spool

log = logging.getLogger(__name__)

EX_SOFTWARE = 70
EX_CONFIG = 78
"""Exit codes from sysexits.h: our bug, and "starting me again will not help"."""


def main(parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    """The target of the spawned process. Ends with an exit code that tells the supervisor what happened."""
    die_with(parent)
    # Ctrl-C at a terminal reaches the whole group; the supervisor alone answers it, and drains us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    to_stderr(config.log_level, post.name, config.log_format)
    spool = Spool(config.spool)
    spool.enlist(post.name)
    # On SIGABRT (the supervisor's answer to a hang) and on a crash in native code, every thread's stack goes
    # here; the supervisor carries it to the log of the job that was running.
    stacks = joblog.stacks_file(spool, post.name).open("w")
    faulthandler.enable(stacks)
    # Before torch is imported anywhere: it reads these once. The code of the engines says "cuda:0" in places,
    # so a worker sees its own card only, as card 0.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    if post.device.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = post.device.partition(":")[2]
    try:
        _work(spool, config, post, pulse, geometry_workers)
    except EngineUnavailable as error:
        log.error("%s", error)
        sys.exit(EX_CONFIG)
    except Exception:
        # The one broad catch of the daemon: whatever it is, it is our bug, and this process ends.
        log.exception("a bug in this worker: it ends, and a new one takes over")
        joblog.append_all(spool, post.name, traceback.format_exc())
        sys.exit(EX_SOFTWARE)


def _work(spool: Spool, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    # Imported here: the mesh libraries come along, and only now is the environment as they must find it.
    from daemon.engines.choose import build
    from daemon.wake import watch
    from daemon.worker import Worker

    engine = build(config, post.device)
    engine.check()
    worker = Worker(spool, config, post, engine, pulse, geometry_workers)
    signal.signal(signal.SIGTERM, worker.drain)
    worker.wake.on_signals()
    folders = [spool.root / layout.STAGE_NAMED[stage].folder for stage in post.stages]
    watch(folders, lambda _: worker.wake.ring())
    pulse.ready()
    log.info("ready on %s for %s with engine %s", post.device, ", ".join(post.stages), engine.name)
    worker.run()


def spawn(config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> BaseProcess:
    """Start a worker process. From the main thread only (see `spool.parent.die_with`)."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=main, args=(os.getpid(), config, post, pulse, geometry_workers), name=post.name
    )
    process.start()
    return process
