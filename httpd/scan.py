"""What changed in the spool since the last look, by looking again: nothing is kept but what it takes to compare."""

from __future__ import annotations

import time
from pathlib import Path

from spool import filesystem, layout
from spool.line import LONG, line_in
from spool.spool import Spool

RESTING = (layout.HELD, layout.DONE, layout.FAILED)
GONE = -1
Mark = tuple[object, ...]


class Scan:
    """Call `changed` again and again. The first call is the base line and reports nothing."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._active: dict[str, Mark] | None = None
        self._resting: dict[str, tuple[int, set[str]]] = {}
        self.running = 0
        """How many jobs were running at the last look."""
        self.shifted: set[str] = set()
        """Which of the changed only moved up in their queue."""

    def changed(self) -> set[str]:
        """The ids of jobs that came, went, moved up in a queue, or made progress."""
        first = self._active is None
        before, now = self._active or {}, self._look_at_active()
        self._active = now
        ids = {job_id for job_id in before.keys() | now.keys() if before.get(job_id) != now.get(job_id)}
        # The folder and its times come first in a mark, the place in the queue last.
        self.shifted = {
            job_id for job_id in ids & before.keys() & now.keys() if before[job_id][:2] == now[job_id][:2]
        }
        for folder in RESTING:
            ids |= self._moved(folder)
        return set() if first else ids

    def present(self) -> set[str]:
        """The ids of the jobs that were there at the last look."""
        return set(self._active or ()).union(*(names for _, names in self._resting.values()))

    def _look_at_active(self) -> dict[str, Mark]:
        root = self._spool.root
        marks: dict[str, Mark] = {}
        for stage in layout.STAGES:
            for position, job_id in enumerate(line_in(root, stage.folder)):
                # Far back in a long line nothing happens but coming and going.
                deep = position >= LONG
                changed_at = 0 if deep else _changed_at(root / stage.folder / job_id)
                if changed_at != GONE:
                    marks[job_id] = (stage.folder, changed_at, LONG if deep else position)
        self.running = 0
        for worker in self._spool.workers():
            for job_id in self._spool.waiting(f"{layout.RUNNING}/{worker}"):
                self.running += 1
                path = root / layout.RUNNING / worker / job_id
                marks[job_id] = (worker, (_changed_at(path), _changed_at(path / layout.STATUS)), 0)
        return marks

    def _moved(self, folder: str) -> set[str]:
        """Which jobs came to or left a folder where nothing changes otherwise: read only when its time moved."""
        changed_at = _changed_at(self._spool.root / folder)
        seen_at, names = self._resting.get(folder, (-1, set()))
        if changed_at == seen_at:
            return set()
        now = time.time_ns()
        fresh = set(self._spool.waiting(folder))
        settled = filesystem.is_past(changed_at, now)
        self._resting[folder] = (changed_at if settled else -1, fresh)
        return fresh ^ names

    def since(self, moment: int) -> set[str]:
        """The ids of every job whose directory changed at `moment` (nanoseconds since 1970) or later."""
        folders = [*layout.FOLDERS[:6], *(f"{layout.RUNNING}/{worker}" for worker in self._spool.workers())]
        return {
            job_id
            for folder in folders
            for job_id in self._spool.waiting(folder)
            if _changed_at(self._spool.root / folder / job_id) >= moment
        }


def _changed_at(path: Path) -> int:
    """Nanoseconds; GONE where it is not there. The kernel's own time of change, which a rename sets too."""
    try:
        return path.stat().st_ctime_ns
    except FileNotFoundError:
        return GONE
