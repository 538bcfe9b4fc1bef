"""Webhooks that are owed: one small file each in `<spool>/callbacks/`, so that they outlive every process.

A promise is on the disk before its job appears, and goes when it is kept, given up, or its job is deleted. Whoever
keeps promises reads this folder alone, never all the jobs that ever were.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from spool import durable, lock
from spool.ids import is_job_id

CALLBACKS = "callbacks"
LOCK = "lock"
PAUSES = (10, 30, 120, 600, 1800, 3600, 10800, 21600)
"""Seconds before each next try; after the last the promise is given up, about eleven hours after the first."""


@dataclass(frozen=True)
class Promise:
    """One job's webhook. `told` is the last state that was delivered; `due` is seconds since 1970."""

    job_id: str
    url: str
    tries: int = 0
    due: float = 0.0
    told: str = ""

    def write(self, root: Path) -> None:
        """Put it on the disk."""
        durable.make_folder(root / CALLBACKS)
        durable.replace_json(_path(root, self.job_id), asdict(self))

    def drop(self, root: Path) -> None:
        """It is kept, or given up."""
        _path(root, self.job_id).unlink(missing_ok=True)

    def delivered(self, state: str) -> Promise:
        """The same, with `state` told and nothing due until another state comes."""
        return replace(self, told=state, tries=0, due=0.0)

    def postponed(self, now: float | None = None) -> Promise | None:
        """The same, to be tried again later; None when it was tried often enough."""
        if self.tries >= len(PAUSES):
            return None
        now = time.time() if now is None else now
        return replace(self, tries=self.tries + 1, due=now + PAUSES[self.tries])


def owed(root: Path) -> list[Promise]:
    """Every promise, oldest job first."""
    if not (root / CALLBACKS).is_dir():
        return []
    found = []
    for path in sorted((root / CALLBACKS).glob("*.json")):
        try:
            promise = Promise(**json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            continue
        if is_job_id(promise.job_id):
            found.append(promise)
    return found


@contextmanager
def postman(root: Path) -> Iterator[bool]:
    """Whether this process is the one that delivers, for as long as the block lasts: one does, of all of them."""
    durable.make_folder(root / CALLBACKS)
    descriptor = os.open(root / CALLBACKS / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_served(root: Path) -> bool:
    """Whether some process delivers now."""
    return lock.is_locked(root / CALLBACKS / LOCK)


def _path(root: Path, job_id: str) -> Path:
    return root / CALLBACKS / f"{job_id}.json"
