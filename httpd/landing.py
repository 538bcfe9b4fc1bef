"""The file of a picture that arrives: written as it comes, and under way to the disk before it is whole."""

from __future__ import annotations

import os
from pathlib import Path

from spool import writeback

AHEAD = 1 << 20
"""Bytes that are written before the disk is told to begin with them."""


class Landing:
    """One file being received. It stays open until its job is on the disk: a failed write is told to who wrote."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.size = 0
        self._begun = 0
        # Unbuffered: pieces are large, and the last of them may be a page's worth.
        self._file = path.open("wb", buffering=0)

    def write(self, content: bytes | memoryview) -> None:
        """The next bytes, all of them. Raises OSError."""
        left = memoryview(content)
        self.size += len(left)
        while left:
            left = left[self._file.write(left) :]
        if self.size - self._begun >= AHEAD:
            self._begin()

    def end(self) -> None:
        """It is whole: what is left begins its way to the disk. Raises OSError."""
        if self.size > self._begun:
            self._begin()

    def settle(self) -> None:
        """Put it on the disk and close it, where too many are open to keep them. Raises OSError."""
        os.fsync(self._file.fileno())
        self.close()

    def close(self) -> None:
        """Give the open file back; again is no harm."""
        self._file.close()

    def _begin(self) -> None:
        writeback.begin(self._file.fileno(), self._begun, self.size - self._begun)
        self._begun = self.size
