"""How many jobs of one caller, and of all together, may wait or be unfinished.

They are counted in the spool, so these limits hold over every HTTP process and every restart (of more than a thousand
that wait, as they were a second ago). This machine's own people (loopback, no key) have no limit of their own, only
the global one. What arrives is counted by `httpd.ledger`.
"""

from __future__ import annotations

import json
from pathlib import Path

from starlette.exceptions import HTTPException

from httpd.access import Caller
from httpd.config import HttpConfig
from spool import layout
from spool.line import line_in
from spool.spool import Spool

_LATER = {"Retry-After": "30"}
"""Seconds after which asking again may make sense when a queue is full: about a job."""


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
    before = _known  # the one dictionary: another thread may put a smaller one in its place meanwhile
    known = {
        job_id: before[job_id] if job_id in before else _client(root / folder / job_id)
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
