"""The real supervisor and the real workers, with a fast engine that misbehaves.

The one seam is `daemon.process.spawn`: the worker processes begin here, put the engine in the place of
`daemon.engines.choose.build`, and then run `daemon.process.main` as always. Everything else is the product's.

They are spawned, as in the product. With SOAK_FORK they are forked from a supervisor that has loaded the engine's
libraries before: a strike then costs milliseconds instead of seconds of imports, and a long soak strikes more often.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

from daemon import child, process, service_record, stall
from daemon.config import Config
from daemon.devices import Post
from daemon.engines import choose
from daemon.pulse import Pulse
from spool.logs import to_stderr
from spool.notify import Systemd
from spool.settings import read
from tests.soak.clock import WallClock

MISCHIEF = "SOAK_MISCHIEF"
"""Environment variable: the chance, 0 to 1, that one step of the engine goes wrong."""
CLOCK = "SOAK_CLOCK"
FORK = "SOAK_FORK"


def main() -> int:
    """What `protoscale run --no-http` does, with shorter pauses."""
    from daemon.supervisor import Supervisor

    config = read(Config)
    to_stderr(config.log_level, "supervisor")
    WallClock(Path(os.environ[CLOCK])).install()
    process.spawn = partial(process.spawn, target=_work)
    if os.environ.get(FORK):
        _warm_up()
        process.spawn = _fork
    service_record.FIRST_PAUSE = 0.5
    child.LONGEST_PAUSE = 2.0
    stall.IDLE_GRACE = 10.0
    return Supervisor(config, Systemd({}), with_http=False).run()


def _warm_up() -> None:
    """Do one job on a spool of its own: what libraries import at first use is there before the first fork."""
    from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES
    from daemon.worker import Worker
    from spool.spool import Spool
    from tests.support import SphereEngine, config, submit

    with tempfile.TemporaryDirectory() as folder:
        post = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))
        spool = Spool.open(Path(folder))
        spool.enlist(post.name)
        submit(spool, views=False, quality="draft")
        worker = Worker(spool, config(spool.root), post, SphereEngine(), Pulse())
        while worker.step():
            pass
        worker.wake.close()


def _work_in_fork(parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    """First give back what only a fork inherits: signal handlers, the bell, the lock."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    lock = config.spool / "supervisor.lock"
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(descriptor)), lock.stat()):
                os.close(int(descriptor))
    _work(parent, config, post, pulse, geometry_workers)


def _fork(
    config: Config,
    post: Post,
    pulse: Pulse,
    geometry_workers: int,
    target: Callable[..., None] = _work_in_fork,
) -> BaseProcess:
    context = multiprocessing.get_context("fork")
    args = (os.getpid(), config, post, pulse, geometry_workers)
    worker = context.Process(target=target, args=args, name=post.name)
    worker.start()
    return worker


def _work(parent: int, config: Config, post: Post, pulse: Pulse, geometry_workers: int) -> None:
    if not os.environ.get(FORK):
        WallClock(Path(os.environ[CLOCK])).install()  # a fork has it already
    from spool import policy
    from tests.support import SphereEngine

    policy.FIRST_REST = 0.5
    if os.environ.get(FORK):
        _spend_little()
    engine = SphereEngine()
    engine.during = partial(_misbehave, random.Random(), float(os.environ.get(MISCHIEF, "0")))
    choose.build = lambda config, post: engine
    process.main(parent, config, post, pulse, geometry_workers)


def _spend_little() -> None:
    """The long form asks what strikes do, not what pictures cost: small views, and photos decoded in place."""
    from PIL import Image

    from daemon import stages
    from daemon.engines import views
    from daemon.photo import open_photo

    def decode(path: Path, max_pixels: int, max_side: int, min_side: int, longest: int) -> Image.Image:
        return open_photo(path, max_pixels, max_side, min_side)

    vars(stages)["decode"] = decode
    views.render_views = partial(views.render_views, size=64)


def _misbehave(chance: random.Random, share: float, stage: str) -> None:
    """At a few steps: exit, crash, abort, hang, or fail, as a broken library would."""
    if chance.random() >= share:
        return
    what = chance.choice(("exit", "clean exit", "bug", "abort", "hang", "error", "error"))
    if what in ("exit", "clean exit"):
        os._exit(3 if what == "exit" else 0)
    if what == "abort":
        os.abort()
    if what == "hang":
        time.sleep(3600)
    if what == "bug":
        raise ZeroDivisionError(f"a bug in {stage}")
    from daemon.errors import EngineError

    raise EngineError(f"a hiccup in {stage}")


if __name__ == "__main__":
    raise SystemExit(main())
