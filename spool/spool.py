"""The spool: a directory of job directories that move. Every legal move is a method here.

    tmp ──▶ held ──▶ inbox ──▶ running/<worker> ──▶ geometry, texture, held, done
                                                └─▶ failed ──▶ inbox

Nothing but the folder a job lies in records its state, so two processes can only ever race for a rename,
which the kernel decides: the loser gets ENOENT and looks again. What becomes of the jobs of a worker that died
is decided in `spool.recovery`, and done by these moves.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from spool import durable, filesystem, layout, ownership, pause, priority, rights
from spool.draft import Draft
from spool.errors import InvalidRequest, NoSuchJob, SpoolUnusable, WrongState
from spool.job import LOST, Job, Request
from spool.layout import DONE, FAILED, HELD, INBOX, RUNNING, STAGE_OF_FOLDER, TMP
from spool.line import line_in
from spool.reader import PASSES, Found, Reader
from spool.status import Status, as_error, count_attempt
from spool.trouble import LONGEST_REST, Trouble


class Spool(Reader):
    """One spool directory, to change. Cheap to make; holds no state but the path."""

    @classmethod
    def open(cls, root: Path) -> Spool:
        """The spool at `root`, made if it is not there.

        Raises SpoolUnusable where it cannot be made or is not this user's to use, or where its folders lie on
        different file systems or mounts: a rename between those is a copy, and a copy is not atomic.
        """
        spool = cls(root.absolute())
        try:
            durable.make_folder(spool.root)
            with rights.of_owner(spool.root):
                for folder in (*layout.FOLDERS, pause.FOLDER):
                    (spool.root / folder).mkdir(exist_ok=True)
            # A job is no safer than the folder it lies in. Each time, because whoever made the folders may have
            # died before this line.
            durable.fsync(spool.root)
            filesystem.check_renames(spool.root)
        except OSError as error:
            raise SpoolUnusable(
                ownership.closed(spool.root, error)
                or f"the spool {root} cannot be made ({error.strerror}: {error.filename}); "
                "set PROTOSCALE_SPOOL to a directory this user may write"
            ) from None
        return spool

    def draft(self, request: Request) -> Draft:
        """Begin a new job in `tmp/`; nobody sees it before `Draft.publish`."""
        return Draft.begin(self.root, request)

    # --- the worker's moves ----------------------------------------------------------------------------

    def enlist(self, worker: str) -> None:
        """Make the folder that a worker claims into, on the disk before any job is in it."""
        (self.root / RUNNING / worker).mkdir(exist_ok=True)
        durable.fsync(self.root / RUNNING)

    def claim(self, folder: str, worker: str, line: Iterable[str] | None = None) -> Job | None:
        """Take the first job waiting in `folder`, or None where nothing waits that is not resting.

        The first by priority and age (`spool.priority`), or the first of `line` that is still there. A job whose
        request cannot be read any more goes to `failed/` with the reason, and the next is taken. One that this user
        may not move, because somebody else made it, is passed over.
        """
        for job_id in line_in(self.root, folder) if line is None else line:
            if self.rest_left(folder, job_id):
                continue
            target = f"{self.root}/{RUNNING}/{worker}/{job_id}"
            try:
                # Not fsynced: if power fails now, the job is found in either place and is not lost.
                os.rename(f"{self.root}/{folder}/{job_id}", target)  # noqa: PTH104
            except FileNotFoundError:
                continue
            except PermissionError:
                if not os.access(f"{self.root}/{RUNNING}/{worker}", os.W_OK, effective_ids=True):
                    raise  # not this job: none can be claimed
                continue
            try:
                return Job.read(Path(target))
            except (InvalidRequest, FileNotFoundError) as error:
                self.fail(Path(target), f"its request cannot be read: {error}")
        return None

    def rest_left(self, folder: str, job_id: str) -> float:
        """Seconds until a waiting job may be claimed: it rests between two attempts.

        It is long for what is no job (gone, or a dropped file that is called like one, which the inbox takes in), and
        for one that this user may not move.
        """
        path = f"{self.root}/{folder}/{job_id}"
        if not (os.path.isdir(path) and rights.may_move(path)):  # noqa: PTH112 (each claim asks)
            return LONGEST_REST
        return Trouble.read(Path(path)).rest_left

    def begin(self, job: Job, stage: str) -> dict[str, int]:
        """Count an attempt at `stage`, on the disk before the work starts."""
        return count_attempt(job.path, stage)

    def advance(self, job: Job) -> str:
        """Move a claimed job to where it belongs next, and say where that is."""
        folder = job.next_folder()
        target = self.root / folder / job.id
        if folder in STAGE_OF_FOLDER:
            # Its products are on the disk. If this rename is lost, recovery repeats it.
            job.path.rename(target)
        else:
            # Somebody is told of it: its last news, and the names of its products, are on the disk before that.
            with contextlib.suppress(FileNotFoundError):  # a job of another program may have none
                durable.fsync(job.path / layout.STATUS)
            durable.fsync(job.path)
            durable.move(job.path, target)
        return folder

    def fail(self, job: Path, reason: str) -> None:
        """Give a job up: the reason on the disk first, then the move."""
        replace(Status.read(job), error=reason, message=reason).write(job, durable_too=True)
        durable.move(job, self.root / FAILED / job.name)

    # --- what people ask for ---------------------------------------------------------------------------

    def release(self, job_id: str, *, model: bool) -> Found:
        """Let a held job go: for its four views, or (`model`) for views and model.

        Asking again while it runs, or when it is done, changes nothing. Raises NoSuchJob, and WrongState
        where the job failed or runs for its views only while the model is asked for.
        """
        for _ in range(PASSES):
            found = self.find(job_id)
            if found.folder == FAILED:
                raise WrongState(f"job {job_id} failed; retry it first")
            request = found.job.request
            # An earlier release that died between its two steps left the wish in held/: finish it.
            half_released = found.folder == HELD and found.job.next_folder() != HELD
            if (request.model if model else request.views) and not half_released:
                return found
            if found.folder != HELD:
                raise WrongState(
                    f"job {job_id} still makes its views; ask for the model once it is completed"
                )
            request = request.wanting(views=True, model=model or request.model)
            try:
                durable.replace_json(found.job.path / layout.REQUEST, request.as_json())
                _waiting_again(found.job.path)
                durable.move(found.job.path, self.root / INBOX / job_id)
            except FileNotFoundError:
                pass  # somebody else released it
            # Look once more: of two who ask for different things at once, one wish is in the request.
        raise WrongState(f"job {job_id} keeps moving; ask again")

    def cancel(self, job_id: str) -> Found:
        """Stop a job: a waiting one goes to `failed/` now, a running one at its worker's next step.

        Raises NoSuchJob, and WrongState where it is finished already.
        """
        for _ in range(PASSES):
            found = self.find(job_id)
            if found.folder == DONE or (found.folder == FAILED and not found.job.cancelled):
                raise WrongState(f"job {job_id} is finished ({found.folder}); there is nothing to cancel")
            try:
                # The mark comes first: a crash between the two leaves a job that says it was cancelled.
                durable.replace(found.job.path / layout.CANCEL, b"")
                if found.folder not in (RUNNING, FAILED):
                    durable.move(found.job.path, self.root / FAILED / job_id)
            except FileNotFoundError:
                continue
            return self.find(job_id)
        raise WrongState(f"job {job_id} keeps moving; ask again")

    def retry(self, job_id: str) -> Found:
        """Give a failed job its attempts back and queue it again; its products are kept.

        Raises NoSuchJob, and WrongState where it did not fail.
        """
        found = self.find(job_id)
        if found.folder != FAILED:
            raise WrongState(f"job {job_id} did not fail (it is in {found.folder}): nothing to retry")
        request = found.job.request
        if request.source == LOST:
            raise WrongState(f"job {job_id} has lost its request; submit its photo again, and delete it")
        if not (request.views or request.model):
            request = request.wanting(views=True, model=True)
        path, target = found.job.path, self.root / INBOX / job_id
        # Wherever this is cut off, a job that still lies in failed/ says why, and may be retried again.
        reason = as_error(found.status, found.job.cancelled)
        try:
            durable.replace_json(path / layout.REQUEST, request.as_json())
            replace(found.status, message=reason, error=reason).write(path, durable_too=True)
            (path / layout.ATTEMPTS).unlink(missing_ok=True)
            (path / layout.TROUBLE).unlink(missing_ok=True)
            (path / layout.CANCEL).unlink(missing_ok=True)
            durable.fsync(path)
            durable.move(path, target)
            _waiting_again(target)
        except FileNotFoundError:
            pass  # a second retry, or a worker, was faster: the job is on its way
        return self.find(job_id)

    def prioritise(self, job_id: str, wanted: str) -> Found:
        """Let a job go before or behind the others of its age from now on.

        Raises NoSuchJob, InvalidRequest for a priority that is none, and WrongState where the job is finished.
        """
        found = self.find(job_id)
        if found.folder in (DONE, FAILED):
            raise WrongState(f"job {job_id} is finished ({found.folder}); there is nothing to wait for")
        priority.mark(self.root, job_id, wanted)
        return found

    def remove(self, job_id: str) -> None:
        """Delete a job that nobody works on, with everything in it.

        Raises NoSuchJob, and WrongState for a job that waits or runs: cancel it first.
        """
        found = self.find(job_id)
        if found.folder not in (DONE, FAILED, HELD):
            raise WrongState(f"job {job_id} is in {found.folder}; cancel it before deleting it")
        gone = self.root / TMP / f"gone-{job_id}"
        try:
            durable.move(found.job.path, gone)
        except FileNotFoundError:
            raise NoSuchJob(job_id) from None
        shutil.rmtree(gone, ignore_errors=True)  # the supervisor's sweep removes such names too


def _waiting_again(path: Path) -> None:
    """The news of a job that is queued once more: what its kept products told and cost stays said."""
    before = Status.read(path)
    Status(
        message="waiting",
        engine=before.engine,
        notes=before.notes,
        timings=before.timings,
        device=before.device,
        finishing=before.finishing,
    ).write(path)
