"""What the supervisor tells of itself, each time it changes: `supervisor.json` for readers, and a line to systemd."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from daemon import disk
from daemon.child import Crew
from daemon.config import Config
from daemon.status_board import board, status_line
from spool.board import BOARD, Board
from spool.notify import Systemd
from spool.spool import Spool

log = logging.getLogger(__name__)

GATHERED = 0.05
"""Seconds until jobs that were just taken in are told of, with those that follow on their heels."""


class Bulletin:
    """Remembers what it told. `engine` is the one that was chosen."""

    def __init__(self, config: Config, engine: str, systemd: Systemd) -> None:
        self._config = config
        self._engine = engine
        self._systemd = systemd
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._told: Board | None = None
        self.is_ready = False
        """Whether it told that the service is ready."""
        self._is_heard = False
        self.due = math.inf
        """When (monotonic seconds) it will tell what was postponed."""

    def postpone(self) -> None:
        """Jobs were taken in this instant: say nothing before a worker has them.

        To write in that instant would hold up its first fsync, and be wrong at once.
        """
        self.due = min(self.due, time.monotonic() + GATHERED)

    def tell(self, spool: Spool, crews: Sequence[Crew], draining: bool, notes: Iterable[str]) -> None:
        """Say how things stand, unless that was postponed; `notes` are for people, beside those of the board.

        Raises OSError.
        """
        if time.monotonic() < self.due < math.inf:
            return
        self.due = math.inf
        # Before the board is drawn up: whoever waited for READY=1 reads it next, and nobody in it still starts.
        are_ready = all(crew.pulse.is_ready or crew.record.is_out for crew in crews)
        current = board(spool, self._config, self._engine, self._started_at, crews, draining)
        current = replace(current, notes=(*current.notes, *notes))
        if current != self._told:
            with disk.unimportant(BOARD):
                current.write(spool.root)
                self._told = current
        self._systemd.status(status_line(current, spool))
        if are_ready and not self.is_ready:
            self.is_ready = True
            log.info("ready: spool %s, engine %s, %d workers", spool.root, self._engine, len(crews))
        if self.is_ready and not self._is_heard:  # who never hears it ends us, as one that could not start
            self._is_heard = self._systemd.tell("READY=1", f"MAINPID={os.getpid()}")

    def withdraw(self, spool: Spool) -> None:
        """Take `supervisor.json` away."""
        with contextlib.suppress(OSError):  # nobody believes it once the lock is given back
            (spool.root / BOARD).unlink(missing_ok=True)
