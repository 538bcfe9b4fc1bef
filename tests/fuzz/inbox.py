"""Bad files through the inbox: each becomes one job, done or failed with a reason, and no process dies of it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from daemon import stages
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.engines import choose
from daemon.engines.base import Engine
from daemon.inbox import UNFINISHED, Inbox
from daemon.pulse import Pulse
from daemon.reporter import Reporter
from daemon.stages import PhotoLimits
from daemon.worker import Worker
from spool import durable, layout, recovery
from spool.job import Job
from spool.layout import DONE, FAILED, INBOX
from spool.spool import Spool
from tests.crash.recovery import ALL, fast_folder
from tests.support import SphereEngine, config

_UNEXPLAINED = re.compile(r"Traceback|\b\w+(Error|Exception)\b|object at 0x|never finished|reason was lost")


@dataclass
class Seen:
    """What came of the files."""

    sent: int = 0
    done: int = 0
    failed: int = 0
    left_alone: int = 0
    reasons: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


def through_the_inbox(files: Iterable[tuple[str, bytes]], engine: Engine | None = None) -> Seen:
    """Drop each (name, content), let the service's own code work it off, and see what became of it."""
    seen = Seen()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
        root = Path(name) / "spool"
        spool = Spool.open(root)
        settings = config(root, GEOMETRY_DEVICE="cpu", TEXTURE_DEVICE="cpu")
        worker = Worker(spool, settings, ALL, engine or SphereEngine(), Pulse())
        spool.enlist(ALL.name)
        inbox = Inbox(spool, 0.0)
        try:
            with _finishing(real=engine is not None):
                for name, content in files:
                    seen.sent += 1
                    _one(name, content, spool, inbox, worker, seen)
        finally:
            worker.wake.close()
    return seen


def _one(name: str, content: bytes, spool: Spool, inbox: Inbox, worker: Worker, seen: Seen) -> None:
    path = spool.root / INBOX / name
    path.write_bytes(content)
    try:
        # The worker may look before the supervisor does, and must leave a file alone.
        worker.step()
        inbox.scan()
        while worker.step():
            pass
    except Exception as error:  # noqa: BLE001 - the one thing that must not happen, told with what led to it
        seen.wrong.append(f"{name!r} ({content[:20]!r}...): {type(error).__name__}: {error}")
        recovery.recover(worker.spool, ALL.name, 1, "it died")
    ended = [spool.find(job_id) for folder in (DONE, FAILED) for job_id in spool.waiting(folder)]
    if path.exists():
        seen.left_alone += 1
        if ended or not (name.startswith(".") or name.endswith("~") or name.lower().endswith(UNFINISHED)):
            seen.wrong.append(f"{name!r} still lies in the inbox")
        path.unlink()
    elif len(ended) != 1:
        seen.wrong.append(f"{name!r} became {len(ended)} jobs")
    for found in ended:
        if found.folder == DONE:
            seen.done += 1
        else:
            seen.failed += 1
            seen.reasons.add(re.sub(r"\d+", "N", found.status.error or "").replace(name, "NAME"))
            if not found.status.error or _UNEXPLAINED.search(found.status.error.replace(name, "")):
                seen.wrong.append(f"{name!r} failed unexplained: {found.status.error}")
        if (found.job.path / found.job.request.input).read_bytes() != content:
            seen.wrong.append(f"{name!r}: the photo was changed")
        spool.remove(found.job.id)
    left = [
        str(at)
        for at in spool.root.rglob("*")
        if at.parent.name in (*layout.FOLDERS, ALL.name) and at.name != ALL.name
    ]
    if left:
        seen.wrong.append(f"{name!r} left {left}")


def _quick_texture(job: Job, engine: Engine, limits: PhotoLimits, report: Reporter) -> None:
    for product in (*layout.VIEWS, layout.ANALYSIS, layout.MODEL_GLB):
        durable.replace(job.path / product, b"not looked at", durable=False)


@contextmanager
def _finishing(*, real: bool) -> Iterator[None]:
    """Decoding, cut-out and shape are the real stages; the last one only where `real`, for it sees no file."""
    before: Mapping[str, object] = stages.WORK
    if not real:
        stages.WORK = {**stages.WORK, "texture": _quick_texture}
    try:
        yield
    finally:
        stages.WORK = before  # type: ignore[assignment]


def real_engine(scratch: Path) -> Engine:
    """The silhouette engine with the background remover."""
    root = Path(__file__).parents[2]
    home = os.environ.get("PROTOSCALE_TEST_U2NET_HOME", str(root / "build" / "u2net"))
    settings = config(scratch, ENGINE="silhouette", REMBG_MODEL="u2netp", U2NET_HOME=home)
    return choose.build(settings, Post("all-cpu", "cpu", (*TEXTURE_STAGES, *GEOMETRY_STAGES)))
