"""A job under construction in `tmp/`, and the dropped files that become jobs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from spool import durable, layout, priority, rights, writeback
from spool.errors import InvalidRequest
from spool.ids import new_id
from spool.job import Job, Request
from spool.status import Status, no_attempts

ADOPTION = "adopt-"
"""What the names of drafts in `tmp/` begin with that hold, or wait for, a dropped file."""


@dataclass(frozen=True)
class Draft:
    """Fill `path`, then `publish`. What is never published is swept from `tmp/` by age."""

    root: Path
    path: Path
    request: Request

    @classmethod
    def begin(cls, root: Path, request: Request, prefix: str = "") -> Draft:
        """An empty draft for `request`."""
        path = root / layout.TMP / f"{prefix}{request.id}"
        path.mkdir()
        no_attempts(path)
        return cls(root, path, request)

    @property
    def input(self) -> Path:
        """Where the image belongs."""
        return self.path / self.request.input

    def publish(self, folder: str, wanted: str = priority.NORMAL) -> Job:
        """Make the draft a job in `folder` with a priority. When this returns, the job survives power loss."""
        if wanted != priority.NORMAL:
            priority.mark(self.root, self.request.id, wanted)
        self.write_request()
        writeback.settle(self.path)
        return self.move_to(folder)

    def move_to(self, folder: str) -> Job:
        """Let a draft whose files are on the disk be a job in `folder`. Both folders are too when this returns."""
        target = self.root / folder / self.request.id
        durable.move(self.path, target)
        return Job(target, self.request)

    def write_request(self, *, durable_too: bool = False) -> None:
        """Say what is asked for; `publish` puts it on the disk. Not written aside: nobody reads in a draft."""
        content = durable.lines(self.request.as_json())
        durable.make(f"{self.path}/{layout.REQUEST}", content, durable=durable_too)

    def discard(self) -> None:
        """Drop the draft and what was written into it."""
        shutil.rmtree(self.path, ignore_errors=True)


def spare(root: Path) -> Path:
    """A draft without a request, on the disk when this returns, for the next file that is dropped.

    It takes a third of what `adopt` takes, and can be had while nobody waits. Raises OSError, leaving nothing.
    """
    path = root / layout.TMP / f"{ADOPTION}{new_id()}"
    try:
        path.mkdir()
        no_attempts(path)
        writeback.settle(path)
        durable.fsync(path.parent)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path


def adopt(
    root: Path, file: Path, request: Request, failure: str | None = None, ready: Path | None = None
) -> Job:
    """Make a job of a file that lies in the inbox: the file itself moves, it is never copied.

    With `failure`, the job goes straight to `failed/` with that reason; `ready` is a `spare` draft to use. The order
    leaves no crash in which the picture is lost or becomes two jobs: everything but the file is written first, then
    the file moves into the draft (from here on `resume_adoptions` finishes the work), then the draft is published.
    Raises FileNotFoundError when the file, or the spare, has gone meanwhile.
    """
    draft = Draft(root, ready, request) if ready else Draft.begin(root, request, ADOPTION)
    if failure:
        Status(stage="intake", message=failure, error=failure).write(draft.path, durable_too=True)
    if ready:
        draft.write_request(durable_too=True)
        durable.fsync(draft.path)
    else:
        draft.write_request()
        writeback.settle(draft.path)
        durable.fsync(draft.path.parent)
    try:
        file.rename(draft.input)
    except OSError:
        draft.discard()
        raise
    durable.fsync(draft.input, bytes_only=True)  # mostly there already: only its rename is new
    durable.fsync(draft.path)
    job = draft.move_to(layout.FAILED if failure else layout.INBOX)
    if failure or file.parent != job.path.parent:
        # The draft's fsync has told of the rename already; here the name is gone for good.
        durable.fsync(file.parent)
    return job


def resume_adoptions(root: Path) -> list[Job]:
    """Finish the adoptions that a crash interrupted. Only the one supervisor may call this.

    One that another user began, and this one may not move, stays.
    """
    finished = []
    for path in sorted((root / layout.TMP).glob(f"{ADOPTION}*")):
        if not rights.may_move(path):
            continue
        if not any(path.glob("input.*")):
            shutil.rmtree(path)  # it died before the file was moved: the file still lies in the inbox
            continue
        try:
            draft = Draft(root, path, Job.read(path).request)
        except (FileNotFoundError, InvalidRequest):
            _give_back(root, path)
            continue
        failed = Status.read(path).error is not None
        writeback.settle(path)
        finished.append(draft.move_to(layout.FAILED if failed else layout.INBOX))
    return finished


def _give_back(root: Path, draft: Path) -> None:
    """Lay the picture of a draft that something damaged back into the inbox, to be taken anew."""
    for file in draft.glob("input.*"):
        durable.move(file, root / layout.INBOX / f"{draft.name}{file.suffix}")
    shutil.rmtree(draft)
