"""Reading a spool: where a job lies, what waits, what a job holds. Nothing here changes anything.

Jobs move while they are looked at. Whoever reads goes by names that were true a moment ago, and looks again where
they no longer are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spool import layout, small
from spool.errors import InvalidRequest, NoSuchJob
from spool.ids import is_job_id, only
from spool.job import Job, Request, unreadable
from spool.layout import DONE, FAILED, HELD, INBOX, RUNNING
from spool.status import Status

# In the order jobs move, with `running` between the waiting folders: a job that moves on while a reader
# walks this list moves towards where the reader will look next. `done` comes first too: most jobs lie there, and what
# lies there has moved for the last time.
_SEARCH = (DONE, HELD, INBOX, RUNNING, layout.GEOMETRY, RUNNING, layout.TEXTURE, RUNNING, DONE, FAILED)
PASSES = 4
LOOKED_THROUGH = 2000
"""Jobs whose requests are read for one page of those with a tag."""


@dataclass(frozen=True)
class Found:
    """A job as a reader met it: the folder, the worker that runs it, and the news at that moment."""

    job: Job
    folder: str
    worker: str | None
    status: Status


class Reader:
    """One spool directory, to read. Cheap to make; holds no state but the path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def waiting(self, folder: str) -> list[str]:
        """The ids of the jobs in a folder, oldest first."""
        return sorted(only(os.listdir(self.root / folder)))

    def workers(self) -> list[str]:
        """Every name that ever claimed a job here."""
        return sorted(path.name for path in (self.root / RUNNING).iterdir() if path.is_dir())

    def find(self, job_id: str) -> Found:
        """Where a job lies and what is known of it. Raises NoSuchJob.

        A job may move while we look, so the folders are walked in the order jobs move, several times. One at rest
        whose request cannot be read is found all the same (`Request.lost`), so that it can be looked at and removed;
        elsewhere that raises InvalidRequest, and whoever claims it lays it into `failed/`.
        """
        if is_job_id(job_id):
            for _ in range(PASSES):
                for folder, worker, place in self._places(job_id):
                    request = _request_in(folder, place)
                    if request:
                        job = Job(Path(place), request)
                        return Found(job, folder, worker, Status.read(job.path))
        raise NoSuchJob(job_id)

    def _places(self, job_id: str) -> Iterator[tuple[str, str | None, str]]:
        root, workers = str(self.root), None
        for folder in _SEARCH:
            if folder == RUNNING:
                workers = os.listdir(f"{root}/{RUNNING}") if workers is None else workers
                for worker in workers:
                    yield RUNNING, worker, f"{root}/{RUNNING}/{worker}/{job_id}"
            else:
                yield folder, None, f"{root}/{folder}/{job_id}"

    def open_file(self, job_id: str, name: str) -> BinaryIO:
        """A file of a job, opened: it stays readable while the job moves or is deleted.

        Raises NoSuchJob, and FileNotFoundError where the job has no such file.
        """
        for attempt in range(PASSES):
            found = self.find(job_id)
            try:
                return (found.job.path / name).open("rb")
            except FileNotFoundError:
                if found.job.path.exists() or attempt == PASSES - 1:
                    raise
        raise NoSuchJob(job_id)

    def newest(self, limit: int, before: str | None = None) -> list[Found]:
        """Up to `limit` jobs, newest first, older than the id `before`."""
        page: list[Found] = []
        for job_id in self._older_than(before):
            if len(page) == limit:
                break
            try:
                page.append(self.find(job_id))
            except (NoSuchJob, InvalidRequest):
                continue  # deleted, or damaged, since it was listed
        return page

    def tagged(self, tag: str, limit: int, before: str | None = None) -> tuple[list[Found], str | None]:
        """Up to `limit` jobs with a tag, newest first, and the id before which to go on; None at the end.

        At most `LOOKED_THROUGH` jobs are looked at, so there may be few on a page, or none, and still more behind.
        """
        page: list[Found] = []
        last = None
        for looked, job_id in enumerate(self._older_than(before)):
            if len(page) == limit or looked == LOOKED_THROUGH:
                return page, last
            last = job_id
            try:
                found = self.find(job_id)
            except (NoSuchJob, InvalidRequest):
                continue
            if tag in found.job.request.tags:
                page.append(found)
        return page, None

    def _older_than(self, before: str | None) -> list[str]:
        """Every job older than that one, or every job, newest first."""
        ids = {
            name for folder in (HELD, INBOX, layout.GEOMETRY, layout.TEXTURE) for name in self.waiting(folder)
        }
        for worker in self.workers():
            ids.update(self.waiting(f"{RUNNING}/{worker}"))
        ids.update(self.waiting(DONE), self.waiting(FAILED))
        return sorted((job_id for job_id in ids if before is None or job_id < before), reverse=True)


def _request_in(folder: str, place: str) -> Request | None:
    """The request of the job at `place`; None where there is no job."""
    try:
        return Request.parse(small.read(f"{place}/{layout.REQUEST}"))
    except NotADirectoryError:
        return None
    except FileNotFoundError:
        # Only there is it worth a second look: every walk that finds no job ends there.
        return Request.lost(os.path.basename(place)) if folder == FAILED and os.path.isdir(place) else None  # noqa: PTH112, PTH119
    except PermissionError:
        raise unreadable(Path(place)) from None
    except InvalidRequest:
        if folder not in (DONE, FAILED):
            raise
        return Request.lost(os.path.basename(place))  # noqa: PTH119
