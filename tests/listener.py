"""Hearing in which order files were written, fsynced and moved, and failing one fsync."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tests.crash.shim import Call


class Listener:
    """A watcher that keeps what was called, and fails the fsyncs of one path."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self._failing = failing

    def before(self, call: Call) -> None:
        if call.name in ("fsync", "rename", "write", "unlink"):
            self.calls.append(f"{call.name} {Path(call.target or call.path).name}")
        if self._failing and call.name == "fsync" and Path(call.path).name == self._failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO), call.path)

    def after(self, call: Call) -> None:
        pass
