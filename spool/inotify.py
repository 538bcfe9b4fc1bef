"""Waking a loop when something moves in or out of a folder: inotify(7), without reading which.

watchdog, with which the supervisor watches what people drop, takes a thread a folder and two more; here names are
never looked at, because a scan decides, so a descriptor that the loop waits at is all that is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _ONLYDIR = 0x40, 0x80, 0x100, 0x200, 0x1000000
COMES = _MOVED_TO | _CREATE
"""What is moved into, or made in, a folder."""
CHANGES = COMES | _MOVED_FROM | _DELETE
"""The same, and what is moved out or deleted."""
_IS_FOLDER, _OVERFLOWED = 0x40000000, 0x4000
_EVENT = struct.Struct("iIII")
"""The watch, what happened, a cookie, and how many bytes of a name follow."""


class Inotify:
    """One inotify instance. Raises OSError where the kernel has none to give."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1 failed")
        self._watched: set[Path] = set()
        self._files_too: set[int] = set()

    def watch(self, folder: Path, what: int = CHANGES, *, files: bool = True) -> None:
        """Be woken by `what` happens in `folder` (`COMES`, `CHANGES`); again is no harm.

        Without `files`, only by what happens to folders in it: the descriptor is readable all the same, but `drain`
        tells the difference.
        """
        if folder in self._watched:
            return
        number = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), what | _ONLYDIR)
        if number < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch failed", str(folder))
        self._watched.add(folder)
        if files:
            self._files_too.add(number)

    def drain(self) -> bool:
        """Read and forget what happened. Whether anything of it was asked for."""
        worth = False
        with contextlib.suppress(BlockingIOError):
            while events := os.read(self.descriptor, 65536):
                worth = worth or any(self._counts(number, what) for number, what in _told_in(events))
        return worth

    def _counts(self, number: int, what: int) -> bool:
        # Where events were lost, nobody knows what they were.
        return number in self._files_too or bool(what & (_IS_FOLDER | _OVERFLOWED))

    def close(self) -> None:
        """Give the instance back."""
        os.close(self.descriptor)


def _told_in(events: bytes) -> Iterator[tuple[int, int]]:
    """Of each event the number of the watch and what happened."""
    at = 0
    while at < len(events):
        number, what, _, length = _EVENT.unpack_from(events, at)
        yield number, what
        at += _EVENT.size + length


def open_inotify() -> Inotify | None:
    """An instance, or None where there is none to have: the scans do all the work then."""
    try:
        return Inotify()
    except (OSError, AttributeError) as error:
        log.warning("no file events (%s): changes are noticed by scanning", error)
        return None
