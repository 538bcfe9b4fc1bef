"""What a job leaves behind in a process, given back before it piles up.

A mesh knows its caches and they know the mesh, so only Python's collector frees it. That counts objects, and twenty
of them may hold 100 MB: after a dozen large photos a worker kept twice of what one takes.
"""

from __future__ import annotations

import ctypes
import gc
import math

import psutil

GROWTH = 256 << 20
"""Bytes that the process must have more than after the last time. With a quarter of it, jobs took a tenth longer:
what is given back to the kernel comes back page by page."""
SHORT = 0.05
"""Seconds; what took less made nothing large."""


class Garbage:
    """Of one process."""

    def __init__(self) -> None:
        self._kept = resident()

    def collect(self, seconds: float = math.inf) -> None:
        """After work of so many seconds: give back what it left, where memory has grown."""
        if seconds >= SHORT and resident() > self._kept + GROWTH:
            give_back()
            self._kept = resident()


def give_back() -> None:
    """Free all that nobody has any more, down to the kernel."""
    gc.collect()
    # It stays with glibc's allocator until that is told to hand it back; elsewhere there is no such call.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_imports() -> None:
    """Have no collection look through what is there now, which is what the imports made: that took 60 ms."""
    gc.freeze()


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(psutil.Process().memory_info().rss)
