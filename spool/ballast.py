"""A little disk space kept back, so that the state of jobs can still be written when the disk is full.

A job that fails because the disk is full must be able to say so, an attempt must be counted, a cancel must be
marked. When such a write meets a full disk, a slice of the ballast file is given up and the write is made once
more; the supervisor fills the ballast again when there is room. Slices, not the whole: whatever filled the
disk takes freed space at once. A write of state replaces a file of its own size, so one slice lasts long.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from spool.layout import RUNNING, TMP

BALLAST = "ballast"
SIZE = 4 << 20
SLICE = 256 << 10
FULL = (errno.ENOSPC, errno.EDQUOT)


def keep(root: Path) -> None:
    """Have a whole ballast at the spool `root`. Raises OSError where there is no room for it."""
    descriptor = os.open(root / BALLAST, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Blocks, not a hole: a hole would free nothing.
        os.posix_fallocate(descriptor, 0, SIZE)
    finally:
        os.close(descriptor)


def left(root: Path) -> int:
    """Bytes of ballast that are there to be given up."""
    try:
        return (root / BALLAST).stat().st_size
    except FileNotFoundError:
        return 0


def spend(path: Path, error: OSError) -> bool:
    """Give up a slice for a write below `path` that failed with `error`. False where that would not help.

    What lies in `tmp/` is not accepted yet, and gets nothing: it is refused instead.
    """
    if error.errno not in FULL:
        return False
    # Of the spool alone: a file of that name above it is somebody's own.
    root = next((above for above in path.parents if (above / RUNNING).is_dir()), None)
    if root is None or path.relative_to(root).parts[0] == TMP:
        return False
    try:
        descriptor = os.open(root / BALLAST, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            return False
        os.ftruncate(descriptor, max(0, size - SLICE))
        os.fsync(descriptor)  # ext4 hands freed blocks out again only after a commit
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
