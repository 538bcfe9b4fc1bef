"""The real recovery, as the next `protoscale run` does it, and the rest of every job's life after it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemon import retention
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.inbox import Inbox
from daemon.pulse import Pulse
from daemon.supervisor import Supervisor
from daemon.worker import Worker, heads_of
from spool import policy
from spool.layout import DONE, FAILED, HELD, INBOX
from spool.notify import Systemd
from spool.spool import Spool
from spool.status import read_attempts
from tests.crash import quick_work
from tests.crash.ledger import FILE, LIMIT, Expected, Whole, is_bad, violations
from tests.support import SphereEngine, config

log = logging.getLogger("tests.crash")
ALL = Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES))
SETTLE = 0.1


class Recovery:
    """One supervisor and one worker that are led from spool to spool: making them costs more than using them."""

    def __init__(self, scratch: Path) -> None:
        settings = config(scratch, GEOMETRY_DEVICE="cpu", TEXTURE_DEVICE="cpu")
        self.supervisor = Supervisor(settings, Systemd({}), with_http=False)
        self.worker = Worker(self.supervisor.spool, settings, ALL, SphereEngine(), Pulse())

    def recover(self, root: Path) -> None:
        """What a start does: `Supervisor.recover`, and one look through the inbox."""
        spool = Spool.open(root)
        self.supervisor.spool = spool
        self.supervisor.recover()
        retention.sweep_tmp(spool, log)
        Inbox(spool, SETTLE).scan()

    def finish(self, root: Path) -> None:
        """Ask for everything that is held, and work until nothing waits."""
        spool = Spool(root)
        self.lead_worker(spool, ALL)
        for model in (False, True):
            for job_id in spool.waiting(HELD):
                if model or not spool.find(job_id).job.request.model:
                    spool.release(job_id, model=model)
            with quick_work.installed():
                while self.worker.step():
                    pass

    def lead_worker(self, spool: Spool, post: Post) -> None:
        """Let the worker be that of `post` in this spool; its pause after trouble with a disk is over."""
        self.worker.spool, self.worker.post = spool, post
        self.worker._heads = heads_of(spool, post)
        self.worker.outcomes.spool = spool
        self.worker.outcomes.believe_the_disk()
        spool.enlist(post.name)

    def close(self) -> None:
        """Give the pipes back."""
        self.supervisor.wake.close()
        self.worker.wake.close()


@contextmanager
def ready() -> Iterator[Recovery]:
    """A `Recovery`, with the daemon's log lines held back: thousands of crashes are told here.

    A job's rest between two attempts is written down as ever, and over at once: here no time passes.
    """
    before, rest = logging.root.manager.disable, policy.FIRST_REST
    logging.disable(logging.CRITICAL)
    policy.FIRST_REST = 0.0
    with tempfile.TemporaryDirectory(dir=fast_folder()) as scratch:
        recovery = Recovery(Path(scratch) / "spool")
        try:
            yield recovery
        finally:
            recovery.close()
            logging.disable(before)
            policy.FIRST_REST = rest


def fast_folder() -> str | None:
    """Memory, where the machine has some to write to: what is rebuilt here was on no disk before."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def judged(
    recovery: Recovery, root: Path, expected: Mapping[str, Expected], whole: Whole, *, finish: bool = True
) -> list[str]:
    """Recover twice, check every promise after each, then let everything finish and check again."""
    from tests.crash.disk import read

    recovery.recover(root)
    wrong = violations(root, expected, whole)
    once = read(str(root))
    recovery.recover(root)
    if read(str(root)) != once:
        wrong.append("invariant 4: recovering again changed something")
    if finish and not wrong:
        recovery.finish(root)
        wrong = [f"after the work: {text}" for text in _unfinished(root, expected)]
    return wrong


def _poisoned(spool: Spool, name: str) -> bool:
    return any(
        max(read_attempts(found.job.path).values(), default=0) >= LIMIT
        for job_id in spool.waiting(FAILED)
        if (found := spool.find(job_id)).job.request.name == name
    )


def _unfinished(root: Path, expected: Mapping[str, Expected]) -> list[str]:
    spool = Spool(root)
    ended: dict[str, str] = {}
    for folder in (DONE, FAILED):
        for job_id in spool.waiting(folder):
            ended[spool.find(job_id).job.request.name] = folder
    files = {path.name for path in (root / INBOX).iterdir() if path.is_file()}
    wrong = []
    for name, one in expected.items():
        if not one.must or one.gone or (name in files and FILE in one.where):
            continue
        if name not in ended:
            wrong.append(f"{name} ends nowhere")
        elif ended[name] == FAILED and not (FAILED in one.where or is_bad(name) or _poisoned(spool, name)):
            error = next(
                spool.find(job_id).status.error
                for job_id in spool.waiting(FAILED)
                if spool.find(job_id).job.request.name == name
            )
            wrong.append(f"{name} failed: {error}")
    return wrong
