"""Waking a loop when something moves in or out of a folder: inotify(7), without reading what it says.

watchdog, with which the supervisor watches what people drop, takes a thread a folder and two more; here the event
itself is never looked at, because a scan decides, so a descriptor that the loop waits at is all that is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _ONLYDIR = 0x40, 0x80, 0x100, 0x200, 0x1000000
COMES = _MOVED_TO | _CREATE
"""What is moved into, or made in, a folder."""
CHANGES = COMES | _MOVED_FROM | _DELETE
"""The same, and what is moved out or deleted."""


class Inotify:
    """One inotify instance. Raises OSError where the kernel has none to give."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1 failed")
        self._watched: set[Path] = set()

    def watch(self, folder: Path, what: int = CHANGES) -> None:
        """Be woken by `what` happens in `folder` (`COMES`, `CHANGES`); again is no harm."""
        if folder in self._watched:
            return
        if self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), what | _ONLYDIR) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch failed", str(folder))
        self._watched.add(folder)

    def drain(self) -> None:
        """Read and forget what happened."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.descriptor, 65536):
                pass

    def close(self) -> None:
        """Give the instance back."""
        os.close(self.descriptor)


def open_inotify() -> Inotify | None:
    """An instance, or None where there is none to have: the scans do all the work then."""
    try:
        return Inotify()
    except (OSError, AttributeError) as error:
        log.warning("no file events (%s): changes are noticed by scanning", error)
        return None
