"""Statuses that are still true: told again as long as the job's directory has not changed.

A status is put together from half a dozen small files, and people ask for the same one again and again. All of
those files are replaced by renames within the job's directory, moving the job is a rename of it, and an attempt that
is counted in place touches it: each sets the directory's times. So one `stat` says whether what was told last time
still holds. Nothing is believed that was not looked at; what does not lie in the directory (the place in the queue,
the estimate, the priority) is asked for anew.

With each job that is taken, all behind it have a new place and a new estimate. So a status is kept as JSON in two
parts: that of the job, which only its directory changes, is not put into words again for that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from httpd.answers import Answer, encode
from spool import filesystem
from spool.reader import Found
from spool.spool import Spool
from spool.view import met, of_the_queue

KEPT = 2000
"""Jobs; a few megabytes."""
_Times = tuple[int, int, int]


@dataclass(slots=True)
class _Glance:
    found: Found
    path: str
    times: _Times
    itself: bytes
    """The part of the status that the job's directory tells, as JSON."""
    queue: Mapping[str, Any]
    answer: Answer


class Glances:
    """The last statuses that this process told."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._kept: dict[str, _Glance] = {}

    def status(self, job_id: str) -> Answer:
        """The status object as it is sent. Raises NoSuchJob."""
        return self.again(job_id) or self._look(job_id)

    def again(self, job_id: str) -> Answer | None:
        """The same, where the job's directory has not changed since it was told last; None where it must be read."""
        known = self._kept.get(job_id)
        if known is None or _times(known.path) != known.times:
            return None
        queue = of_the_queue(self._spool, known.found)
        if queue != known.queue:
            known.queue, known.answer = queue, Answer(joined(known.itself, queue))
        return known.answer

    def _look(self, job_id: str) -> Answer:
        self._kept.pop(job_id, None)
        began = time.time_ns()
        found, of_the_job, queue = met(self._spool, job_id)
        itself = encode(of_the_job).encode()
        answer = Answer(joined(itself, queue))
        path = str(found.job.path)
        times = _times(path)
        # Only what rested since before the first read can be what was read.
        if times and filesystem.is_past(max(times[1:]), began):
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[job_id] = _Glance(found, path, times, itself, queue, answer)
        return answer


def joined(itself: bytes, queue: Mapping[str, Any]) -> bytes:
    """The JSON of one object with the members of both: `itself` is the JSON of an object, neither of them empty."""
    return itself[:-1] + b"," + encode(queue)[1:].encode()


def _times(path: str) -> _Times | None:
    """Which directory lies there, and when it changed; None where the job has moved on."""
    try:
        seen = os.stat(path)  # noqa: PTH116 (each status asks)
    except FileNotFoundError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns
