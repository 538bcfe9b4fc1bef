"""How much one caller, and all of them together, may ask for.

Queued jobs are counted in the spool, so those limits hold over every HTTP process and every restart (of more than a
thousand that wait, as they were a second ago). Uploads and
bytes a minute are counted in this process's memory: with several processes each allows as much. This machine's own
people (loopback, no key) have no limits of their own, only the global one.
"""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path

from starlette.exceptions import HTTPException

from httpd.access import Caller
from httpd.config import HttpConfig
from spool import layout
from spool.line import line_in
from spool.spool import Spool

WINDOW = 60.0
_LATER = {"Retry-After": "30"}
"""Seconds after which asking again may make sense when a queue is full: about a job."""


class Ledger:
    """The uploads of the last minute, per caller."""

    def __init__(self) -> None:
        self._uploads: dict[str, deque[tuple[float, int]]] = {}

    def admit(self, caller: Caller, size: int, config: HttpConfig, now: float | None = None) -> None:
        """Count an upload of about `size` bytes. Raises HTTPException (429) where that is more than may be."""
        if not caller.name:
            return
        now = time.monotonic() if now is None else now
        recent = self._recent(caller.name, now)
        told = sum(counted for _, counted in recent)
        if config.client_uploads and len(recent) >= config.client_uploads:
            self._refuse(f"{config.client_uploads} uploads a minute", recent, now)
        if config.client_bytes and told + size > config.client_bytes:
            self._refuse(f"{config.client_bytes} bytes a minute", recent, now)
        recent.append((now, size))

    def _recent(self, name: str, now: float) -> deque[tuple[float, int]]:
        if len(self._uploads) > 10_000:
            self._uploads = {key: kept for key, kept in self._uploads.items() if kept[-1][0] > now - WINDOW}
        recent = self._uploads.setdefault(name, deque())
        while recent and recent[0][0] <= now - WINDOW:
            recent.popleft()
        return recent

    def _refuse(self, limit: str, recent: deque[tuple[float, int]], now: float) -> None:
        wait = int(recent[0][0] + WINDOW - now) + 1 if recent else int(WINDOW)
        raise HTTPException(429, f"more than {limit}; wait {wait} s", {"Retry-After": str(wait)})


def check_queue(spool: Spool, config: HttpConfig) -> None:
    """Whether one more job may wait. Raises HTTPException (503) where the queue of all is full."""
    waiting = (
        sum(len(line_in(spool.root, stage.folder)) for stage in layout.STAGES) if config.max_queue else 0
    )
    if config.max_queue and waiting >= config.max_queue:
        raise HTTPException(503, f"the queue is full ({waiting} jobs wait); try again later", _LATER)


def check_share(spool: Spool, caller: Caller, config: HttpConfig) -> None:
    """Whether this caller may have one more unfinished job. Raises HTTPException (429)."""
    if not caller.name or not config.client_queue:
        return
    folders = [
        layout.HELD,
        *layout.STAGE_OF_FOLDER,
        *(f"{layout.RUNNING}/{name}" for name in spool.workers()),
    ]
    unfinished = [(folder, job_id) for folder in folders for job_id in line_in(spool.root, folder)]
    if len(unfinished) < config.client_queue:
        return  # nobody can have that many, so nobody's requests need be read
    own = _owners(spool.root, unfinished).count(caller.name)
    if own >= config.client_queue:
        raise HTTPException(429, f"{own} jobs of yours are not finished; wait for them", _LATER)


_known: dict[str, str] = {}
"""Whose an unfinished job is: that never changes, and need not be read 100,000 times for every upload."""


def _owners(root: Path, jobs: list[tuple[str, str]]) -> list[str | None]:
    global _known
    known = {
        job_id: _known[job_id] if job_id in _known else _client(root / folder / job_id)
        for folder, job_id in jobs
    }
    _known = {job_id: owner for job_id, owner in known.items() if owner is not None}
    return list(known.values())


def _client(job: Path) -> str | None:
    """Whose job it is, without the rest of the request's checks; None where it moved on meanwhile."""
    try:
        client = json.loads((job / layout.REQUEST).read_bytes()).get("client")
    except (FileNotFoundError, ValueError, AttributeError):
        return None
    return client if isinstance(client, str) else None
