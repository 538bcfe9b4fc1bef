"""One supervisor per spool: an flock that the kernel gives back when its process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from spool import rights
from spool.errors import SpoolUnusable

LOCK = "supervisor.lock"


def take(root: Path, patience: float = 2.0) -> int:
    """Become the supervisor of the spool at `root`; returns the descriptor that holds the lock.

    It waits a little, because `is_held` takes the lock for a moment, and so does a supervisor that is just
    dying. Raises SpoolUnusable where another one keeps it, and where this user may not write it.
    """
    try:
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError:
        raise SpoolUnusable(
            f"{root / LOCK} may not be written by this user; `{rights.give_to_us(root)}`, or run the service as the "
            "user who owns the spool"
        ) from None
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise SpoolUnusable(
                    f"another supervisor already runs on {root}; stop it first, or set PROTOSCALE_SPOOL"
                ) from None
            time.sleep(0.02)


def is_held(root: Path) -> bool:
    """Whether a supervisor runs on this spool now."""
    return is_locked(root / LOCK)


def is_locked(path: Path) -> bool:
    """Whether some process has an exclusive lock on a file. Takes the lock for a moment where none has."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
