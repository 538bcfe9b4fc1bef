"""The spool's changes, told to whoever listens: one look at the directory serves every open stream.

There is no table of jobs: a `Feed` starts with its first listener, compares two looks at the spool (`httpd.scan`),
and forgets everything with its last. File events only wake it; a look decides. Each listener holds at most one piece
of news per job, the newest, so one who reads slowly costs no memory and skips what is old.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from httpd.scan import RESTING, Scan
from spool import layout
from spool.errors import InvalidRequest, NoSuchJob
from spool.inotify import Inotify, open_inotify
from spool.pause import FOLDER, Pause, paused
from spool.spool import Spool
from spool.view import look, summary

PAUSE = 0.1
"""Seconds between two looks at least: a burst of moves is one piece of news."""
RUNNING_TICK = 0.25
"""Progress is written inside the job's directory, where no watch lies; while a job runs, we look this often."""
TICK = 2.0
BLIND_TICK = 0.5
"""Where the kernel gives no file events."""


QUEUE = "queue"
"""In the place of a job's id: news of the queue itself, which is no job."""


@dataclass(frozen=True)
class News:
    """One job as it is now; `told` is None where it is gone. `mark` names this very state.

    Or whether the queue is paused (`QUEUE`).
    """

    job_id: str
    told: dict[str, Any] | None
    mark: str


class Listener:
    """One open stream's view: `await news()` gives what changed since it was last called."""

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.closed = False
        self._pending: dict[str, News] = {}
        self._bell = asyncio.Event()

    def put(self, news: News) -> None:
        self._pending.pop(news.job_id, None)  # to the end: told in the order of the last change
        self._pending[news.job_id] = news
        self._bell.set()

    def close(self) -> None:
        """The server stops: end after what is pending."""
        self.closed = True
        self._bell.set()

    async def news(self) -> list[News]:
        """Wait for changes; empty once the server stops."""
        await self._bell.wait()
        fresh, self._pending = list(self._pending.values()), {}
        if not self.closed:
            self._bell.clear()
        return fresh


class Feed:
    """All listeners of this process."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._listeners: set[Listener] = set()
        self._scan = Scan(spool)
        self._paused: Pause | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._began = asyncio.Event()
        """The first look was taken: from here on a change is noticed."""

    def __len__(self) -> int:
        return len(self._listeners)

    @asynccontextmanager
    async def listen(self, job_id: str | None = None) -> AsyncIterator[Listener]:
        """Hear of one job's changes, or of every job's, from the moment this is entered."""
        listener = Listener(job_id)
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._began = asyncio.Event()
            self._task = asyncio.create_task(self._run())
        try:
            await self._began.wait()
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._wake.set()  # the task sees that nobody is left

    def close(self) -> None:
        """End every stream: the server stops."""
        for listener in self._listeners:
            listener.close()

    async def since(self, moment: int) -> list[News]:
        """Every job that changed at `moment` (nanoseconds since 1970) or later."""
        ids = await anyio.to_thread.run_sync(Scan(self._spool).since, moment)
        return await anyio.to_thread.run_sync(self._summaries, sorted(ids))

    async def queue(self) -> News:
        """Whether the queue is paused now."""
        return _of_queue(await anyio.to_thread.run_sync(paused, self._spool.root))

    async def _run(self) -> None:
        self._scan = Scan(self._spool)
        inotify = open_inotify()
        loop = asyncio.get_running_loop()
        if inotify:
            loop.add_reader(inotify.descriptor, self._heard, inotify)
        try:
            self._paused = await anyio.to_thread.run_sync(paused, self._spool.root)
            while self._listeners:
                await self._turn(inotify)
        finally:
            # Only a bug leaves listeners here: end their streams, so that clients come back to a fresh look.
            self.close()
            self._began.set()
            if inotify:
                loop.remove_reader(inotify.descriptor)
                inotify.close()

    def _heard(self, inotify: Inotify) -> None:
        inotify.drain()
        self._wake.set()

    async def _turn(self, inotify: Inotify | None) -> None:
        """Look, tell, sleep until something moves or it is time to look again."""
        self._wake.clear()
        changed, pause = await anyio.to_thread.run_sync(self._look, inotify)
        self._began.set()
        if changed:
            await self._tell(changed)
        if pause != self._paused:
            self._paused = pause
            self._tell_everything([_of_queue(pause)])
        tick = RUNNING_TICK if self._scan.running else TICK if inotify else BLIND_TICK
        await asyncio.sleep(PAUSE)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), tick - PAUSE)

    def _look(self, inotify: Inotify | None) -> tuple[set[str], Pause | None]:
        if inotify:
            # Watched before they are read, each time: a worker's folder may be new.
            root = self._spool.root
            with contextlib.suppress(OSError):  # the scans still see everything
                for folder in (*RESTING, *(stage.folder for stage in layout.STAGES), layout.RUNNING):
                    inotify.watch(root / folder)
                for worker in self._spool.workers():
                    inotify.watch(root / layout.RUNNING / worker)
                inotify.watch(root / FOLDER)  # not there before the first pause
        return self._scan.changed(), paused(self._spool.root)

    async def _tell(self, changed: set[str]) -> None:
        one_job = {listener.job_id for listener in self._listeners if listener.job_id in changed}
        statuses = await anyio.to_thread.run_sync(
            lambda: {job_id: self.status(job_id) for job_id in one_job if job_id}
        )
        for listener in self._listeners:
            if listener.job_id in statuses:
                listener.put(statuses[listener.job_id])
        if any(listener.job_id is None for listener in self._listeners):
            moved = sorted(changed - self._scan.shifted)
            self._tell_everything(await anyio.to_thread.run_sync(self._summaries, moved))

    def _tell_everything(self, fresh: list[News]) -> None:
        for listener in self._listeners:
            if listener.job_id is None:
                for news in fresh:
                    listener.put(news)

    def status(self, job_id: str) -> News:
        """One job's whole status object, as it is now."""
        try:
            told = look(self._spool, job_id)
        except NoSuchJob:
            return News(job_id, None, "gone")
        # A state is another one when something happened, not when the clock did.
        state = {**told, "estimate": None}
        return News(job_id, told, hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16])

    def _summaries(self, ids: list[str]) -> list[News]:
        moment = str(time.time_ns())
        told = []
        for job_id in ids:
            try:
                told.append(News(job_id, summary(self._spool.find(job_id)), moment))
            except NoSuchJob:
                told.append(News(job_id, None, moment))
            except (InvalidRequest, FileNotFoundError):
                continue  # damaged, or moving: it is seen again at the next look
        return told


def _of_queue(now: Pause | None) -> News:
    return News(QUEUE, {"paused": asdict(now) if now else None}, str(time.time_ns()))
