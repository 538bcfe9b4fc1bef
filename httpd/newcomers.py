"""Which jobs came to the spool since the last look, whoever made them, each until it is settled."""

from __future__ import annotations

import time

from httpd.scan import Scan
from spool.ids import made_at
from spool.spool import Spool

WINDOW = 3600.0
"""Seconds from the making of an id to the last moment at which its job may still come.

An id is made before the picture is copied and the job published, so ids do not come in their order.
"""


class Newcomers:
    """Call `look` again and again. What is there at the first look has come before."""

    def __init__(self, spool: Spool) -> None:
        self._scan = Scan(spool)
        self._met: set[str] | None = None
        """Jobs that came before or are settled; those too old to come are not kept."""
        self._due: set[str] = set()
        self._swept = time.monotonic()

    def look(self) -> list[str]:
        """The ids of those that came and are not settled, oldest first; some may be gone again. Raises OSError."""
        changed = self._scan.changed()
        if self._met is None:
            self._met = {job_id for job_id in self._scan.present() if _may_come(job_id)}
        self._due |= {job_id for job_id in changed - self._met if _may_come(job_id)}
        if time.monotonic() - self._swept > WINDOW:
            self._swept = time.monotonic()
            self._met = {job_id for job_id in self._met if _may_come(job_id)}
        return sorted(self._due)

    def settle(self, job_id: str) -> None:
        """Never tell of this one again."""
        self._due.discard(job_id)
        if self._met is not None:
            self._met.add(job_id)


def _may_come(job_id: str) -> bool:
    return made_at(job_id) > time.time() - WINDOW
