"""Waking a loop: a signal, a file event or another thread ends its wait.

Events only wake; a scan decides. The kernel drops events when its queue overflows, watchdog passes that
news on to nobody, and some file systems send none at all: a lost event costs one scan interval, never a job.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
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
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)


class Wake:
    """A bell that a loop waits at. Built on a pipe, because ringing must be safe inside a signal handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def on_signals(self) -> None:
        """Let every signal ring the bell too; its Python handler only has to set a flag."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def ring(self) -> None:
        """End the current wait, or the next one."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of rings already
            os.write(self._write, b"!")

    def wait(self, seconds: float, others: Sequence[int] = ()) -> None:
        """Sleep until somebody rings, one of the `others` (descriptors) becomes readable, or time is up."""
        readable, _, _ = select.select([self._read, *others], [], [], max(0.0, seconds))
        if self._read in readable:
            with contextlib.suppress(BlockingIOError):  # a full pipe holds a whole number of reads
                while len(os.read(self._read, 4096)) == 4096:
                    pass

    def close(self) -> None:
        """Give the pipe back."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)


class _Listener(FileSystemEventHandler):
    def __init__(self, heard: Callable[[Path], None]) -> None:
        self._heard = heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._heard(Path(os.fsdecode(event.dest_path or event.src_path)))


def watch(folders: Iterable[Path], heard: Callable[[Path], None]) -> BaseObserver | None:
    """Call `heard` (in a thread) with what was closed after writing or moved into one of the folders.

    Returns the running observer, or None where the kernel gives no watches: the scans do all the work then.
    """
    kinds: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent, DirMovedEvent, DirCreatedEvent]
    try:
        observer = Observer()  # asks the kernel already, and may be refused
        for folder in folders:
            observer.schedule(_Listener(heard), str(folder), recursive=False, event_filter=kinds)
        observer.daemon = True
        observer.start()
    except OSError as error:
        log.warning(
            "no file events (%s): new jobs are noticed by scanning. "
            "If a limit is reached, raise fs.inotify.max_user_instances or max_user_watches",
            error,
        )
        return None
    return observer
