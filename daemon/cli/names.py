"""Naming jobs: by id, or by the last characters of it."""

from __future__ import annotations

from spool import layout
from spool.errors import InvalidRequest, NoSuchJob
from spool.ids import is_job_id
from spool.spool import Spool

SHORT = 8


def short(job_id: str) -> str:
    """The end of an id: jobs of the same minute share its beginning, and differ here."""
    return job_id[-SHORT:]


def resolve(spool: Spool, name: str) -> str:
    """The one job that `name` means. Raises NoSuchJob, and InvalidRequest where it means several."""
    if is_job_id(name):
        return name
    folders = [folder for folder in layout.FOLDERS if folder not in (layout.RUNNING, layout.TMP)]
    folders += [f"{layout.RUNNING}/{worker}" for worker in spool.workers()]
    matches = {
        job_id for folder in folders for job_id in spool.waiting(folder) if name and job_id.endswith(name)
    }
    if len(matches) > 1:
        raise InvalidRequest(f"{name!r} fits {len(matches)} jobs; give more of the id's end")
    if not matches:
        raise NoSuchJob(name)
    return matches.pop()
