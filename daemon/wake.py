"""Waking a loop: a signal, a file event or another thread ends its wait.

Events only wake; a scan decides. The kernel drops events when its queue overflows, watchdog passes that
news on to nobody, and some file systems send none at all: a lost event costs one scan interval, never a job.

Workers wait for job directories, whose names they need not hear: their loop waits at the kernel's own descriptor. The
supervisor must hear which files people closed, and has watchdog tell it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyFullEmitter
from watchdog.observers.inotify_c import InotifyConstants

from spool.ids import is_job_id
from spool.inotify import COMES, Inotify

log = logging.getLogger(__name__)

NO_EVENTS = (
    "no file events (%s): new jobs are noticed by scanning. "
    "If a limit is reached, raise fs.inotify.max_user_instances or max_user_watches"
)


class Wake:
    """A bell that a loop waits at. Built on a pipe, because ringing must be safe inside a signal handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._arrivals: Inotify | None = None

    def on_arrivals(self, jobs_in: Iterable[Path], anything_in: Path) -> None:
        """Let jobs that come to one folder, and whatever comes to the other, ring the bell too.

        Without file events the scans do it all.
        """
        try:
            self._arrivals = Inotify()
            self._arrivals.watch(anything_in, COMES)
            for folder in jobs_in:
                self._arrivals.watch(folder, COMES, files=False)  # what people drop is the supervisor's
        except (OSError, AttributeError) as error:
            log.warning(NO_EVENTS, error)

    def on_signals(self) -> None:
        """Let every signal ring the bell too; its Python handler only has to set a flag."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def ring(self) -> None:
        """End the current wait, or the next one."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of rings already
            os.write(self._write, b"!")

    def wait(self, seconds: float, others: Sequence[int] = ()) -> None:
        """Sleep until somebody rings, one of the `others` (descriptors) becomes readable, or time is up."""
        bells = [self._read, *others, *([self._arrivals.descriptor] if self._arrivals else [])]
        until = time.monotonic() + seconds
        readable: list[int] = []
        while not readable:
            readable, _, _ = select.select(bells, [], [], max(0.0, until - time.monotonic()))
            if not readable:
                return
            if self._arrivals and self._arrivals.descriptor in readable and not self._arrivals.drain():
                readable.remove(self._arrivals.descriptor)
        if self._read in readable:
            with contextlib.suppress(BlockingIOError):  # a full pipe holds a whole number of reads
                while len(os.read(self._read, 4096)) == 4096:
                    pass

    def close(self) -> None:
        """Give the pipe back."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)
        if self._arrivals:
            self._arrivals.close()
            self._arrivals = None


class _Listener(FileSystemEventHandler):
    def __init__(self, heard: Callable[[Path], None]) -> None:
        self._heard = heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = Path(os.fsdecode(event.dest_path or event.src_path))
        if not (event.is_directory and is_job_id(path.name)):  # a job for the workers
            self._heard(path)


class _Emitter(InotifyFullEmitter):
    """Asks the kernel for what comes, and not for what leaves.

    watchdog holds what leaves back for half a second, to pair it with where it comes up again, and everything after
    it too: taking a file in would delay the news of the next one. An arrival without its departure is told by the
    "full" emitter only.
    """

    def get_event_mask_from_filter(self) -> int:  # type: ignore[override]
        """See inotify(7)."""
        kinds = InotifyConstants
        return kinds.IN_CLOSE_WRITE | kinds.IN_MOVED_TO | kinds.IN_CREATE | kinds.IN_DELETE_SELF


def watch(folders: Iterable[Path], heard: Callable[[Path], None]) -> BaseObserver | None:
    """Call `heard` (in a thread) with what was closed after writing or moved into one of the folders.

    Returns the running observer, or None where the kernel gives no watches: the scans do all the work then.
    """
    kinds: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent, DirMovedEvent, DirCreatedEvent]
    try:
        observer = BaseObserver(_Emitter)
        for folder in folders:
            # Asks the kernel, and may be refused.
            observer.schedule(_Listener(heard), str(folder), recursive=False, event_filter=kinds)
        observer.daemon = True
        observer.start()
    except OSError as error:
        log.warning(NO_EVENTS, error)
        return None
    return observer
