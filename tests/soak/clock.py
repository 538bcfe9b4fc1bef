"""A wall clock that the soak can set, for the processes under test only: the machine's own is left alone."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_DOUBLE = struct.Struct("d")


class WallClock:
    """An offset in seconds in a file that all processes map."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(_DOUBLE.size))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), _DOUBLE.size)

    @property
    def offset(self) -> float:
        return float(_DOUBLE.unpack_from(self._shared)[0])

    def set(self, offset: float) -> None:
        _DOUBLE.pack_into(self._shared, 0, offset)

    def install(self) -> None:
        """Let this process read the wall clock through the offset. The monotonic clock stays as it is."""
        seconds, nanoseconds = time.time, time.time_ns
        time.time = lambda: seconds() + self.offset
        time.time_ns = lambda: nanoseconds() + int(self.offset * 1e9)
