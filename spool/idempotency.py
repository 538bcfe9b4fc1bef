"""A submission that is sent again is the same job, also when the answer to the first one was lost.

The key's file names the job before the job appears, and is on the disk by then. Whoever comes with the same key finds
the name: if the job is there it is the answer, and if a crash came between, the new submission takes that very id, so
that at no moment two jobs can come of one key.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spool import durable
from spool.errors import InvalidRequest
from spool.ids import is_job_id

FOLDER = "idempotency"
KEEP = 24 * 3600.0
"""Seconds after which a key is forgotten, and would make a new job."""
MAX_KEY = 255


@dataclass
class Entry:
    """What a key stands for; `job_id` is empty for one never seen. Held exclusively."""

    job_id: str
    fingerprint: str
    _descriptor: int

    def record(self, job_id: str, fingerprint: str) -> None:
        """Bind the key to a job, on the disk when this returns."""
        content = json.dumps({"job_id": job_id, "fingerprint": fingerprint}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)
        os.fsync(self._descriptor)
        self.job_id, self.fingerprint = job_id, fingerprint


def check(key: str) -> None:
    """Raises InvalidRequest for what is no key."""
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidRequest(f"an Idempotency-Key is 1 to {MAX_KEY} printable ASCII characters")


@contextmanager
def hold(root: Path, client: str, key: str) -> Iterator[Entry]:
    """The entry of a client's key; others with the same key wait, in any process. Raises InvalidRequest."""
    check(key)
    folder = root / FOLDER
    durable.make_folder(folder)
    path = folder / f"{hashlib.sha256(f'{client} {key}'.encode()).hexdigest()}.json"
    descriptor = _locked(path)
    try:
        durable.fsync(folder)
        yield _read(descriptor)
    finally:
        os.close(descriptor)


def sweep(root: Path, now: float | None = None) -> None:
    """Forget the keys that are older than `KEEP`."""
    now = time.time() if now is None else now
    for path in (root / FOLDER).glob("*.json"):
        if now - path.stat().st_mtime > KEEP:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # swept while we waited


def _read(descriptor: int) -> Entry:
    try:
        value = json.loads(os.pread(descriptor, 4096, 0))
        job_id, fingerprint = value["job_id"], value["fingerprint"]
    except (ValueError, KeyError, TypeError):
        # New, or torn by a crash before it was on the disk: then no job of it was published either.
        return Entry("", "", descriptor)
    return Entry(job_id if is_job_id(job_id) else "", fingerprint, descriptor)
