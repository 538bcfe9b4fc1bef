"""Children that only sleep, in the place of the workers and of the HTTP server. They import next to nothing."""

from __future__ import annotations

import multiprocessing.spawn  # noqa: F401 (notes which Python workers are started by, before `server` changes it)
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from daemon import process
from spool.parent import die_with


def worker(parent: int, *_: object) -> None:
    """The target of a worker's process: it waits for the signal that ends it."""
    die_with(parent)
    signal.pause()


def take_their_place(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on crews and the HTTP server start as these. A program is left in `folder`."""
    monkeypatch.setattr(process, "spawn", partial(process.spawn, target=worker))
    server = folder / "server"
    server.write_text("#!/bin/sh\nexec sleep 60\n")
    server.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(server))
