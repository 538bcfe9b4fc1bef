"""Asking the kernel who has a file open: a lease (fcntl(2), F_SETLEASE) is granted only while nobody is in the way.

It takes the file's owner or CAP_LEASE, and a file system that has leases. It is given back at once; SIGIO, which
an opener in that instant would cause, is ignored by the supervisor.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path


def being_written(path: Path) -> bool | None:
    """Whether some process has the file open for writing; None where the kernel does not tell us."""
    return _in_the_way(path, fcntl.F_RDLCK)


def being_read(path: Path) -> bool | None:
    """Whether some process has the file open at all; None where the kernel does not tell us."""
    return _in_the_way(path, fcntl.F_WRLCK)


def _in_the_way(path: Path, kind: int) -> bool | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, kind)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
