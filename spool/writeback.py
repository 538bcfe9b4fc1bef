"""Having the kernel begin to write, so that the fsync that follows has little left to wait for.

Nothing is promised by it: what counts is the fsync. What arrives over a second is written during that second. And
ext4 gives a file its blocks when its bytes go out: files that are begun before the first fsync are in one transaction
of its journal, which that fsync commits, and the others find theirs done.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

from spool import durable

_WRITE = 2
"""SYNC_FILE_RANGE_WRITE: begin with the dirty pages of the range, and wait for none."""
_NOT_HAD = (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.ESPIPE)
"""The kernel, a sandbox or the file system has no such thing."""


def begin(descriptor: int, offset: int = 0, length: int = 0) -> None:
    """Begin to write `length` bytes from `offset` on (0: to the end). Raises OSError where the disk refused already.

    Such an error is that of a failed fsync: what was to be written may be gone.
    """
    call = _sync_file_range()
    if call and call(descriptor, offset, length, _WRITE):
        code = ctypes.get_errno()
        if code not in _NOT_HAD:
            raise OSError(code, os.strerror(code))


@cache
def _sync_file_range() -> Any:
    try:
        call = ctypes.CDLL(None, use_errno=True).sync_file_range
    except AttributeError:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call


def settle(folder: Path) -> None:
    """Put every file in `folder` on the disk, then their names. Raises OSError, and is then not to be tried again."""
    opened: list[int] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                opened.append(os.open(entry.path, os.O_RDONLY))
                begin(opened[-1])
        for descriptor in opened:
            os.fsync(descriptor)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    durable.fsync(folder)
