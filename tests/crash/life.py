"""What people, workers and the supervisor do to jobs, made by the real code, in one process.

Every verb of `Life` does the real thing and then says what was promised by it (see tests.crash.ledger).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import daemon.outcome as outcome_module
from daemon.devices import GEOMETRY_STAGES, TEXTURE_STAGES, Post
from daemon.errors import BadJob
from daemon.inbox import Inbox
from spool import durable, status
from spool.job import Job, Request
from spool.layout import DONE, FAILED, HELD, INBOX
from spool.spool import Spool
from tests.crash import quick_work
from tests.crash.ledger import Event, is_bad, picture_of
from tests.crash.recovery import ALL, SETTLE, Recovery

Tell = Callable[[Event], None]
TEXTURE = Post("texture-cpu", "cpu", TEXTURE_STAGES)
GEOMETRY = Post("geometry-cpu", "cpu", GEOMETRY_STAGES)


class Killed(BaseException):
    """Stands for the death of a worker in the middle of a stage."""


class ToldSpool(Spool):
    """A spool that says what it promised its callers."""

    def __init__(self, root: Path, tell: Tell) -> None:
        super().__init__(root)
        self._tell = tell

    def begin(self, job: Job, stage: str) -> dict[str, int]:
        attempts = super().begin(job, stage)
        self._tell(("begun", job.request.name, stage, str(attempts[stage])))
        return attempts

    def advance(self, job: Job) -> str:
        folder = super().advance(job)
        if folder in (DONE, HELD):
            self._tell(("rests", job.request.name, folder))
        return folder

    def fail(self, job: Path, reason: str) -> None:
        name = Job.read(job).request.name
        super().fail(job, reason)
        self._tell(("rests", name, FAILED))


class Life:
    """The verbs. `tell` keeps the promises; `recovery` lends its supervisor and its worker."""

    def __init__(self, root: Path, tell: Tell, recovery: Recovery) -> None:
        self.root = root
        self.tell = tell
        self.ids: dict[str, str] = {}
        self._recovery = recovery
        self._dropped: list[str] = []

    def open(self) -> None:
        """The first start on an empty disk."""
        Spool.open(self.root)
        self.spool = ToldSpool(self.root, self.tell)
        self.inbox = Inbox(self.spool, SETTLE)

    # --- people ----------------------------------------------------------------------------------------

    def submit(self, name: str, folder: str = INBOX, views: bool = True, model: bool = True) -> None:
        """As the command line does it."""
        request = Request.new(source="cli", name=name, suffix=".png", views=views, model=model)
        self._send(name, folder, request, "input.png")

    def upload(self, name: str) -> None:
        """As the HTTP server does it: the file under another name first, the wishes known last."""
        request = Request.new(source="http", name=name, suffix=".png", views=False, model=False)
        self._send(name, HELD, request, "input.part")

    def _send(self, name: str, folder: str, request: Request, first: str) -> None:
        self.ids[name] = request.id
        self.tell(("submitting", name, folder))
        draft = self.spool.draft(request)
        content = picture_of(name)
        with (draft.path / first).open("wb", buffering=-1) as file:
            file.write(content[:20])
            file.flush()
            file.write(content[20:])
        if first != request.input:
            (draft.path / first).rename(draft.input)
        draft.publish(folder)
        self.tell(("acked", name))

    def submit_with(self, name: str, wanted: str) -> None:
        """A submit that asks for a priority."""
        request = Request.new(source="cli", name=name, suffix=".png")
        self.ids[name] = request.id
        self.tell(("submitting", name, INBOX))
        self.tell(("prioritising", name, wanted))
        draft = self.spool.draft(request)
        draft.input.write_bytes(picture_of(name))
        draft.publish(INBOX, wanted)
        self.tell(("prioritised", name, wanted))
        self.tell(("acked", name))

    def prioritise(self, name: str, wanted: str) -> None:
        self.tell(("prioritising", name, wanted))
        self.spool.prioritise(self.ids[name], wanted)
        self.tell(("prioritised", name, wanted))

    def drop(self, name: str, *, synced: bool = True) -> None:
        """A person copies a file into the inbox; `synced` as a careful program would."""
        self.tell(("dropping", name))
        self._dropped.append(name)
        path = self.root / INBOX / name
        path.write_bytes(picture_of(name))
        if synced:
            durable.fsync(path)
            durable.fsync(path.parent)
            self.tell(("dropped", name))

    def look(self) -> None:
        """The supervisor's look through the inbox; bad files are taken once they stood still."""
        inbox = Inbox(self.spool, 0.0) if any(map(is_bad, self._dropped)) else self.inbox
        jobs = inbox.scan()
        if not jobs:
            inbox.prepare()
        for job in jobs:
            self.ids[job.request.name] = job.id
            self.tell(("taken", job.request.name))
            self.tell(("dropped", job.request.name))

    def release(self, name: str, *, model: bool) -> None:
        self.tell(("releasing", name))
        self.spool.release(self.ids[name], model=model)
        self.tell(("released", name, "model" if model else "views"))

    def cancel(self, name: str) -> None:
        self.tell(("cancelling", name))
        found = self.spool.cancel(self.ids[name])
        self.tell(("cancelled", name, found.folder))

    def retry(self, name: str) -> None:
        self.tell(("retrying", name))
        self.spool.retry(self.ids[name])
        self.tell(("retried", name))

    def remove(self, name: str) -> None:
        self.tell(("removing", name))
        self.spool.remove(self.ids[name])
        self.tell(("removed", name))

    # --- the service -----------------------------------------------------------------------------------

    def step(self, post: Post = ALL, trouble: Mapping[str, BaseException] | None = None) -> bool:
        """One turn of the worker of `post`; `trouble` is raised in the middle of its stage."""

        def during(job: Job, stage: str) -> None:
            error = (trouble or {}).get(stage)
            if error is None:
                return
            if isinstance(error, BadJob):
                self.tell(("may fail", job.request.name))
            raise error

        def refund(job: Path, stage: str) -> None:
            self.tell(("refunding", Job.read(job).request.name, stage))
            status.refund_attempt(job, stage)

        worker = self._recovery.worker
        self._recovery.lead_worker(self.spool, post)
        quick_work.during = during
        outcome_module.refund_attempt = refund  # type: ignore[attr-defined]
        try:
            with quick_work.installed():
                return worker.step()
        except Killed:
            return True
        finally:
            quick_work.during = lambda job, stage: None
            outcome_module.refund_attempt = status.refund_attempt  # type: ignore[attr-defined]

    def attempt(self, work: Callable[[], None]) -> None:
        """Anything else that a client does."""
        work()

    def work_off(self, *posts: Post) -> None:
        """Let the workers take turns until none has anything to do."""
        posts = posts or (ALL,)
        while sum(self.step(post) for post in posts):
            pass

    def tend(self) -> None:
        """The rest of a turn of the supervisor: what is old, and the board."""
        supervisor = self._recovery.supervisor
        supervisor.spool = self.spool
        supervisor.upkeep.due = float("-inf")
        for part in (supervisor.sweep, supervisor.tell):
            supervisor._despite_the_disk(part)

    def recover(self) -> None:
        """The supervisor, started again (or after a worker's death): the real recovery."""
        supervisor = self._recovery.supervisor
        supervisor.spool = self.spool
        supervisor.recover()
