"""The supervisor's upkeep of a spool: what is beyond the limits goes, and the ballast is made whole again."""

from __future__ import annotations

import logging
import time

from daemon import disk, retention
from daemon.almanac import Almanac
from daemon.config import Config
from spool import ballast
from spool.room import room_left
from spool.spool import Spool

log = logging.getLogger(__name__)

SWEEP_EVERY = 600.0


class Upkeep:
    """Remembers when the next sweep is due, by the monotonic clock; the first is at once."""

    def __init__(self, config: Config) -> None:
        self.due = float("-inf")
        self._config = config
        self._almanac = Almanac()

    def look(self, spool: Spool) -> None:
        """Do what is due. Raises OSError."""
        now = time.monotonic()
        if now >= self.due:
            self.due = now + SWEEP_EVERY  # also where it fails
            retention.sweep(spool, self._config, log, self._almanac)
        root = spool.root
        if ballast.left(root) < ballast.SIZE and room_left(root, self._config.reserve + ballast.SIZE):
            with disk.unimportant("ballast"):
                ballast.keep(root)
