"""Statuses that are still true: told again as long as the job's directory has not changed.

A status is put together from half a dozen small files, and people ask for the same one again and again. All of
those files are replaced by renames within the job's directory, and moving the job is a rename of it: each sets the
directory's times. So one `stat` says whether what was told last time still holds. Nothing is believed that was not
looked at; what does not lie in the directory (the place in the queue, the estimate, the priority) is asked for anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from httpd.answers import Answer
from spool import filesystem
from spool.reader import Found
from spool.spool import Spool
from spool.view import met, of_the_queue

KEPT = 2000
"""Jobs; a few megabytes."""
_Times = tuple[int, int, int]


@dataclass
class _Glance:
    found: Found
    times: _Times
    told: dict[str, Any]
    answer: Answer


class Glances:
    """The last statuses that this process told."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._kept: dict[str, _Glance] = {}

    def status(self, job_id: str) -> Answer:
        """The status object as it is sent. Raises NoSuchJob."""
        known = self._kept.get(job_id)
        if known is None or _times(known.found) != known.times:
            return self._look(job_id)
        queue = of_the_queue(self._spool, known.found)
        if not queue.items() <= known.told.items():
            known.told = {**known.told, **queue}
            known.answer = Answer.of(known.told)
        return known.answer

    def _look(self, job_id: str) -> Answer:
        self._kept.pop(job_id, None)
        began = time.time_ns()
        found, told = met(self._spool, job_id)
        answer = Answer.of(told)
        times = _times(found)
        # Only what rested since before the first read can be what was read.
        if times and filesystem.is_past(max(times[1:]), began):
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[job_id] = _Glance(found, times, told, answer)
        return answer


def _times(found: Found) -> _Times | None:
    """Which directory lies there, and when it changed; None where the job has moved on."""
    try:
        seen = found.job.path.stat()
    except FileNotFoundError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns
